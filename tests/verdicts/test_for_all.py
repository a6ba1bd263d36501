"""`check.for_all`: a known smallest counterexample is found and shrunk to, the same in every run; errors are no counterexamples."""

import itertools
import math
import random
import sys
from types import ModuleType

import numpy as np
import pytest
from hypothesis import assume, settings
from hypothesis import strategies as st
from tiny import random_prompts

from mechcheck.base.errors import ClaimError, NonFiniteError
from mechcheck.stats.measurement import Measurement
from mechcheck.verdicts.for_all import search
from mechcheck.verdicts.seeded_hypothesis import _no_constants_of_the_source

NAMES = ("Ann", "Bob", "Cat", "Dan", "Eve", "Fay")
PAIRS = st.tuples(st.sampled_from(NAMES), st.sampled_from(NAMES)).filter(lambda pair: pair[0] != pair[1])
PROMPTS = random_prompts(1, [9] * 12)


def find(examples, holds, n=100, seed=1, **options):
    return search(examples, holds, n=n, seed=seed, **options)


def rows(broken, value=-0.5):
    """A predicate over prompts that is broken on these ids, by a measurement of this value."""

    def measure(prompts):
        values = [value if name in broken else 1.5 for name in prompts.ids]
        return Measurement(np.array(values), prompts.ids, prompts.templates, "effect", "logits") > 0

    return measure


class TestFound:
    @pytest.mark.parametrize("seed", range(5))
    @pytest.mark.parametrize(
        ("examples", "holds", "smallest"),
        [
            (st.integers(0, 1000), lambda x: x < 37, "37"),
            (st.lists(st.integers(0, 100)), lambda some: sum(some) < 50, "[50]"),
            (PAIRS, lambda pair: "Dan" not in pair, ("('Ann', 'Dan')", "('Dan', 'Ann')")),
            (PAIRS, lambda pair: pair[0] < pair[1], "('Bob', 'Ann')"),
        ],
    )
    def test_shrunk_to_the_smallest(self, examples, holds, smallest, seed):
        found = find(examples, holds, seed=seed)
        assert found.counterexample.example in smallest if isinstance(smallest, tuple) else found.counterexample.example == smallest
        assert found.counterexample.shrunk
        e = found.estimate
        assert (e.value, e.low, e.high, e.n) == (0, 0, 0, found.counterexample.tried)
        assert found.tried.values.tolist() == [0.0]

    def test_how_many_were_tried_before_it(self):
        """Shrinking tries more, which do not count: the first of the distinct examples that broke it is counted, by hand here."""
        met = []

        def holds(x):
            met.append(x)
            return x < 37

        found = find(st.integers(0, 1000), holds)
        first = next(i for i, x in enumerate(met) if x >= 37)
        assert found.counterexample.tried == len(set(met[: first + 1])) < len(set(met))
        assert found.estimate.method.startswith("counterexample: the ")

    def test_not_shrunk_where_nobody_sees_it(self):
        met = []

        def holds(x):
            met.append(x)
            return x < 37

        found = find(st.integers(0, 1000), holds, shrink=False)
        assert not found.counterexample.shrunk
        assert found.counterexample.example == str(met[-1])
        assert [x for x in met if x >= 37] == met[-1:]

    def test_only_the_prompts_that_break_it_are_kept(self):
        halves = st.sampled_from([PROMPTS[:6], PROMPTS[6:]])
        found = find(halves, rows({PROMPTS.ids[7], PROMPTS.ids[9]})).counterexample
        assert found.prompts.ids == (PROMPTS.ids[7], PROMPTS.ids[9])
        assert found.values == (-0.5, -0.5)
        assert (found.measured, found.unit) == ("effect", "logits")
        assert found.example == f"{' '.join(PROMPTS.words[7])} (and 1 more prompt)"

    def test_prompts_beside_other_things(self):
        found = find(st.tuples(st.just(PROMPTS[:2]), st.integers(0, 9)), lambda both: both[1] < 4).counterexample
        assert found.example == f"({' '.join(PROMPTS.words[0])} (and 1 more prompt), 4)"
        assert found.prompts.ids == PROMPTS.ids[:2]
        assert found.values == ()

    def test_a_predicate_that_measures_other_prompts_than_the_example(self):
        """The brief form: the example is two names, and the prompts are made of them in the predicate."""

        def holds(pair):
            values = np.array([0.25 if pair[0] == "Ann" else -2.0])
            return Measurement(values, ("p",), ("all",), "effect") > 0

        found = find(PAIRS, holds)
        assert found.counterexample.example == "('Bob', 'Ann')"
        assert (found.counterexample.prompts, found.counterexample.values) == (None, (-2.0,))
        assert found.label == "for all: effect > 0"


class TestNotFound:
    def test_n_distinct_examples(self):
        met = []

        def record(x):
            met.append(x)
            return True

        found = find(st.integers(0, 10**6), record, n=80)
        assert found.counterexample is None
        assert (found.estimate.value, found.estimate.low, found.estimate.high, found.estimate.n) == (1, 1, 1, 80)
        assert len(set(met)) == 80
        assert found.tried.values.tolist() == [1.0] * 80
        assert len(set(found.tried.ids)) == 80
        assert found.estimate.method == "no counterexample among 80 distinct examples"

    def test_all_there_are(self):
        met = set()
        found = find(PAIRS, lambda pair: met.add(pair) is None, n=1000)
        assert met == set(itertools.permutations(NAMES, 2))
        assert found.estimate.n == 30
        assert found.estimate.low == 1
        assert found.estimate.method == "no counterexample: all 30 examples were tried"

    def test_the_same_example_drawn_in_many_ways_counts_once(self):
        """Too few distinct examples decide nothing: the interval is the whole of [0, 1]."""
        found = find(st.integers(0, 10**9).map(lambda x: x % 7), lambda x: True, n=50)
        assert (found.estimate.low, found.estimate.high, found.estimate.n) == (0, 1, 7)
        assert found.estimate.method == "no counterexample among 7 distinct examples, of 50 that were asked for"

    def test_prompts_are_known_by_their_ids_and_templates(self):
        found = find(st.sampled_from(range(12)).map(lambda row: PROMPTS[[row]]), rows(set()), n=50)
        assert sorted(found.tried.ids) == sorted(PROMPTS.ids)
        assert dict(zip(found.tried.ids, found.tried.templates, strict=True)) == dict(zip(PROMPTS.ids, PROMPTS.templates, strict=True))

    def test_assume_in_the_predicate(self):
        def holds(x):
            assume(x % 3)
            return True

        assert find(st.integers(0, 29), holds, n=500).estimate.n == 20


class TestTheSameInEveryRun:
    @staticmethod
    def drawn(seed: int) -> list[int]:
        met = []
        find(st.integers(0, 10**6), lambda x: met.append(x) is None, n=60, seed=seed)
        return met

    def test_the_seed_decides(self):
        random.seed(5)
        first = self.drawn(3)
        random.seed(6)
        np.random.seed(6)  # noqa: NPY002
        assert self.drawn(3) == first
        assert self.drawn(4) != first

    def test_no_profile_of_the_users_changes_it(self):
        first = self.drawn(3)
        settings.register_profile("odd", max_examples=7, derandomize=True, database=None)
        try:
            settings.load_profile("odd")
            assert self.drawn(3) == first
        finally:
            settings.load_profile("default")

    def test_imported_modules_do_not_change_it(self, tmp_path, monkeypatch):
        """Hypothesis draws numbers that stand in local modules; which are imported depends on the order of tests."""
        first = self.drawn(3)
        source = tmp_path / "local_numbers.py"
        source.write_text("\n".join(f"x{i} = {700_000 + i}" for i in range(500)))
        module = ModuleType("local_numbers")
        module.__file__ = str(source)
        monkeypatch.setitem(sys.modules, "local_numbers", module)
        assert self.drawn(3) == first

    def test_hypothesis_still_has_what_is_switched_off(self):
        providers = pytest.importorskip("hypothesis.internal.conjecture.providers", reason="this Hypothesis draws no constants")
        HypothesisProvider = providers.HypothesisProvider
        before = HypothesisProvider._maybe_draw_constant
        with _no_constants_of_the_source():
            assert HypothesisProvider._maybe_draw_constant is not before
        assert HypothesisProvider._maybe_draw_constant is before

    def test_nothing_is_written_or_printed(self, tmp_path, monkeypatch, capfd, recwarn):
        monkeypatch.chdir(tmp_path)
        many = st.sampled_from([PROMPTS] * 3).map(lambda prompts: prompts)
        find(many, rows(set(PROMPTS.ids)))
        find(st.integers(), lambda x: x < 10)
        assert list(tmp_path.iterdir()) == []
        assert capfd.readouterr() == ("", "")
        assert not recwarn.list


class TestErrors:
    @pytest.mark.parametrize(
        ("examples", "holds", "message"),
        [
            ([1, 2], bool, r"takes a Hypothesis strategy, got list; .* mechcheck\.strategies\.prompts_from"),
            (st.integers(), True, "needs a function of an example"),
            (st.integers(0, 9), lambda x: None, r"not NoneType \(is a return missing\?\); the example: 0$"),
            (st.integers(0, 9), lambda x: 1.0, "must return True or False, or a Measurement .* not float"),
            (st.integers(0, 9), lambda x: 1 / (5 - x), "must return"),
            (st.integers(0, 9), lambda x: 1 % x == 1, "the predicate raised ZeroDivisionError: .*; the example: 0$"),
            (st.integers(1, 9).filter(lambda x: False), bool, "gives no example that can be tried: its filters"),
            (st.integers().filter(lambda x: x % 10**6 == 7), bool, "Hypothesis refuses the strategy: .* Build examples that fit"),
            (st.integers(3, 1), bool, "the strategy is not valid: Cannot have max_value=1 < min_value=3"),
            (st.sampled_from([]), bool, "the strategy is not valid"),
            (st.integers(0, 9).map(lambda x: 1 // x), bool, "the strategy could not draw an example: ZeroDivisionError"),
            (st.builds(object), bool, "examples of type object cannot be told apart"),
            (st.just(PROMPTS), lambda prompts: Measurement(np.ones(2) / 2, ("a", "b"), ("t", "t"), "effect"), "effect says neither yes"),
            (st.just(PROMPTS), lambda prompts: Measurement(np.ones(0), (), ()), "the measurement says neither yes"),
        ],
    )  # fmt: skip
    def test_what_cannot_be_decided(self, examples, holds, message):
        with pytest.raises(ClaimError, match=message):
            find(examples, holds)

    def test_once_this_way_and_once_that_way(self):
        answers = iter([False])
        with pytest.raises(ClaimError, match="the same example was judged, or drawn, once this way and once that way: seed"):
            find(st.integers(0, 9), lambda x: next(answers, True))

    def test_no_example_is_left(self):
        def never(x):
            assume(False)

        with pytest.raises(ClaimError, match="the strategy gives no example that can be tried"):
            find(st.integers(0, 3), never)

    def test_an_assertion_says_what_to_do(self):
        def holds(x):
            assert x < 3, "too large"

        with pytest.raises(ClaimError, match=r"(?s)AssertionError: too large.* \(return the condition instead of asserting it\)") as caught:
            find(st.integers(3, 9), holds)
        assert isinstance(caught.value.__cause__, AssertionError)

    def test_at_least_one_example(self):
        with pytest.raises(ClaimError, match="at least one example"):
            find(st.integers(), bool, n=0)

    @pytest.mark.parametrize("value", [math.nan, math.inf])
    def test_no_number_is_no_counterexample(self, value):
        def measure(row):
            values = np.array([value if row == 5 else -1.0 if row == 9 else 1.0])
            return Measurement(values, (f"p{row}",), ("all",), "effect") > 0

        assert find(st.integers(6, 9), measure).counterexample.example == "9"
        with pytest.raises(NonFiniteError, match=r"effect > 0 is not finite on 1 of 1 prompts \(p5\); the example: 5"):
            find(st.integers(0, 5), measure)

    def test_an_interruption_passes_through(self):
        def interrupted(x):
            raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            find(st.integers(), interrupted)

    def test_a_skip_passes_through(self):
        with pytest.raises(pytest.skip.Exception):
            find(st.integers(), lambda x: pytest.skip("no data"))
