"""All that can be done on the page, to all kinds of sites: its numbers are those of the public functions, and of plain PyTorch."""

import warnings

import pytest
import torch

import mechcheck as m
from mechcheck.explorer.bodies import HEAD_LIKE, KINDS, SITES
from mechcheck.explorer.change import changes, chosen_heads
from mechcheck.explorer.workbench import Workbench
from mechcheck.notation.sites import Sites

TEXT = {"edges": "0.3->1.3.q@END 0.0->logits@END", "neurons": "0.1@END 1.2@END"}


def both(found) -> list[float]:
    """The logit difference as it is, and as it is changed."""
    (values,) = (one["values"] for one in found["numbers"] if one["name"] == "logit difference")
    return values


def towards_answer(model, prompts) -> torch.Tensor:
    return model.W_U[:, int(prompts.answers[0])] - model.W_U[:, int(prompts.foils[0])]


def moved(model, prompts, site) -> torch.Tensor:
    """How the counterfactual's activation differs."""
    here, there = (m.capture(model, some, Sites([site]))[site] for some in (prompts, prompts.counterfactual))
    return there - here


BY_HAND = {
    "permute": ({"do": "permute", "heads": "0.3 1.1", "seed": 3}, lambda *_: m.Permute(m.heads("0.3 1.1"), 3)),
    "noise": ({"do": "noise", "heads": "0.3@END", "deviations": 2, "seed": 1}, lambda *_: m.Noise(m.heads("0.3@END"), 2.0, 1)),
    "knock out": ({"do": "knockout", "heads": "0.3", "at": ["END"], "keys": "S2"}, lambda *_: m.KnockOut(m.patterns("0.3@END"), "S2")),
    "all but": (
        {"do": "knockout", "of": "patterns", "heads": "0.2-3", "keys": "IO", "only": True},
        lambda *_: m.KnockOut(m.patterns("0.2-3"), "IO", only=True),
    ),
    "answer in the stream": (
        {"do": "steer", "of": "resid_post", "heads": "1@END", "strength": -2},
        lambda model, prompts: m.Steer(towards_answer(model, prompts), m.resid_post("1@END"), -2.0),
    ),
    "answer of two heads": (
        {"do": "steer", "heads": "0.3 1.1", "at": ["END"], "strength": 0.5},
        lambda model, prompts: [
            m.Steer(model.W_O[layer, head] @ towards_answer(model, prompts), m.heads([(layer, head)], at="END"), 0.5)
            for layer, head in ((0, 3), (1, 1))
        ],
    ),
    "answer on an edge": (
        {"do": "steer", "of": "edges", "heads": "0.3->1.3.q@END"},
        lambda model, prompts: m.Steer(model.W_O[0, 3] @ towards_answer(model, prompts), m.edges("0.3->1.3.q@END")),
    ),
    "counterfactual of queries": (
        {"do": "steer", "of": "queries", "heads": "1.3@END", "direction": "counterfactual", "strength": 3},
        lambda model, prompts: m.Steer(moved(model, prompts, m.queries("1.3@END").members[0]), m.queries("1.3@END"), 3.0),
    ),
    "counterfactual everywhere": (
        {"do": "steer", "of": "resid_mid", "heads": "0", "direction": "counterfactual"},
        lambda model, prompts: m.Steer(moved(model, prompts, m.resid_mid("0@END").members[0]), m.resid_mid("0")),
    ),
    "edges": ({"do": "patch", "of": "edges", "heads": "0.3->1.3.q@END"}, lambda *_: m.Patch(m.edges("0.3->1.3.q@END"))),
    "values": ({"do": "zero", "of": "values", "heads": "0.3"}, lambda *_: m.Ablate(m.values("0.3"))),
    "keys": ({"do": "scale", "of": "keys", "heads": "1.3", "factor": 0.5}, lambda *_: m.Scale(m.keys("1.3"), 0.5)),
    "attention layer": ({"do": "patch", "of": "attn_outs", "heads": "0", "at": ["END"]}, lambda *_: m.Patch(m.attn_outs("0@END"))),
    "stream": ({"do": "patch", "of": "resid", "heads": "1@END"}, lambda *_: m.Patch(m.resid("1@END"))),
}  # fmt: skip


@pytest.mark.parametrize(("given", "by_hand"), BY_HAND.values(), ids=BY_HAND)
def test_the_numbers_are_those_of_run_and_of_plain_hooks(bench, body, prompts, given, by_hand):
    found = bench.predict(body | given)
    assert found["problems"] == []
    before, after = both(found)
    done = by_hand(bench.model, prompts)
    assert after == pytest.approx(m.run(bench.model, prompts, done).values[0], abs=1e-6)
    assert abs(after - before) > 0.05
    with m.plain_hooks():
        assert after == pytest.approx(m.run(bench.model, prompts, done).values[0], abs=1e-4)


def test_attention_that_is_knocked_out_is_shared_among_the_other_keys(bench, body, prompts):
    """In PyTorch, without an intervention: of head 0.3 END's weight on S2 goes to the other tokens in proportion."""
    model, end, key = bench.model, int(prompts.positions["END"][0]), int(prompts.positions["S2"][0])

    def cut(pattern, hook):
        changed = pattern.clone()
        changed[:, 3, end, key] = 0
        changed[:, 3, end] /= changed[:, 3, end].sum(-1, keepdim=True)
        return changed

    logits = model.run_with_hooks(prompts.tokens, fwd_hooks=[("blocks.0.attn.hook_pattern", cut)])[0, end]
    expected = float(logits[prompts.answers[0]] - logits[prompts.foils[0]])
    found = bench.predict(body | {"do": "knockout", "heads": "0.3@END", "keys": "S2"})
    assert both(found)[1] == pytest.approx(expected, abs=1e-4)
    assert both(found)[0] - expected > 5


def test_once_the_counterfactual_s_direction_is_the_counterfactual_s_activation(bench, body):
    steered = bench.predict(body | {"do": "steer", "heads": "0.3@END", "direction": "counterfactual", "strength": 1})
    assert both(steered)[1] == pytest.approx(both(bench.predict(body | {"do": "patch", "heads": "0.3@END"}))[1], abs=1e-4)


def test_a_share_of_the_components_becomes_zero(bench, body, prompts):
    sites = m.heads("0.3 1.1")
    sizes = torch.cat([found.flatten() for found in m.capture(bench.model, prompts, sites).values()]).abs()
    assert int((sizes == 0).sum()) == 0
    for share in (0.25, 0.5):
        asked = body | {"do": "sparsify", "heads": "0.3 1.1", "share": share}
        (done,) = changes(chosen_heads(bench.model, asked), bench.prepared(asked), asked)
        assert int((sizes < done.threshold).sum()) == share * sizes.numel()
        found = bench.predict(asked)
        assert both(found)[1] == pytest.approx(m.run(bench.model, prompts, m.Sparsify(sites, done.threshold)).values[0], abs=1e-6)
        assert found["note"] == f"components of less than {done.threshold:.4g} become 0"
    none, every = (bench.predict(body | {"do": "sparsify", "heads": "0.3 1.1", "share": share}) for share in (0, 1))
    assert both(none)[1] == pytest.approx(both(none)[0], abs=1e-4)
    assert none["note"] == ""
    assert both(every)[1] == pytest.approx(both(bench.predict(body | {"do": "zero", "heads": "0.3 1.1"}))[1], abs=1e-4)


@pytest.mark.parametrize("of", SITES)
def test_whatever_is_done_to_whatever_shows_numbers_or_says_at_its_field_why_not(bench, body, of):
    """And no run of the fast kind differs from one with hooks, which a warning would tell of."""
    refused = set()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for do in KINDS:
            text = TEXT.get(of, "0.3@END 1.1@END" if of in HEAD_LIKE else "0@END")
            asked = body | {"of": of, "do": do, "keys": "S2", "heads": text.replace("@END", "") if do == "permute" else text}
            found = bench.predict(asked)
            refused |= {(do, one["where"]) for one in found["problems"]}
            assert len(found["tables"]) == (1 if do == "none" or found["problems"] else 2)
    heads_alone = set() if of in ("heads", "patterns") else {("knockout", "of")}
    nothing_added = {("steer", "do"), ("noise", "do")} if of == "patterns" else set()
    no_answer = {("steer", "direction")} if of in ("queries", "keys", "values", "neurons") else set()
    assert refused == heads_alone | nothing_added | no_answer


@pytest.mark.parametrize(
    ("given", "where", "told"),
    [
        ({"of": "mlps", "heads": "7"}, "heads", "no layer 7"),
        ({"of": "mlps", "heads": "0.1"}, "heads", "cannot read '0.1'"),
        ({"of": "edges", "heads": "1.1->0.0.q"}, "heads", "reads nothing"),
        ({"of": "edges", "heads": "0.1"}, "heads", "as an edge"),
        ({"of": "neurons", "heads": "0.99"}, "heads", "neurons 0-3"),
        ({"heads": "0.3", "at": ["NOWHERE"]}, "at", "no position is called 'NOWHERE'"),
        ({"do": "permute", "heads": "0.3@END"}, "heads", "take @END away"),
        ({"do": "permute", "heads": "0.3", "at": ["END"]}, "at", "take @END away"),
        ({"do": "sparsify", "share": 1.5}, "share", "between 0 and 1"),
        ({"do": "noise", "deviations": -1}, "deviations", "0 or more"),
        ({"do": "knockout"}, "keys", "choose the token"),
        ({"do": "knockout", "keys": "NOWHERE"}, "keys", "no position is called 'NOWHERE'"),
        ({"do": "knockout", "keys": "IO", "of": "mlps", "heads": "0"}, "of", "not MLPs"),
        ({"do": "steer", "foil": ""}, "direction", "from the foil to the answer"),
        ({"do": "steer", "direction": "counterfactual", "counterfactual": ""}, "direction", "write one"),
        ({"do": "scale", "factor": 1e300}, "do", "no numbers"),
    ],
)
def test_what_does_not_fit_is_told_at_its_field(bench, body, given, where, told):
    found = bench.predict(body | {"do": "zero", "heads": "0.3"} | given)
    assert [one["where"] for one in found["problems"]] == [where]
    assert told in found["problems"][0]["said"]
    assert len(found["tables"]) == 1


def test_each_layer_s_own_effect_is_that_of_a_sweep(bench, body, prompts):
    found = bench.effects(body | {"of": "attn_outs", "do": "patch", "at": ["END"]})
    values = m.sweep(bench.model, prompts, [[], *(m.Patch(m.attn_outs(layer, at="END")) for layer in (0, 1))])[:, 0]
    assert found["values"] == pytest.approx({"0": values[1] - values[0], "1": values[2] - values[0]}, abs=1e-6)
    for of in ("edges", "neurons"):
        assert bench.effects(body | {"of": of, "do": "zero"})["values"] == {}
    steered = bench.effects(body | {"of": "queries", "do": "steer", "direction": "counterfactual", "at": ["END"]})["values"]
    assert len(steered) == 8
    alone = bench.predict(body | {"of": "queries", "do": "steer", "direction": "counterfactual", "heads": "1.3@END"})
    assert steered["1.3"] == pytest.approx(both(alone)[1] - both(alone)[0], abs=1e-4)


def test_key_value_heads_have_cells_of_their_own(tiny):
    """With grouped queries there are fewer of them."""
    bench = Workbench(tiny("llama", "float32"))
    words = [word for word in bench._words if word.isalpha()][:4]
    body = {
        "text": " ".join(words), "counterfactual": "", "references": [], "answer": words[0], "foil": words[1], "positions": {},
        "heads": "", "at": [], "factor": 2, "do": "zero",
    }  # fmt: skip
    config = bench.model.cfg
    assert config.n_key_value_heads < config.n_heads
    assert len(bench.effects(body | {"of": "values"})["values"]) == config.n_layers * config.n_key_value_heads
    assert len(bench.effects(body | {"of": "queries"})["values"]) == config.n_layers * config.n_heads
    drawn = bench.attention(body | {"of": "values", "heads": "0.1", "do": "none"})["figure"]
    each = config.n_heads // config.n_key_value_heads
    assert f"Attention of {' '.join(f'0.{each + i}' for i in range(each))}" in drawn


def test_maps_are_of_the_heads_that_are_named_or_belong_to_the_sites(bench, body):
    def title(**given) -> str:
        return bench.attention(body | {"do": "zero"} | given)["figure"].partition("<figcaption")[2].partition(">")[2].partition("<")[0]

    assert title(of="edges", heads="0.3->1.2.q") == "Attention of 0.3 1.2"
    assert title(of="mlps", heads="0") == ""
    assert title(of="mlps", heads="0", shown="1.0 1.3") == "Attention of 1.0 1.3"
    assert title(heads="0.3", shown="1.0") == "Attention of 1.0"
    for given, where, told in (
        ({"shown": "9.9"}, "shown", "no layer 9"),
        ({"do": "scale", "heads": "0.3", "factor": 1e300, "shown": "1.0"}, "attention", "not finite"),
    ):
        with pytest.raises(m.MechcheckError, match=told) as problem:
            bench.attention(body | given)
        assert problem.value.where == where
