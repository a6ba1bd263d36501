"""Where attention goes, before and after it is weighted by what it fetches, gathered over heads and over layers."""

from mechcheck import (
    Compared,
    Heatmap,
    Measurement,
    Patch,
    attention_rollup,
    attention_views,
    claim,
    rollout_to,
    row_cosines,
    token_labels,
    value_weighted_attention,
)

ABNAR = "Abnar & Zuidema 2020, arXiv:2005.00928"
KOBAYASHI = "Kobayashi et al. 2020, arXiv:2004.10102"
WANG = "Wang et al. 2022, arXiv:2211.00593"
NAMES = ["IO", "S1", "S2"]
SHORTCUT = {"names-gpt2-seed0": "refuted"}  # learned IOI without heads that look for the indirect object


@claim(
    "Most of the attention that name movers give to the three names goes to the indirect object",
    source=WANG, task="ioi", kind="structure", expect=SHORTCUT, decoy={"s_inhibition": "flipped"},
)  # fmt: skip
def test_rollup_to_names(model, prompts, circuit, check, s_inhibition="clean"):
    """The contrast is the same heads when S-inhibition heads tell them that the other person was the subject."""
    what = () if s_inhibition == "clean" else Patch(circuit["s_inhibition"])
    found = attention_rollup(model, prompts, circuit["name_mover"], NAMES, interventions=what)
    to_names = found.to("IO") + found.to("S1") + found.to("S2")
    check.requires(to_names, above=0.5, label="names get more than half of the attention")
    check.above(found.to("IO") / to_names, 0.5, "the indirect object's share of the attention to names > 0.5")
    everyone = attention_rollup(model, prompts, f"0-{model.cfg.n_layers - 1}.0-{model.cfg.n_heads - 1}", NAMES, threshold=0.1)
    rows = [str(layer) for layer in everyone.layers]
    check.figure(
        Heatmap("Attention above 0.1 from END, mean over a layer's heads", everyone.by_layer, rows, NAMES, "layer", "to", "attention")
    )


@claim(
    "Attention rollout from END finds the indirect object before the subject",
    source=ABNAR, task="ioi", kind="structure", expect=SHORTCUT,
)  # fmt: skip
def test_rollout_finds_the_indirect_object(model, prompts, check):
    """By 0.05: rollout mixes all heads of a layer, whatever they write, so that differences between tokens are small."""
    to_io, to_s1, to_s2 = (rollout_to(model, prompts, "END", name) for name in NAMES)
    check.greater(to_io, to_s1, margin=0.05)
    check.greater(to_io, to_s2, margin=0.05)


@claim(
    "Most of what name movers fetch comes from the indirect object, also by the size of what is written",
    source=KOBAYASHI, task="ioi", kind="structure", expect=SHORTCUT,
)  # fmt: skip
def test_most_is_fetched_from_the_indirect_object(model, prompts, circuit, check):
    import torch

    movers, row = circuit["name_mover"], torch.arange(len(prompts))
    fetched = value_weighted_attention(model, prompts, movers, through="v_o")[row, :, prompts.position("END")].cpu().double()
    from_io, from_all = fetched[row, :, prompts.position("IO")].mean(-1), fetched.sum(-1).mean(-1)
    measured, whole = (Measurement(x.numpy(), prompts.ids, prompts.templates, "norm written", "|z W_O|") for x in (from_io, from_all))
    check.above(measured / whole, 0.5, "share of what name movers write at END that comes from the indirect object > 0.5")
    check.figure(lambda: attention_views(model, prompts, f"0-{model.cfg.n_layers - 1}.0-{model.cfg.n_heads - 1}", through="v_o"))
    first, labels = prompts[[0]], token_labels(prompts, 0)
    alike = {}
    for of, name in (("pattern", "before the value matrix"), ("z", "behind it")):
        cosines = row_cosines(model, first, movers, of)[0, 0, : len(labels), : len(labels)].cpu().numpy()
        alike[name] = Heatmap(name, cosines, labels, labels, "position", "position", "cosine")
    check.figure(Compared(f"How alike two positions are in {str(movers.at(None)).split()[0]}", alike))
