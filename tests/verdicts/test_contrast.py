"""Decoys and positive controls, by bodies that need no model."""

import pytest

from mechcheck.base.errors import ClaimError
from mechcheck.verdicts.contrast import contrast


@pytest.fixture
def above(around):
    """A body: the mean is above 0."""

    def body(check, mean=1.0):
        check.above(around(mean), 0.0, label="positive")

    return body


def test_a_claim_that_its_decoys_do_not_satisfy(trial, above):
    found = contrast(trial(above, {"mean": 1.0}, decoys=({"mean": -1.0}, {"mean": 0.0})))
    assert (found.kind, found.supported, found.vacuous) == ("named by the claim", 0, None)
    assert [(run.label, run.verdict) for run in found.runs] == [("mean: -1.0", "refuted"), ("mean: 0.0", "inconclusive")]


def test_every_decoy_must_differ(trial, above):
    found = contrast(trial(above, {"mean": 1.0}, decoys=({"mean": -1.0}, {"mean": 2.0})))
    assert found.vacuous == "1 of 1 decoys (named by the claim) satisfy it too, so it says nothing about this case"
    assert found.supported == 1


@pytest.mark.parametrize(("decoy", "message"), [(None, "has no decoy of its own: name one"), ("random_sites", "use the `circuit` fixture")])
def test_a_claim_without_model_and_circuit_names_its_decoy(trial, above, decoy, message):
    with pytest.raises(ClaimError, match=message):
        contrast(trial(above, {"mean": 1.0}, decoys=(decoy,)))


def test_a_refutation_needs_a_case_that_is_supported(trial, above):
    options = {"expect": "refuted", "params": {"mean": -1.0}}
    found = contrast(trial(above, {"mean": -1.0}, positive_control={"mean": 1.0}, **options))
    assert (found.kind, found.vacuous) == ("positive control", None)
    assert [(run.label, run.verdict) for run in found.runs] == [("mean: 1.0", "supported")]
    found = contrast(trial(above, {"mean": -1.0}, positive_control={"mean": -2.0}, **options))
    assert "its refutation says nothing; tried: mean: -2.0. Name one: @claim(positive_control=...)" in found.vacuous


def test_twins_differ_by_their_seed_and_are_few(trial, tiny, around):
    seen = []

    def body(check, model):
        seen.append(float(model.W_E.sum()))
        check.above(around(-1.0), 0.0)

    found = contrast(trial(body, {"model": tiny("gpt2", "float32")}, decoys_wanted=4))
    assert [run.label for run in found.runs] == ["weights drawn with seed 0", "weights drawn with seed 1"]
    assert len(set(seen)) == 2


@pytest.mark.parametrize(("satisfied", "vacuous"), [(0, False), (1, True), (2, True)])
def test_half_of_the_decoys_are_too_many(trial, tiny, around, satisfied, vacuous):
    calls = []

    def body(check, model):
        calls.append(model)
        check.above(around(1.0 if len(calls) <= satisfied else -1.0), 0.0)

    found = contrast(trial(body, {"model": tiny("gpt2", "float32")}))
    assert (found.supported, found.vacuous is not None) == (satisfied, vacuous)
