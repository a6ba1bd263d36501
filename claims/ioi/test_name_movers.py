"""Name movers: they attend from END to the indirect object and copy its name to the output."""

from mechcheck import Compared, attention_to, attention_to_positions, claim, copying_scores, direct_logit_attribution, head_heatmap

WANG = "Wang et al. 2022, arXiv:2211.00593"
SHORTCUT = "names-gpt2-seed0"


@claim(
    "Name movers attend from END to the indirect object, more than to the subject",
    source=WANG,
    task="ioi",
    kind="structure",
    expect={SHORTCUT: "refuted"},
)
def test_attend_to_io(model, prompts, circuit, check):
    to_io, to_s1 = (attention_to(model, prompts, circuit["name_mover"], "END", key) for key in ("IO", "S1"))
    check.above(to_io, 0.3)
    check.greater(to_io.named("attention to IO"), to_s1.named("to S1"), margin=0.1)
    maps = attention_to_positions(model, prompts, "END", ["IO", "S1", "S2"]).mean(-1)
    heats = {f"to {key}": head_heatmap(key, maps[:, :, i], "attention") for i, key in enumerate(("IO", "S1", "S2"))}
    check.figure(Compared("Attention from END", heats))


@claim("Name movers copy the name they attend to", source=WANG, task="ioi", kind="structure", expect={SHORTCUT: "refuted"})
def test_copy_names(model, prompts, circuit, check):
    scores = copying_scores(model, prompts, at="IO")
    check.above(scores.of(circuit["name_mover"]), 0.5)
    check.figure(head_heatmap("Copying score at IO", scores.mean, "share of prompts"))


@claim(
    "Most of the preference is written to the output directly by the name movers",
    source=WANG, task="ioi", kind="sufficiency", decoy={"circuit": {"name_mover": "0.0-3@END"}},
)  # fmt: skip
def test_write_the_answer(model, prompts, circuit, check):
    found, movers = direct_logit_attribution(model, prompts), circuit["name_mover"]
    check.requires(found.total, above=1.0, label="there is a preference to write: logit difference > 1")
    check.above(found.heads.of(movers) * len(movers) / found.total, 0.5, "name movers' share of the logit difference > 0.5")
    check.figure(head_heatmap("Direct effect on the logit difference", found.heads.mean, "logits"))
