"""`check`: every method in both directions, what it records, and what it refuses."""

import math
from types import SimpleNamespace

import numpy as np
import pytest

from mechcheck.base.errors import ClaimError, MechcheckError, NonFiniteError
from mechcheck.notation.sites import Sites, heads
from mechcheck.stats.estimates import Confidence
from mechcheck.stats.measurement import Measurement
from mechcheck.verdicts.check import Check

NOISE = np.array([-0.3, -0.2, -0.1, 0.0, 0.1, 0.2, 0.3, -0.15, 0.15, 0.0])
IDS = tuple("abcdefghij")
TEMPLATES = ("long", "short") * 5


def around(mean: float, name: str = "effect", unit: str = "logits") -> Measurement:
    """Ten prompts with this mean and a spread of about 0.2."""
    return Measurement(mean + NOISE, IDS, ("all",) * 10, name, unit)


@pytest.fixture
def check() -> Check:
    return Check(Confidence())


@pytest.mark.parametrize(
    ("method", "arguments", "supported", "refuted", "inconclusive", "label"),
    [
        ("above", (1.0,), 2.0, 0.0, 1.0, "effect > 1"),
        ("below", (1.0,), 0.0, 2.0, 1.0, "effect < 1"),
        ("between", (1.0, 3.0), 2.0, 4.0, 3.0, "1 < effect < 3"),
        ("equivalent", (1.0,), 0.0, -2.0, 1.0, "|effect - 0| < 1"),
        ("equivalent", (0.5, 2.0), 2.0, 1.0, 2.5, "|effect - 2| < 0.5"),
    ],
)
def test_directions(check, method, arguments, supported, refuted, inconclusive, label):
    for mean, verdict in ((supported, "supported"), (refuted, "refuted"), (inconclusive, "inconclusive")):
        estimate = getattr(check, method)(around(mean), *arguments)
        found = check.expectations[-1]
        assert found.verdict == verdict
        assert estimate == found.estimate
        assert estimate.value == pytest.approx(mean)
        assert (found.kind, found.unit) == (method, "logits")
    assert check.expectations[0].label == label
    assert [m.mean for m in check.samples] == pytest.approx([supported, refuted, inconclusive])


def test_greater_is_paired(check):
    """Two measurements that vary together differ clearly, though their means are close."""
    wide = Measurement(100 * NOISE, IDS, ("all",) * 10, "b")
    a = (wide + 1.0 + around(0) / 10).named("a")
    check.greater(a, wide)
    check.greater(wide, a)
    check.greater(a, wide, margin=2)
    assert [e.verdict for e in check.expectations] == ["supported", "refuted", "refuted"]
    assert [e.label for e in check.expectations] == ["a > b", "b > a", "a > b + 2"]
    assert (check.expectations[2].threshold, check.expectations[2].margin) == (2.0, 2.0)


@pytest.mark.parametrize(
    ("hits", "above", "below"), [(10, "supported", "refuted"), (0, "refuted", "supported"), (5, "inconclusive", "inconclusive")]
)
def test_rate(check, hits, above, below):
    holds = Measurement(np.arange(10) < hits, IDS, ("all",) * 10, "a < b")
    check.rate(holds, above=0.5)
    check.rate(holds, below=0.5)
    assert [e.verdict for e in check.expectations] == [above, below]
    assert [e.label for e in check.expectations] == ["share with (a < b) > 0.5", "share with (a < b) < 0.5"]


def test_p_is_that_of_the_claimed_side(check):
    check.above(around(0.1), 0.0)
    check.below(around(0.1), 0.0)
    check.between(around(0.1), -1, 1)
    above, below, between = check.expectations
    assert 0.01 < above.p < 0.1
    assert below.p == pytest.approx(1 - above.p)
    assert (above.p_refuted, below.p_refuted) == (pytest.approx(below.p), pytest.approx(above.p))
    assert between.p < 0.025  # the larger of the two one-sided tests
    assert between.p_refuted > 0.99


@pytest.mark.parametrize("threshold", [-0.2, -0.05, 0.0, 0.05, 0.1, 0.15, 0.3])
def test_supported_and_refuted_are_what_the_p_values_say(check, threshold):
    check.above(around(0.1), threshold)
    check.below(around(0.1), threshold)
    check.equivalent(around(0.1), 0.06, to=threshold)
    check.rate(around(0.1) > threshold, above=0.5)
    for e in check.expectations:
        assert (e.verdict == "supported") == (e.p <= check.confidence.alpha)
        assert (e.verdict == "refuted") == (e.p_refuted <= check.confidence.alpha)


def test_own_labels_and_templates(check):
    values = np.where(np.arange(10) % 2, 1.0, 3.0)
    check.above(Measurement(values, IDS, TEMPLATES, "effect"), 0.0, "long or short")
    found = check.expectations[0]
    assert found.label == "long or short"
    assert found.by_template == {"long": (3.0, 5), "short": (1.0, 5)}
    check.above(around(1) / around(2), 0.0)
    assert check.expectations[1].label == "effect / effect > 0"
    assert check.expectations[1].estimate.value == pytest.approx(0.5)
    assert check.expectations[1].by_template == {}


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda c: c.above(0.5, 0), r"needs a Measurement \(one value per prompt\), got float"),
        (lambda c: c.below(np.ones(3), 0), "got ndarray"),
        (lambda c: c.greater(around(1), 0.5), "got float"),
        (lambda c: c.rate(np.ones(3), above=0.5), "got ndarray"),
        (lambda c: c.above(0.5, 0, "labelled"), "got float"),
        (lambda c: c.above(around(1), math.nan), "needs finite thresholds, got nan"),
        (lambda c: c.below(around(1), math.inf), "needs finite thresholds, got inf"),
        (lambda c: c.equivalent(around(1), math.nan), "needs finite thresholds"),
        (lambda c: c.between(around(1), 2, 1), r"between\(2, 1\): the first must be the smaller"),
        (lambda c: c.between(around(1), 1, 1), "the first must be the smaller"),
        (lambda c: c.equivalent(around(1), 0), r"equivalent\(margin=0\): the margin must be positive"),
        (lambda c: c.rate(around(1) > 0), "rate needs one threshold"),
        (lambda c: c.rate(around(1) > 0, above=0.1, below=0.9), "rate needs one threshold"),
        (lambda c: c.rate(around(1) > 0, above=1), "a rate cannot be above 1 and fail, or hold"),
        (lambda c: c.rate(around(1) > 0, below=0), "a rate cannot be below 0 and fail, or hold"),
        (lambda c: c.rate(around(1), above=0.5), r"a rate needs one yes \(1\) or no \(0\) per prompt"),
        (lambda c: c.beats_random(around, heads("0.0")), "the claim must use the `model` fixture"),
    ],
)
def test_refusals(check, call, message):
    with pytest.raises(ClaimError, match=message):
        call(check)
    assert check.expectations == check.samples == []


def test_nothing_finite_nothing_concluded(check):
    for call in (lambda: check.above(around(math.nan), 0), lambda: check.rate(around(math.nan) > 0, above=0.5)):
        with pytest.raises(NonFiniteError):
            call()
    with pytest.raises(MechcheckError, match="at least 2 different prompts"):
        check.above(Measurement(np.ones(1), ("a",), ("all",)), 0)
    assert check.expectations == []


def test_figures_are_drawn_only_where_they_are_seen(check):
    figure = SimpleNamespace(data=dict)
    check.figure(figure)
    check.figure(lambda: figure)
    assert check.figures == [figure, figure]
    unseen = Check(draws=False)
    unseen.figure(lambda: pytest.fail("drawn"))
    assert unseen.figures == []


class TestBeatsRandom:
    """A model of 1 layer and 61 heads; head h has effect h, so head 60 beats all 60 others."""

    @staticmethod
    def of(n_heads: int) -> Check:
        return Check(Confidence(), SimpleNamespace(cfg=SimpleNamespace(n_layers=1, n_heads=n_heads, d_mlp=8)), seed=1)

    @pytest.fixture
    def check(self) -> Check:
        return self.of(61)

    @staticmethod
    def effect(sites: Sites) -> Measurement:
        return around(float(sum(site.index for site in sites)))

    def test_the_rival_is_at_the_quantile(self, check):
        check.beats_random(self.effect, heads("0.60"))
        check.beats_random(self.effect, heads("0.60"), quantile=1.0)
        check.beats_random(self.effect, heads("0.60"), quantile=0.5)
        assert [e.estimate.value for e in check.expectations] == pytest.approx([60 - 54, 60 - 59, 60 - 30])
        assert {e.verdict for e in check.expectations} == {"supported"}
        control = check.expectations[0].control
        assert sorted(control.values) == pytest.approx(range(60))
        assert sorted(control.labels) == sorted(f"0.{h}" for h in range(60))
        assert control.kind == "random sites like 0.60"
        assert control.effect == pytest.approx(60)  # the site's own, not its distance to a control
        assert check.expectations[0].label == "effect of 0.60 beats random sites"

    @pytest.mark.parametrize(
        ("head", "p", "verdict"),
        [(60, 1 / 61, "supported"), (59, 2 / 61, "inconclusive"), (56, 5 / 61, "inconclusive"), (0, 1.0, "refuted")],
    )
    def test_supported_takes_the_rank_too(self, check, head, p, verdict):
        """Head 59 exceeds the rival at the quantile by far, but one control of sixty exceeds it."""
        check.beats_random(self.effect, heads(f"0.{head}"))
        found = check.expectations[0]
        assert found.verdict == verdict
        assert found.p == pytest.approx(p)
        assert found.estimate.caveat is None

    def test_the_effects_that_are_compared_are_told_apart(self, check):
        check.beats_random(lambda sites: around(float(str(sites).rpartition(".")[2])).named("lost"), heads("0.60"), n=60, quantile=1.0)
        own, rival = check.samples[0].operands
        assert (own.name, rival.name) == ("lost, the claim's own", "lost, control: 0.59")
        assert own.values.mean() - rival.values.mean() == pytest.approx(1.0)

    def test_a_tie_counts_against_the_claim(self, check):
        check.beats_random(lambda sites: around(1.0), heads("0.3"))
        assert check.expectations[0].p == 1.0
        assert check.expectations[0].verdict == "inconclusive"

    @pytest.mark.parametrize(("n_heads", "verdict"), [(2, "inconclusive"), (21, "inconclusive"), (39, "inconclusive"), (40, "supported")])
    def test_too_few_controls_decide_nothing(self, n_heads, verdict):
        check = self.of(n_heads)
        check.beats_random(self.effect, heads(f"0.{n_heads - 1}"))
        found = check.expectations[0]
        assert (found.verdict, found.p) == (verdict, pytest.approx(1 / n_heads))
        if verdict == "inconclusive":
            best = f"only {n_heads - 1} other sets of sites, with which the rank's p-value is at best {1 / n_heads:.3f}; it takes 39"
            assert found.estimate.caveat == best

    @pytest.mark.parametrize("arguments", [{"quantile": -0.1}, {"quantile": 1.1}, {"quantile": 90}, {"quantile": math.nan}, {"n": 0}])
    def test_no_such_control(self, check, arguments):
        with pytest.raises(ClaimError, match=rf"beats_random\({'|'.join(arguments)}="):
            check.beats_random(self.effect, heads("0.60"), **arguments)

    def test_few_controls_take_the_strongest(self, check):
        check.beats_random(self.effect, heads("0.60"), n=5)
        found = check.expectations[0]
        assert len(found.control.values) == 5
        assert found.estimate.value == pytest.approx(60 - max(found.control.values))

    def test_controls_avoid_the_circuit(self, check):
        check.outside = heads("0.10-60")
        check.beats_random(self.effect, heads("0.60"))
        assert max(check.expectations[0].control.values) == pytest.approx(9)

    def test_a_control_without_a_value(self, check):
        def broken(sites: Sites) -> Measurement:
            return around(math.nan if sites == heads("0.7") else 1.0)

        with pytest.raises(NonFiniteError, match=r"effect is not finite for random sites \(0\.7\)"):
            check.beats_random(broken, heads("0.20"))


def test_two_expectations_of_one_label_are_told_apart(check):
    check.above(around(1.0), 0.0, "the same")
    check.above(around(2.0), 0.0, "the same")
    assert [e.label for e in check.expectations] == ["the same", "the same (2)"]


@pytest.mark.parametrize("value", ["0", None, True, [0, 1]])
def test_what_is_no_number_is_no_threshold(around, value):
    measured = around(1.0)
    asked = [
        lambda check: check.above(measured, value), lambda check: check.below(measured, value),
        lambda check: check.between(measured, value, 2.0), lambda check: check.between(measured, 0.0, value),
        lambda check: check.equivalent(measured, value), lambda check: check.greater(measured, measured, value),
        lambda check: check.requires(measured, equivalent=value if value is not None else "x"),
    ]  # fmt: skip
    for ask in asked:
        check = Check()
        with pytest.raises(ClaimError, match="a number is expected, got"):
            ask(check)
        assert check.expectations == []
