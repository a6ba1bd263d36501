"""`check.for_all`: what a claim records of a search for a counterexample."""

from hypothesis import strategies as st

from mechcheck.verdicts.check import Check


class TestCheck:
    def test_what_is_recorded(self):
        check = Check(seed=4, examples=30)
        estimate = check.for_all(st.integers(0, 10**6), lambda x: x >= 0)
        check.for_all(st.integers(0, 1000), lambda x: x < 5, label="small")
        check.for_all(st.integers(0, 1000), lambda x: x < 7, label="small")
        first, second, third = check.expectations
        assert estimate == first.estimate
        assert (first.estimate.n, first.estimate.level) == (30, 1.0)
        assert [e.verdict for e in check.expectations] == ["supported", "refuted", "refuted"]
        assert {e.kind for e in check.expectations} == {"for_all"}
        assert {e.p for e in check.expectations} == {None}
        assert {e.threshold for e in check.expectations} == {0.5}
        assert (second.label, third.label) == ("small", "small (3)")
        assert [(c.label, c.example) for c in check.counterexamples] == [("small", "5"), ("small (3)", "7")]
        assert [m.mean for m in check.samples] == [e.estimate.value for e in check.expectations]

    def test_too_few_is_inconclusive(self):
        check = Check(examples=30)
        check.for_all(st.integers(0, 10**6).map(lambda x: x % 3), lambda x: True)
        assert check.expectations[0].verdict == "inconclusive"

    def test_each_search_of_a_claim_draws_anew(self):
        check, met = Check(examples=30), ([], [])
        for some in met:
            check.for_all(st.integers(0, 10**6), lambda x, some=some: some.append(x) is None)
        assert met[0] != met[1]

    def test_decoys_are_not_shrunk(self):
        check = Check(draws=False)
        check.for_all(st.integers(0, 1000), lambda x: x < 5)
        assert check.expectations[0].verdict == "refuted"
        assert check.counterexamples == []

    def test_names(self):
        def never_too_large(x):
            return True

        check = Check(examples=5)
        check.for_all(st.integers(), never_too_large)
        check.for_all(st.integers(), lambda x: True)
        assert [e.label for e in check.expectations] == ["for all: never too large", "for all: it holds"]
