"""`@claim`: what it records, and the words it refuses."""

import pytest

from mechcheck.base.errors import ClaimError
from mechcheck.verdicts.claim import MARK, ClaimSpec, claim


def spec_of(**arguments) -> ClaimSpec:
    @claim("it holds", **arguments)
    def test_it():
        pass

    (mark,) = test_it.pytestmark
    assert mark.name == MARK
    return mark.args[0]


def test_everything_is_recorded():
    spec = spec_of(budget=64, source="a paper", task="ioi", kind="necessity", models=["m"], prompts={"n": 1}, id="x", decoy="reinitialised")
    assert (spec.statement, spec.source, spec.task, spec.kind) == ("it holds", "a paper", "ioi", "necessity")
    assert (spec.models, spec.prompts, spec.id, spec.decoys) == (("m",), {"n": 1}, "x", ("reinitialised",))
    assert (spec.budget, spec_of().budget) == (64, None)
    assert spec_of() == ClaimSpec("it holds")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"version": 0}, "version=0: a whole number from 1 on is expected"),
        ({"version": True}, "version=True: a whole number from 1 on"),
        ({"version": None}, "version=None: a whole number is expected"),
        ({"budget": 1}, "budget=1: prompts that the claim may draw, at least 2, as one shows nothing about others"),
        ({"kind": "necesity"}, "unknown kind of evidence 'necesity'; choose one of behaviour, structure, necessity"),
        ({"expect": "true"}, "a claim cannot be expected to be 'true'; choose one of supported, refuted"),
        ({"expect": "inconclusive"}, "cannot be expected to be 'inconclusive'"),
        ({"expect": {"seed0": "refuted", "seed1": "fail"}}, "cannot be expected to be 'fail'"),
        ({"expect": {1.0: "refuted"}}, r"expect=\{1.0: ...\}: a key is .*, written as text \('1.0'\), or a tuple of such texts"),
        ({"expect": {("seed0", 1): "refuted"}}, r"expect=\{\('seed0', 1\): ...\}"),
        ({"expect": {(): "refuted"}}, r"expect=\{\(\): ...\}"),
        ({"decoy": []}, r"decoy=\[\]: a claim that was never shown able to fail is no evidence"),
        ({"decoy": [{"a": 1}, "heads"]}, "unknown decoy 'heads'; choose one of random_sites, reinitialised"),
        ({"decoy": "random_heads"}, "unknown decoy 'random_heads'; choose one of random_sites, reinitialised, or a mapping"),
    ],
)
def test_words_that_are_no_choice(arguments, message):
    with pytest.raises(ClaimError, match=message):
        claim("it holds", **arguments)


@pytest.mark.parametrize("statement", ["", "  ", None, len])
def test_a_statement_is_needed(statement):
    with pytest.raises(ClaimError, match=r'a claim needs a statement: @claim\("what is claimed"\)'):
        claim(statement)


def test_expected_by_model_and_parameters():
    spec = spec_of(expect={"seed0": "refuted", "zero": "refuted", "seed1": "supported"})
    assert spec.expected("seed0", {}) == "refuted"
    assert spec.expected("seed1", {}) == "supported"
    assert spec.expected("seed2", {"method": "mean"}) == "supported"
    assert spec.expected("seed2", {"method": "zero"}) == "refuted"
    assert spec.expected("seed1", {"method": "zero"}) == "refuted"  # the first that applies
    assert spec_of(expect={"3": "refuted"}).expected(None, {"layer": 3}) == "refuted"
    assert spec_of(expect="refuted").expected(None, {}) == "refuted"


def test_a_tuple_applies_where_all_its_parts_do_and_the_longest_wins():
    expect = {"mean": "refuted", ("seed0", "mean"): "supported", ("seed1", "mean", "5"): "refuted", ("mean", "seed1"): "supported"}
    spec = spec_of(expect=expect)
    assert spec.expected("seed2", {"method": "mean"}) == "refuted"
    assert spec.expected("seed0", {"method": "mean"}) == "supported"
    assert spec.expected("seed0", {"method": "zero"}) == "supported"
    assert spec.expected("seed1", {"method": "mean", "layer": 4}) == "supported"
    assert spec.expected("seed1", {"method": "mean", "layer": 5}) == "refuted"


def test_of_two_tuples_as_long_the_first_wins_and_a_part_said_twice_counts_once():
    both = {"seed0": "refuted", ("mean", "seed0"): "supported", ("seed0", "5"): "refuted"}
    assert spec_of(expect=both).expected("seed0", {"method": "mean", "layer": 5}) == "supported"
    assert spec_of(expect=dict(reversed(both.items()))).expected("seed0", {"method": "mean", "layer": 5}) == "refuted"
    assert spec_of(expect={"mean": "refuted", ("seed0", "seed0"): "supported"}).expected("seed0", {"method": "mean"}) == "refuted"


def test_models_and_their_partners():
    spec = spec_of(models={"gpt2": "lab/other", "lab/other": "gpt2"}, expect={"lab/other": "refuted"})
    assert (spec.models, dict(spec.partners)) == (("gpt2", "lab/other"), {"gpt2": "lab/other", "lab/other": "gpt2"})
    assert spec_of(models=["gpt2"]).partners == {}
    found = {name: spec.about(name) for name in ("gpt2", "lab/other", "other", "theirs/other", "lab/gpt2")}
    assert found == {"gpt2": "gpt2", "lab/other": "lab/other", "other": "lab/other", "theirs/other": None, "lab/gpt2": None}
    assert [spec.expected(name, {}) for name in ("gpt2", "lab/other", "other")] == ["supported", "refuted", "refuted"]
