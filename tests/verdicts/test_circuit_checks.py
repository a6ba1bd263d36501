"""`check.faithful` and `check.beats_random_circuits`: what they decide on, beside faithfulness itself and ranks by hand."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import binom
from tiny import random_prompts

from mechcheck.base.errors import CircuitError, ClaimError, MechcheckError, PromptError
from mechcheck.circuits.circuit_tests import random_circuits, random_like
from mechcheck.circuits.evaluation import Cut, faithfulness, kept_edges
from mechcheck.compiled import built_edges, task_of
from mechcheck.models.loading import load_model
from mechcheck.notation.circuit import Circuit, traced
from mechcheck.notation.edges import edges
from mechcheck.notation.graph import graph
from mechcheck.notation.sites import Sites, heads
from mechcheck.stats.estimates import Confidence
from mechcheck.tasks.shipped import task_prompts
from mechcheck.verdicts.check import Check
from mechcheck.verdicts.contrast import contrast
from mechcheck.verdicts.settling import beyond_prompts

LENGTHS = (7, 7, 10, 10, 8, 8)
BUILT_INDUCTION = built_edges("compiled-induction")
BUILT = edges("input->0.1.qkv 0.1->1.0.v 1.0->logits")


@pytest.fixture(scope="module")
def compiled():
    """Induction as it was built, and 24 prompts of it."""
    model = load_model("compiled-induction")
    return model, task_prompts(task_of("compiled-induction"), model, n=12, seed=0)


def of(model, **known) -> Check:
    return Check(Confidence(), model, **known)


@pytest.mark.parametrize("instead", ["counterfactual", "mean", "zero"])
def test_faithful_is_faithfulness_within_a_margin(tiny, instead):
    model, prompts, check = tiny("gpt2"), random_prompts(2, LENGTHS), of(tiny("gpt2"))
    estimate = check.faithful(BUILT, prompts, margin=0.3, instead=instead)
    (found,), expected = check.expectations, faithfulness(model, prompts, BUILT, instead=instead)
    assert estimate.value == expected.mean
    assert (found.kind, found.region, found.threshold, found.margin) == ("faithful", (0.7, 1.3), (0.7, 1.3), 0.3)
    assert found.by_template == expected.by_template
    told, cut = found.evaluated, Cut(model, prompts, instead)
    assert (told.parts, told.size, told.of, told.instead, told.metric) == ("edges", 5, len(graph(model)), instead, "logit difference")
    none, whole = cut.ends
    (values,) = cut.values([kept_edges(cut.graph, BUILT)])
    worst = max(range(len(prompts)), key=lambda row: abs(values[row] - whole[row]))
    assert (told.model, told.cut) == (pytest.approx(whole.mean()), pytest.approx(none.mean()))
    assert (told.worst.id, told.worst.circuit, told.worst.model) == (prompts.ids[worst], values[worst], whole[worst])


def test_what_was_built_is_faithful_and_less_is_not(compiled):
    model, prompts = compiled
    check = of(model)
    check.faithful(BUILT_INDUCTION, prompts)
    check.faithful(BUILT_INDUCTION - edges("1.0->logits"), prompts)
    check.faithful(heads("0.0 1.0"), prompts)
    check.faithful(heads("0.0 1.1"), prompts)
    assert [e.verdict for e in check.expectations] == ["supported", "refuted", "supported", "refuted"]
    assert [(e.evaluated.parts, e.evaluated.size, e.evaluated.of) for e in check.expectations[1:3]] == [("edges", 7, 75), ("heads", 2, 6)]
    assert check.expectations[0].label == "|faithfulness under counterfactual ablation - 1| < 0.2"


@pytest.mark.parametrize(("without", "word"), [("2.1->logits", "above 1"), ("2.0->logits", "below 0"), ("input->2.0.k", None)])
def test_a_value_outside_is_flagged(without, word):
    """A head takes back part of the answer, so that the circuit without it does more than the model, and it alone less than nothing."""
    model = load_model("compiled-negative")
    check = of(model)
    check.faithful(built_edges("compiled-negative") - edges(without), task_prompts("ioi", model, n=12, seed=0))
    (found,) = check.expectations
    assert (found.verdict == "supported") == (word is None)
    assert (word is None) == ("faithfulness is" not in (found.estimate.caveat or ""))
    assert word is None or f"faithfulness is {word}: the rest works against the circuit" in found.estimate.caveat


def test_random_circuits_are_ranked_by_their_distance(compiled):
    model, prompts = compiled
    built = BUILT_INDUCTION
    kept = kept_edges(graph(model), built)
    check = of(model, seed=5)
    check.beats_random_circuits(built, prompts, n=50)
    (found,), cut = check.expectations, Cut(model, prompts)
    _, whole = cut.ends
    own = np.abs(cut.values([kept])[0] - whole)
    others = np.abs(cut.values(random_circuits(graph(model), len(built), 50, 5)) - whole)
    np.testing.assert_allclose(found.control.values, -others.mean(1))
    assert found.control.effect == pytest.approx(-own.mean())
    assert found.verdict == "supported"
    assert found.p >= (1 + (others.mean(1) <= own.mean()).sum()) / 51 > 0
    rival = others[np.argsort(-others.mean(1))[int(np.ceil(0.9 * 49))]]
    assert found.estimate.value == pytest.approx((rival - own).mean())
    assert "50 of" not in found.control.kind
    assert found.control.kind == f"random circuits of {len(built)} of {len(graph(model))} edges, drawn uniformly with seed 5"


def test_a_random_circuit_beats_no_random_circuits(compiled):
    model, prompts = compiled
    decided = []
    for mask in random_circuits(graph(model), 20, 4, 11):
        check = of(model, seed=1)
        check.beats_random_circuits(graph(model).chosen(mask), prompts, n=39)
        (found,) = check.expectations
        near = sum(value >= found.control.effect for value in found.control.values)
        assert found.p_refuted == pytest.approx(binom.sf(near - 1, 39, 0.1))
        assert (found.verdict == "refuted") == (found.p_refuted <= Confidence().alpha)
        decided.append(found.verdict)
    assert "supported" not in decided
    assert "refuted" in decided


def test_rounding_ranks_no_circuit(compiled):
    """Through none of these does anything run, and whatever their last digits say, they are alike: ties count against the claim."""
    model, prompts = compiled
    check = of(model, seed=3)
    check.beats_random_circuits(edges("0.1->1.1.q 0.2->1.2.k input->0.2.q"), prompts, n=39)
    (found,) = check.expectations
    assert (found.p, found.verdict) == (1.0, "refuted")
    assert found.estimate.value == 0.0


def test_random_circuits_are_of_the_same_kinds_and_positions(tiny):
    whole = graph(tiny("gpt2"))
    for found in random_like(whole, heads("0.1@END 1.0"), 10, 0):
        assert [site.kind for site in found] == ["head"] * 2
    for found in random_like(whole, edges("0.1->logits@END 1.0->logits input->0.1.q"), 10, 0):
        assert sorted(str(site.at) for site in found) == ["END", "None", "None"]
        assert all(site.to is not None for site in found)


def test_edges_at_a_position(tiny):
    model, prompts, check = tiny("gpt2"), random_prompts(2, LENGTHS), of(tiny("gpt2"))
    placed = edges("input->0.1.qkv 0.1->1.0.v 1.0->logits@END")
    check.faithful(placed, prompts)
    check.beats_random_circuits(placed, prompts, n=5)
    assert check.expectations[0].estimate.value == faithfulness(model, prompts, placed).mean
    assert len(check.expectations[1].control.values) == 5


def test_a_circuit_stands_for_its_edges_where_it_has_any(compiled):
    model, prompts = compiled
    circuit = Circuit({"role": heads("0.0")}, "here", edges=edges("input->logits 1.0->logits"))
    check = of(model)
    check.faithful(circuit, prompts)
    check.faithful(circuit["role"], prompts)
    assert [e.evaluated.parts for e in check.expectations] == ["edges", "heads"]


def test_few_random_circuits_decide_nothing(compiled):
    model, prompts = compiled
    check = of(model)
    check.beats_random_circuits(BUILT_INDUCTION, prompts, n=9)
    (found,) = check.expectations
    assert found.verdict == "inconclusive"
    assert "only 9 random circuits, with which the rank's p-value is at best 0.100; it takes 39" in found.estimate.caveat
    assert beyond_prompts(found, Confidence()) == "39 random circuits or more, and 9 were asked for"


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda c, m, p: c.faithful(graph(m).edges, p), CircuitError, "the whole model, which is faithful to itself"),
        (lambda c, m, p: c.beats_random_circuits(graph(m).edges, p), CircuitError, "the whole model"),
        (lambda c, m, p: c.faithful(Sites(), p), CircuitError, "has no sites"),
        (lambda c, m, p: c.faithful(BUILT | heads("0.1"), p), CircuitError, "has edges and nodes"),
        (lambda c, m, p: c.faithful(BUILT, p, margin=0.0), ClaimError, r"faithful\(margin=0.0\)"),
        (lambda c, m, p: c.faithful(BUILT, p, instead="nothing"), MechcheckError, "unknown instead='nothing'"),
        (lambda c, m, p: c.beats_random_circuits(BUILT, p, n=0), ClaimError, r"beats_random_circuits\(n=0\)"),
        (lambda c, m, p: c.beats_random_circuits(BUILT, p, quantile=2), ClaimError, r"beats_random_circuits\(quantile=2\)"),
        (lambda c, m, p: Check(Confidence()).faithful(BUILT, p), ClaimError, "the claim must use the `model` fixture"),
    ],
)
def test_refused(tiny, call, error, message):
    model, prompts = tiny("gpt2"), random_prompts(2, LENGTHS)
    with pytest.raises(error, match=message):
        call(of(model), model, prompts)


def test_the_prompts_of_the_search_are_refused(tiny):
    model, prompts = tiny("gpt2"), random_prompts(2, LENGTHS)
    found = Circuit({}, "here", notes={"found_on": {"prompts_sha256": prompts.sha256}}, edges=BUILT)
    with pytest.raises(PromptError, match="6 of 6 prompts were seen when this circuit was searched for"):
        of(model).faithful(found, prompts)
    assert of(model).faithful(replace(found, notes={}), prompts).n == len(prompts)


def test_a_share_of_nothing_is_undefined(tiny):
    """Where cut edges carry what they carry anyway, nothing is lost that a circuit could keep."""
    prompts, check = random_prompts(2, LENGTHS), of(tiny("gpt2"))
    check.faithful(BUILT, prompts, source=prompts)
    assert check.expectations[0].verdict == "undefined"
    assert check.verdict == "not_applicable"


def test_decoys_of_a_claim_about_edges_are_other_edges(compiled, trial):
    """The claim asks for the edges alone: its roles stay, and alternatives of the same kinds do not satisfy it."""
    model, prompts = compiled

    def body(model, prompts, circuit, check):
        check.faithful(circuit.edges, prompts)

    circuit = traced(Circuit({"induction": heads("1.0@END")}, "here", edges=BUILT_INDUCTION))
    made = trial(body, {"model": model, "prompts": prompts, "circuit": circuit}, decoys_wanted=8)
    check = of(model)
    body(model, prompts, circuit, check)
    found = contrast(made, check.decided, check.samples)
    assert found.kind == "random edges of the same kinds, and as many"
    assert (found.vacuous, found.supported, found.rejected) == (None, 0, len(found.runs))
    assert all(run.label.startswith("edges ") and "induction" not in run.label for run in found.runs)
    (told,) = found.specificity[0]
    assert told.decision == "specific"
