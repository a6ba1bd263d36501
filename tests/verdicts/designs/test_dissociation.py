"""`check.dissociates`: eight comparisons on four effects, what each decides, and what is refused."""

import numpy as np
import pytest

from mechcheck.base.errors import ClaimError, MechcheckError
from mechcheck.engine.run import run
from mechcheck.models.loading import load_model
from mechcheck.notation.circuit import Circuit
from mechcheck.notation.interventions import Ablate, Scale
from mechcheck.notation.metrics import correct, log_probability
from mechcheck.notation.sites import Sites, heads
from mechcheck.stats.estimates import Confidence
from mechcheck.tasks.shipped import task_prompts
from mechcheck.verdicts.check import Check

NAME = "names-gpt2-seed6"
IOI, INDUCTION = heads("0.3@END"), heads("0.0@NEXT")


@pytest.fixture(scope="module")
def both():
    """A model that does both tasks, and prompts of each."""
    model = load_model(NAME)
    return model, {task: task_prompts(task, model, n=96, seed=3, split="discover") for task in ("ioi", "induction")}


def dissociated(both, ioi, induction, **told):
    """The check, and what was measured; of IOI's prompts and induction's."""
    model, prompts = both
    check = Check(Confidence(), model)
    found = check.dissociates({"IOI": (prompts["ioi"], ioi), "induction": (prompts["induction"], induction)}, **{"margin": 1 / 3} | told)
    return check, found


def test_the_heads_that_read_for_each_task_come_apart(both):
    check, found = dissociated(both, IOI, INDUCTION)
    assert check.verdict == "supported"
    assert [e.role for e in check.expectations] == ["precondition", *["claim"] * 3] * 2
    assert [e.label for e in check.expectations[:4]] == [
        "the model does IOI: IOI's logit difference > 0",
        "IOI: share lost without its own sites > 0.5",
        "IOI: lost without the sites of induction < 0.333 of what its own are worth",
        "IOI: gained without the sites of induction < 0.333 of what its own are worth",
    ]
    model, prompts = both
    expected = run(model, prompts["induction"]) - run(model, prompts["induction"], Ablate(IOI.at(None), "mean"))
    assert np.allclose(found.lost["induction", "IOI"].values, expected.values, atol=1e-5)
    shares = found.figure().data()["data"]
    assert shares["rows"] == shares["cols"] == ["IOI", "induction"]
    assert shares["values"][1][0] == pytest.approx((expected / run(model, prompts["induction"])).mean, rel=1e-4)


@pytest.mark.parametrize(
    ("ioi", "induction", "failed"),
    [
        (INDUCTION, IOI, {1, 2, 5, 6}),  # exchanged
        (heads("0.1"), heads("0.2"), {1, 5}),  # heads of neither
        (IOI, heads("1.0-3"), {2}),  # the layer that copies is needed by both
    ],
    ids=["exchanged", "neither", "shared"],
)
def test_it_fails_where_it_should(both, ioi, induction, failed):
    check, _ = dissociated(both, ioi, induction)
    assert check.verdict == "refuted"
    assert failed <= {place for place, e in enumerate(check.expectations) if e.verdict == "refuted"}


def test_a_gain_across_is_no_independence(both):
    """Doubling the other's sites in place of taking them away: what a task gains counts as what it loses does."""
    check, found = dissociated(both, heads("1.0-3"), IOI, lesion=lambda sites: Scale(sites, 3.0), least=0.01)
    gained = {place for place, e in enumerate(check.expectations) if "gained" in e.label and e.verdict == "refuted"}
    assert gained
    assert any(found.lost[pair].mean < 0 for pair in found.lost if pair[0] != pair[1])


def test_circuits_and_other_lesions_and_metrics(both):
    circuit = Circuit({"s_inhibition": IOI}, "part of it")
    of_circuit, of_sites = (dissociated(both, one, INDUCTION, lesion="zero", metric=correct)[1] for one in (circuit, IOI))
    assert np.array_equal(of_circuit.lost["IOI", "IOI"].values, of_sites.lost["IOI", "IOI"].values)
    assert of_sites.untouched["IOI"].name == f"IOI's {correct.name}"


def test_what_the_model_does_not_do_cannot_be_taken_from_it(both):
    """A log-probability is never above zero, so by that metric the model does neither task."""
    check, _ = dissociated(both, IOI, INDUCTION, metric=log_probability)
    assert [e.verdict for e in check.expectations if e.role == "precondition"] == ["refuted", "refuted"]
    assert check.verdict == "not_applicable"


@pytest.mark.parametrize(
    ("halves", "told", "error", "words"),
    [
        ({}, {}, ClaimError, "takes two tasks"),
        ({"a": (0, IOI)}, {}, ClaimError, "takes two tasks"),
        ([("a", IOI)], {}, ClaimError, "takes two tasks"),
        ({"a": IOI, "b": IOI}, {}, ClaimError, r"'a' takes \(prompts, sites\)"),
        ({"a": (0, "0.1"), "b": (0, IOI)}, {}, ClaimError, r"'a' takes \(prompts, sites\)"),
        ({"a": (0, IOI), "b": (0, Sites())}, {}, ClaimError, "'b' has no sites"),
        ({"a": (0, IOI), "b": (0, IOI)}, {"margin": 1.5}, ClaimError, r"margin=1.5"),
        ({"a": (0, IOI), "b": (0, IOI)}, {"margin": float("nan")}, ClaimError, r"margin=nan"),
        ({"a": (0, IOI), "b": (0, IOI)}, {"margin": "0.2"}, ClaimError, r"margin=.*a number is expected"),
        ({"a": (0, IOI), "b": (0, IOI)}, {}, ClaimError, r"'a' takes \(prompts, sites\), got int as the prompts"),
        ({"a": (0, IOI), "b": (0, IOI)}, {"least": 0}, ClaimError, r"least=0"),
        ({"a": (0, IOI), "b": (0, IOI)}, {"lesion": "median"}, MechcheckError, "unknown ablation 'median'"),
    ],
)
def test_what_is_refused(both, halves, told, error, words):
    with pytest.raises(error, match=words):
        Check(Confidence(), both[0]).dissociates(halves, **{"margin": 0.25} | told)


def test_a_model_is_needed_and_more_than_one_prompt(both):
    with pytest.raises(ClaimError, match="must use the `model` fixture"):
        Check(Confidence()).dissociates({"a": (0, IOI), "b": (0, IOI)}, margin=0.25)
    model, prompts = both
    with pytest.raises(MechcheckError, match="one prompt shows nothing about others"):
        dissociated((model, {task: few[:1] for task, few in prompts.items()}), IOI, INDUCTION, lesion="zero")
