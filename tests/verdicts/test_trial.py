"""A body run again under other arguments, and what its ending means."""

import pytest

from mechcheck.base.errors import ClaimError, NonFiniteError, TextError
from mechcheck.models.loading import provenance
from mechcheck.notation.circuit import Circuit
from mechcheck.notation.sites import heads
from mechcheck.verdicts.trial import BodySkipped


def test_the_same_check_under_other_arguments(trial, around):
    def body(check, mean):
        check.above(around(mean), 0.0, label="positive")

    one = trial(body, {"mean": 1.0})
    runs = [one.rerun({"mean": mean}, f"{mean:g}") for mean in (2.0, 0.0, -1.0)]
    assert [(run.label, run.verdict) for run in runs] == [("2", "supported"), ("0", "inconclusive"), ("-1", "refuted")]
    assert runs[0].values == {"positive": pytest.approx(2.0)}
    assert one.arguments["check"].expectations == []


@pytest.mark.parametrize(
    ("error", "note"),
    [
        (AssertionError("no"), "an assertion ended it: no"),
        (NonFiniteError("nothing to share"), "nothing to share"),
        (TextError("3 were cut"), "3 were cut"),
    ],
    ids=["assert", "nan", "texts"],
)
@pytest.mark.parametrize(("mean", "verdict"), [(1.0, "inconclusive"), (-1.0, "refuted")])
def test_an_early_end_decides_nothing_beyond_what_was_reached(trial, around, error, note, mean, verdict):
    def body(check, stop=False):
        check.above(around(mean), 0.0, label="positive")
        if stop:
            raise error

    run = trial(body, {"stop": False}).rerun({"stop": True}, "stopped")
    assert (run.verdict, run.values, run.note) == (verdict, {"positive": pytest.approx(mean)}, note)
    assert run.result(["positive"], 0).verdict == ("supported" if mean > 0 else "refuted")
    assert run.result(["positive", "another"], 1) is None


def test_what_fails_in_a_subtest_of_a_contrast_decides_nothing(trial, around):
    """The claim's own subtests would report a failure of the claim."""

    def body(check, subtests):
        with subtests.test("the effect is large", at=3):
            raise AssertionError("a decoy has no effect")
        check.above(around(-1), 0.0)

    run = trial(body, {"subtests": None}).rerun({}, "decoy")
    assert (run.verdict, run.note) == ("refuted", None)


def test_an_expectation_is_known_by_its_label_or_its_place(trial, around):
    def body(check, sites="0.1"):
        check.above(around(1), 0.0, label=f"{sites} matters")
        check.above(around(2), 0.0, label="always")

    run = trial(body, {"sites": "0.1"}).rerun({"sites": "0.2"}, "other")
    labels = ["0.1 matters", "always"]
    assert run.result(labels, 0).label == "0.2 matters"
    assert run.result(labels, 1).measured.mean == pytest.approx(2.0)


def test_a_check_that_is_not_made_again_is_not_another_one(trial, around):
    """A fixture made the first check, which the body does not repeat: what the body checks first is not that."""

    def body(check):
        check.above(around(-1), 0.0, label="of the body")

    run = trial(body, {}).rerun({}, "other")
    assert run.result(["of a fixture", "of the body"], 0) is None
    assert run.result(["of a fixture", "of the body"], 1).verdict == "refuted"


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (BodySkipped("no GPU"), r"the test skipped its contrast \(other\): no GPU"),
        (KeyError("crash"), r"the test crashed on its contrast \(other\): KeyError: 'crash'"),
    ],
    ids=["skip", "crash"],
)
def test_endings_that_decide_nothing(trial, error, message):
    def body(check):
        raise error

    with pytest.raises(ClaimError, match=message):
        trial(body, {}).rerun({}, "other")


def test_arguments_that_the_body_does_not_take(trial):
    with pytest.raises(ClaimError, match=r"the contrast changes chek, which the test does not take; did you mean 'check'\?"):
        trial(lambda check: None, {}).arguments_for({"chek": 3})
    with pytest.raises(ClaimError, match=r"the contrast changes layer, which the test does not take$"):
        trial(lambda check: None, {}).arguments_for({"layer": 3})


def test_roles_are_replaced_one_by_one(trial):
    circuit = Circuit({"a": heads("0.0"), "b": heads("1.1")})
    one = trial(lambda check, circuit: None, {"circuit": circuit})
    found = one.arguments_for({"circuit": {"b": "0.1 0.2"}})["circuit"]
    assert dict(found) == {"a": heads("0.0"), "b": heads("0.1 0.2")}
    with pytest.raises(ClaimError, match=r"changes the role 'inductoin', which the circuit does not have; did you mean 'induction'\?$"):
        trial(lambda check, circuit: None, {"circuit": Circuit({"induction": heads("0.0")})}).arguments_for(
            {"circuit": {"inductoin": "0.1"}}
        )


def test_another_model_brings_its_own_prompts(trial, tiny, model_dirs):
    """By whoever said how they are made."""
    arguments = {"model": tiny("gpt2", "float32"), "prompts": "the claim's"}
    wanted = {"model": str(model_dirs["neox"])}

    def body(check, model, prompts): ...

    one = trial(body, arguments, prompts_for=lambda model: f"for {provenance(model).name}")
    found = one.arguments_for(wanted)
    assert (found["prompts"], provenance(found["model"]).dtype) == ("for neox", "float32")
    assert one.arguments_for(wanted | {"prompts": "given"})["prompts"] == "given"
    with pytest.raises(ClaimError, match="a contrast on another model needs prompts for it"):
        trial(body, arguments).arguments_for(wanted)
