"""Decoys and positive controls, by bodies that need no model."""

from dataclasses import replace

import numpy as np
import pytest

from mechcheck.base.errors import ClaimError
from mechcheck.verdicts.contrast import FRUITLESS, Contrast, contrast
from mechcheck.verdicts.outcome import decide_claim


@pytest.fixture
def above(around):
    """A body: the mean is above 0."""

    def body(check, mean=1.0):
        check.above(around(mean), 0.0, label="positive")

    return body


def contrasted(one) -> Contrast:
    """The contrasts of a claim, after its own run."""
    one.body(**one.arguments)
    outcome = decide_claim(one.arguments["check"], one.case.expect)
    return contrast(one, outcome.expectations, outcome.samples)


def test_a_claim_that_its_decoys_do_not_satisfy(trial, above):
    found = contrasted(trial(above, {"mean": 1.0}, decoys=({"mean": -1.0}, {"mean": -2.0})))
    assert (found.kind, found.supported, found.vacuous, found.caveat) == ("named by the claim", 0, None, None)
    assert [(run.label, run.verdict) for run in found.runs] == [("mean: -1.0", "refuted"), ("mean: -2.0", "refuted")]
    assert [one.text for one in found.specificity[0]] == ["specific: the only alternative fails it"] * 2


def test_a_decoy_that_decides_nothing_is_no_rejection(trial, above):
    found = contrasted(trial(above, {"mean": 1.0}, decoys=({"mean": 0.0},)))
    assert (found.vacuous, found.runs[0].verdict) == (None, "inconclusive")
    assert found.caveat == "positive: cannot tell: the only alternative neither satisfies nor fails it (named by the claim)"


def test_every_decoy_must_differ(trial, above):
    found = contrasted(trial(above, {"mean": 1.0}, decoys=({"mean": -1.0}, {"mean": 0.5})))
    said = "vacuous: the only alternative satisfies it (named by the claim), so it says nothing about this case"
    assert found.vacuous == said + "; a threshold of 0.705 would tell it from them"
    assert found.supported == 1


def test_each_check_is_judged_by_itself(trial, around):
    """A trivial check does not hide behind a real one, and a real one keeps the claim from being vacuous."""

    def body(check, mean=1.0):
        check.requires(around(5.0), above=1.0, label="needed")
        check.above(around(mean), 0.0, label="real")
        check.above(around(2.0 + mean / 10), 0.0, label="trivial")

    found = contrasted(trial(body, {"mean": 1.0}, decoys=({"mean": -1.0},)))
    assert found.vacuous is None
    assert [[one.decision for one in told] for told in found.specificity] == [[], ["specific"], ["vacuous"]]
    assert found.caveat == "trivial: vacuous: the only alternative satisfies it (named by the claim)"
    real, trivial = found.specificity[1][0], found.specificity[2][0]
    assert real.contrast.value == pytest.approx(2.0)
    assert trivial.contrast.value == pytest.approx(0.2)
    assert trivial.contrast.low == pytest.approx(0.2)  # the same difference on every prompt
    assert -1.0 < real.separating < 1.0
    assert 1.9 < trivial.separating < 2.1


@pytest.mark.parametrize(("decoy", "message"), [(None, "has no decoy of its own: name one"), ("random_sites", "use the `circuit` fixture")])
def test_a_claim_without_model_and_circuit_names_its_decoy(trial, above, decoy, message):
    with pytest.raises(ClaimError, match=message):
        contrasted(trial(above, {"mean": 1.0}, decoys=(decoy,)))


class TestPositiveControl:
    """A refutation needs a case that is supported."""

    def control(self, trial, above, mean: float) -> Contrast:
        return contrasted(trial(above, {"mean": -1.0}, positive_control={"mean": mean}, expect="refuted", params={"mean": -1.0}))

    def test_found(self, trial, above):
        found = self.control(trial, above, 1.0)
        assert (found.kind, found.vacuous, found.caveat, found.specificity) == ("positive control", None, None, ())
        assert [(run.label, run.verdict) for run in found.runs] == [("mean: 1.0", "supported")]

    def test_refuted_too(self, trial, above):
        found = self.control(trial, above, -2.0)
        assert found.vacuous == (
            "its refutation says nothing: nothing was found on which the same test is supported; tried: mean: -2.0 (refuted). "
            "Name one: @claim(positive_control=...)"
        )

    def test_not_told(self, trial, above):
        found = self.control(trial, above, 0.0)
        assert found.vacuous is None
        assert found.caveat.startswith("whether the test can be satisfied is not known: nothing was found")


class TestTwins:
    """Re-initialised models are without end, and drawn until they tell."""

    def drawn(self, trial, tiny, around, means, wanted: int = 16) -> Contrast:
        """The body's value on the model is 1, and on its twins these, in their order."""
        values = iter([1.0, *means])

        def body(check, model):
            check.above(around(next(values)), 0.0)

        return contrasted(trial(body, {"model": tiny("gpt2", "float32")}, decoys_wanted=wanted))

    def test_five_that_agree_are_enough(self, trial, tiny, around):
        found = self.drawn(trial, tiny, around, [-1.0] * 16)
        assert [run.label for run in found.runs] == [f"weights drawn with seed {i}" for i in range(5)]
        assert found.vacuous is None
        assert found.specificity[0][0].text == "specific: at most 45% of alternatives satisfy it (0 of 5)"
        found = self.drawn(trial, tiny, around, [1.0] * 16)
        assert len(found.runs) == 5
        assert found.vacuous.startswith("vacuous: at least 55% of alternatives satisfy it (5 of 5) (re-initialised weights)")

    def test_two_minds_take_longer(self, trial, tiny, around):
        found = self.drawn(trial, tiny, around, [-1.0, 1.0] + [-1.0] * 14)
        assert (len(found.runs), found.vacuous) == (10, None)
        assert found.specificity[0][0].text == "specific: at most 39% of alternatives satisfy it (1 of 10)"

    def test_half_and_half_is_not_told(self, trial, tiny, around):
        found = self.drawn(trial, tiny, around, [1.0, -1.0] * 8)
        assert (len(found.runs), found.vacuous) == (16, None)
        assert "cannot tell: at most 72% of alternatives satisfy it (8 of 16)" in found.caveat

    def test_the_budget_ends_it(self, trial, tiny, around):
        found = self.drawn(trial, tiny, around, [-1.0] * 16, wanted=3)
        assert len(found.runs) == 3
        assert "cannot tell: at most 63% of alternatives satisfy it (0 of 3)" in found.caveat

    def test_where_the_first_decide_nothing_no_more_are_tried(self, trial, tiny, around):
        found = self.drawn(trial, tiny, around, [0.0] * 16)
        assert (len(found.runs), found.vacuous) == (FRUITLESS, None)
        assert "cannot tell: at most 100% of alternatives satisfy it (0 of 4, 4 decide nothing)" in found.caveat

    def test_they_differ_by_their_seed(self, trial, tiny, around):
        seen = []

        def body(check, model):
            seen.append(float(model.W_E.sum()))
            check.above(around(1.0 if len(seen) == 1 else -1.0), 0.0)

        contrasted(trial(body, {"model": tiny("gpt2", "float32")}, decoys_wanted=16))
        assert len(set(seen)) == 6


def test_decoys_of_another_prompts_cannot_be_paired(trial, around):
    def body(check, mean=1.0):
        measured = around(mean)
        check.above(measured if mean > 0 else replace(measured, ids=tuple(f"other {i}" for i in measured.ids)), 0.0)

    found = contrasted(trial(body, {"mean": 1.0}, decoys=({"mean": -1.0},)))
    assert (found.specificity[0][0].decision, found.specificity[0][0].contrast) == ("specific", None)


def test_the_contrast_of_a_share_is_the_difference_of_the_shares(trial, around):
    def body(check, mean=1.0):
        check.above(around(mean) / around(2.0), 0.2)

    found = contrasted(trial(body, {"mean": 1.0}, decoys=({"mean": 0.1},)))
    assert found.specificity[0][0].contrast.value == pytest.approx(0.5 - 0.05)
    assert np.isfinite(found.specificity[0][0].contrast.low)
