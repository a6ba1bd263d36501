"""Causal abstraction: a known model is known again, what is wrong is told, and every number is what hooks by hand give."""

import itertools
from dataclasses import replace

import numpy as np
import pytest
import torch
from abstracted_by_hand import ByHand, in_turn
from tiny import SAME_FORWARD, random_prompts

from mechcheck.base.errors import MechcheckError, PromptError
from mechcheck.circuits.hypotheses import abstraction_runs
from mechcheck.circuits.hypotheses.abstraction import causal_abstraction
from mechcheck.measures.subspaces.fitting import difference_of_means
from mechcheck.measures.subspaces.interchange import interchange
from mechcheck.models.loading import load_model
from mechcheck.notation.codes import subspace
from mechcheck.notation.edges import edges
from mechcheck.notation.sites import Sites, heads, mlp_hidden, mlps, queries, resid
from mechcheck.prompts.prompt_set import PromptSet
from mechcheck.tasks.ioi import ioi_prompts

BUILT = {"duplicate": heads("0.0@S2"), "avoid": heads("1.0@END"), "answer": heads("2.0@END")}


def gives(prompt, let):
    """What compiled-ioi computes: who is named twice is avoided, and the other one is the answer."""
    first = let("duplicate", prompt.place("S1") if prompt["S2"] == prompt["S1"] else prompt.place("IO"))
    avoided = prompt.tokens[let("avoid", first)]
    return let("answer", prompt["IO"] if avoided == prompt["S1"] else prompt["S1"])


def first_named(prompt, let):
    """Says the same without an intervention, and is another function."""
    let("avoid", let("duplicate", prompt.place("S1") if prompt["S2"] == prompt["S1"] else prompt.place("IO")))
    return let("answer", prompt["IO"] if prompt["S2"] == prompt["S1"] else prompt["S1"])


def without_answer(prompt, let):
    return gives(prompt, lambda name, value: value if name == "answer" else let(name, value))


@pytest.fixture(scope="module")
def compiled():
    """The model, and prompts for it."""
    model = load_model("compiled-ioi")
    return model, ioi_prompts(model, n=16, seed=3, templates=2)


def test_what_was_built_is_valid_and_permuted_alignments_are_not(compiled):
    found = causal_abstraction(*compiled, gives, BUILT)
    assert found.accuracy.mean == found.interchange_accuracy.mean == found.unmapped_accuracy.mean == 1.0
    assert found.accuracy.is_yes_no
    assert all(one.value == 1.0 and one.low < 0.95 for name, one in found.estimates.items() if name != "error")
    assert found.estimates["error"].low <= found.error.mean <= found.estimates["error"].high < 0.05
    assert found.above[("avoid",)].estimate.value == 1.0
    assert "accuracy 1.00 [" in str(found)
    assert found.error.mean < 0.01
    assert list(found.above) == [
        ("duplicate",), ("avoid",), ("answer",), ("duplicate", "avoid"), ("duplicate", "answer"), ("avoid", "answer"),
        ("duplicate", "avoid", "answer"),
    ]  # fmt: skip
    assert list(found.below) == [("duplicate", "avoid"), ("duplicate", "answer"), ("avoid", "answer")]
    assert list(found.unmapped) == [(), *found.above]
    assert all(one.moved.mean > 0 for part in (found.above, found.below) for one in part.values() if "duplicate + avoid" not in one.what)
    assert len(found.decoys) == 5
    assert max(one.accuracy.mean for one in found.decoys) < 0.8
    assert {tuple(one.alignment[name] for name in BUILT) for one in found.decoys} == set(itertools.permutations(BUILT.values())) - {
        tuple(BUILT.values())
    }


def test_a_function_that_says_the_same_and_is_another_is_not_valid(compiled):
    found = causal_abstraction(*compiled, first_named, BUILT, decoys=0)
    assert found.clean.accuracy.mean == 1.0
    assert found.interchange_accuracy.mean < 0.3
    assert found.above[("avoid",)].accuracy.mean < 0.8
    assert found.above[("avoid",)].where_moved is None
    assert found.decoys == ()
    assert "untouched" not in str(found.worst)


def test_only_the_unmapped_tell_that_a_part_is_missing(compiled):
    """The name mover carries the answer, and no variable is aligned with it: interchanges alone see nothing of that."""
    part = {name: sites for name, sites in BUILT.items() if name != "answer"}
    found = causal_abstraction(*compiled, without_answer, part, decoys=0)
    assert found.interchange_accuracy.mean == 1.0
    assert found.unmapped_accuracy.mean < 0.3
    assert found.unmapped[()].accuracy.mean < 0.3
    assert found.accuracy.mean < 0.3
    assert found.error.mean > 0.7
    told = {str(site): one.accuracy.mean for site, one in found.singly.items()}
    assert min(told, key=told.__getitem__) == "2.0"
    assert all(accuracy == 1.0 for site, accuracy in told.items() if site != "2.0")
    redundant = load_model("compiled-redundant")
    half = {"duplicate": heads("0.0@S2"), "avoid": heads("1.0@END"), "answer": heads("2.0@END")}
    assert causal_abstraction(redundant, compiled[1], gives, half, decoys=0).accuracy.mean < 0.6
    assert causal_abstraction(redundant, compiled[1], gives, half | {"avoid": heads("1.0-1@END")}, decoys=0).accuracy.mean == 1.0


def test_a_single_subspace_is_what_interchange_says_of_it(compiled):
    """The direction in which the stream says whom to avoid, taken from the counterfactual."""
    model, _ = compiled
    learnt, prompts = (ioi_prompts(model, n=120, seed=3, split=split) for split in ("discover", "verify"))
    some, others = (in_two_places(one) for one in (learnt, prompts))
    fitted = difference_of_means(model, some, resid("2@END"), some.positions["S1"])
    function = without_duplicate
    found = causal_abstraction(model, others, function, {"avoid": fitted.sites}, decoys=0)
    assert found.above[("avoid",)].accuracy.mean > 0.95
    assert interchange(model, others, fitted.sites).accuracy.mean > 0.95
    with pytest.raises(PromptError, match="was fitted on"):
        causal_abstraction(model, some, function, {"avoid": fitted.sites})


def in_two_places(prompts):
    pairs = zip(prompts.positions["S1"].tolist(), prompts.positions["IO"].tolist(), strict=True)
    return prompts[[row for row, pair in enumerate(pairs) if set(pair) == {4, 6}]]


def test_of_equal_logits_none_is_said():
    prompts = PromptSet.from_tokens([[1, 2]] * 4, answers=[0, 0, 0, 0])
    logits = torch.tensor([[2.0, 1.0, 0.0], [1.0, 2.0, 0.0], [2.0, 2.0, 0.0], [torch.nan, 0.0, 0.0]])
    np.testing.assert_array_equal(abstraction_runs.says(logits, prompts).numpy(), [1.0, 0.0, 0.0, np.nan])


def without_duplicate(prompt, let):
    return gives(prompt, lambda name, value: let(name, value) if name == "avoid" else value)


def two_steps(prompt, let):
    first = let("first", prompt["A"])
    return let("second", (first + prompt["B"]) % 40 + 3)


PLACES = {
    "heads": (heads("0.1@A"), heads("1.0@END")),
    "mlps": (mlps("0@A"), heads("1.1")),
    "stream": (resid("1@A"), mlps("1@END")),
    "queries": (queries("0.1@A"), mlp_hidden("1@END")),
}


@pytest.mark.parametrize("layout", ["gpt2", "llama", "neox", "bert"])
@pytest.mark.parametrize("places", PLACES)
def test_it_is_what_hooks_by_hand_say(tiny, monkeypatch, layout, places):
    monkeypatch.setattr(abstraction_runs, "drawn", in_turn)
    model, prompts = tiny(layout), random_prompts(6, (7,) * 4 + (9,) * 4, per_template=4)
    first, second = PLACES[places]
    found = causal_abstraction(model, prompts, two_steps, {"first": first, "second": second})
    by_hand = ByHand(model, prompts)
    for row in (0, 3, 6):
        expected = by_hand.errors(row, first, second)
        got = {
            "untouched": found.clean, "first": found.above[("first",)], "both": found.above[("first", "second")],
            "below": found.below[("first", "second")], "away": found.unmapped[()], "first, away": found.unmapped[("first",)],
            "0.2": found.singly[next(iter(heads("0.2")))],
        }  # fmt: skip
        assert {name: one.error.values[row] for name, one in got.items()} == pytest.approx(expected, abs=2 * SAME_FORWARD[layout])


def test_draws_repeat_and_know_no_order(tiny):
    model, prompts = tiny("gpt2"), random_prompts(6, (7,) * 4 + (9,) * 4, per_template=4)
    alignment = {"first": heads("0.1@A"), "second": heads("1.0@END")}
    one, again = (causal_abstraction(model, prompts, two_steps, alignment, seed=2) for _ in range(2))
    order = [5, 0, 7, 2, 1, 6, 3, 4]
    turned = causal_abstraction(model, prompts[order], two_steps, alignment, seed=2)
    other = causal_abstraction(model, prompts, two_steps, alignment, seed=3)
    np.testing.assert_array_equal(one.error.values, again.error.values)
    np.testing.assert_allclose(turned.error.values, one.error.values[order], rtol=0, atol=1e-9)
    assert not np.allclose(other.above[("first",)].error.values, one.above[("first",)].error.values)
    assert [permuted.alignment for permuted in one.decoys] == [{"first": heads("1.0@END"), "second": heads("0.1@A")}]


def test_a_part_of_a_head_keeps_what_it_has_and_the_rest_is_perturbed(tiny):
    """With the whole space of the head as its subspace nothing of it is perturbed; with a part of it, something is."""
    model, prompts = tiny("gpt2"), random_prompts(6, (8,) * 6, per_template=6)
    basis = torch.eye(model.cfg.d_head)

    def error(sites):
        found = causal_abstraction(model, prompts, lambda prompt, let: let("token", prompt["A"]), {"token": sites})
        return found.unmapped[()].error.values

    whole = error(heads("1.0@END"))
    np.testing.assert_allclose(error(heads("1.0@END").within(subspace(basis))), whole, rtol=0, atol=1e-9)
    assert not np.allclose(error(heads("1.0@END").within(subspace(basis[:2]))), whole)


@pytest.mark.parametrize(
    ("function", "alignment", "why"),
    [
        (two_steps, {}, "no variable is aligned"),
        (two_steps, {"first": heads("0.1@A"), "second": Sites()}, "'second' is aligned with sites"),
        (two_steps, {"first": "0.1", "second": heads("0.1")}, "'first' is aligned with sites"),
        (two_steps, {"first": heads("0.1@A"), "second": heads("0.1")}, "aligned with one place, 0.1@A and 0.1"),
        (two_steps, {"first": edges("0.1->logits@A"), "second": heads("1.1")}, "aligned with the sender"),
        (two_steps, {"first": heads("0.1@A"), "second": heads("7.1")}, "no layer 7"),
        (two_steps, {"first": heads("0.1@A")}, "'second' is aligned with no site"),
        (two_steps, {"first": heads("0.1@A"), "second": heads("1.1"), "third": heads("1.0")}, "'third' is aligned, and"),
        (two_steps, {"first": heads("0.1@Z"), "second": heads("1.1")}, "no position 'Z'"),
        (lambda prompt, let: 1 // let("first", 0), {"first": heads("0.1")}, "ZeroDivisionError"),
    ],
)
def test_what_is_no_hypothesis_is_refused(tiny, function, alignment, why):
    with pytest.raises(MechcheckError, match=why):
        causal_abstraction(tiny("gpt2"), random_prompts(6, (8,) * 4, per_template=4), function, alignment)


def test_one_prompt_is_too_few_and_decoys_are_a_number(tiny):
    model, prompts = tiny("gpt2"), random_prompts(6, (8,) * 4, per_template=4)
    alignment = {"first": heads("0.1@A"), "second": heads("1.1")}
    with pytest.raises(PromptError, match="has one only"):
        causal_abstraction(model, replace(prompts[:1], counterfactual=None), two_steps, alignment)
    with pytest.raises(MechcheckError, match="none or more"):
        causal_abstraction(model, prompts, two_steps, alignment, decoys=-1)


def test_many_variables_have_a_few_drawn_decoys(tiny):
    names = "abcdef"
    alignment = abstraction_runs.Alignment(tiny("gpt2"), {name: heads(f"{i // 3}.{i % 3}") for i, name in enumerate(names)})
    drawn = alignment.permutations(7, seed=1)
    orders = [tuple(str(one.sites[name]) for name in names) for one in drawn]
    assert len(set(orders)) == 7
    assert tuple(str(alignment.sites[name]) for name in names) not in orders
    assert all(sorted(order) == sorted(orders[0]) for order in orders)
    assert len(alignment.subsets) == 6 + 15 + 1
