"""Claims over a grid of methods in a run of pytest: one test, one verdict, one record."""

import pytest
from synthetic import HEADER  # noqa: F401  (read by the fixture `claims`)

SOURCE = """
    from mechcheck import grid

    MEANS = {"zero": 1.0, "mean": 1.2, "patched": -1.0, "resample": 0.0}

    def body(check, method, seen, lift=0.0):
        seen.append(method)
        check.above(around(MEANS[method] + lift), 0.0, "it is lost")

    SEEN = []

    @claim("robust", over=grid(method=["zero", "mean"]), decoy={"lift": -3.0})
    def test_robust(check, method, lift=0.0):
        body(check, method, SEEN, lift)
        assert len(SEEN) > 4 or SEEN == ["zero", "mean", "zero", "mean"][: len(SEEN)]  # its cells, then a decoy in each

    @claim("dependent", over=grid(method=["zero", "patched"]), decoy={"lift": -3.0})
    def test_dependent(check, method, lift=0.0):
        body(check, method, [], lift)

    @claim("dependent, as was said", over=grid(method=["zero", "patched"]), decoy={"lift": -3.0}, expect="method_dependent")
    def test_as_said(check, method, lift=0.0):
        body(check, method, [], lift)

    @claim("dependent, and empty", over=grid(method=["zero", "patched"]), decoy={"lift": 0.1}, expect="method_dependent")
    def test_empty(check, method, lift=0.0):
        body(check, method, [], lift)

    @claim("robust in one cell, empty in the other", over=grid(method=["zero", "mean"]), decoy={"lift": -1.1})
    def test_empty_in_one(check, method, lift=0.0):
        body(check, method, [], lift)

    @claim("refuted", over=grid(method=["patched"], of=["a", "b"]), expect="refuted", positive_control={"lift": 3.0})
    def test_refuted(check, method, of, lift=0.0):
        body(check, method, [], lift)

    @claim("who knows", over=grid(method=["zero", "resample"]), decoy={"lift": -3.0})
    def test_who_knows(check, method, lift=0.0):
        body(check, method, [], lift)

    @claim("other checks in another cell", over=grid(method=["zero", "mean"]), decoy={"lift": -3.0})
    def test_unlike(check, method, lift=0.0):
        (check.above if method == "zero" else check.below)(around(1.0), 0.0, "it is lost")

    @claim("skipped in a cell", over=grid(method=["zero", "mean"]))
    def test_skipped(check, method):
        if method == "mean":
            pytest.skip("no mean here")
        check.above(around(1.0), 0.0, "it is lost")
"""
PROCESSES = pytest.mark.parametrize("processes", [(), ("-n2",)], ids=["one", "two"])


@PROCESSES
def test_verdicts_and_outcomes(claims, processes):
    run = claims(SOURCE, "-rA", *processes)
    assert run.verdicts == {
        "test_robust": "supported",
        "test_dependent": "method_dependent",
        "test_as_said": "method_dependent",
        "test_empty": "vacuous",
        "test_empty_in_one": "vacuous",
        "test_refuted": "refuted",
        "test_who_knows": "inconclusive",
        "test_unlike": "errored",
        "test_skipped": "skipped",
    }
    assert {c["id"] for c in run.evidence["claims"] if c["met"]} == {"test_robust", "test_as_said", "test_refuted"}
    assert {c["id"] for c in run.evidence["claims"] if c["met"] is False} >= {
        "test_dependent",
        "test_empty",
        "test_empty_in_one",
        "test_unlike",
    }
    assert "4 failed, 3 passed, 1 skipped, 1 inconclusive in" in run.output
    assert "METHOD-DEPENDENT AS CLAIMED test_claims.py::test_as_said" in run.output
    assert "must check the same in each cell: [method=zero] checks 'it is lost', [method=mean] 'it is lost'" in run.output
    assert run.claim("test_skipped")["reason"] == "[method=mean] no mean here"


ENDED = """
    from mechcheck import grid

    METHODS = grid(method=["zero", "mean", "patched"])

    @claim("not finite in a cell", over=METHODS)
    def test_nan(check, method):
        check.above(around(1.0) * (float("nan") if method == "mean" else 1.0), 0.0)

    @claim("crashes in the last", over=METHODS)
    def test_crash(check, method):
        check.above(around(1.0), 0.0)
        assert method != "patched", "not that"

    @claim("crashes in the first", over=METHODS)
    def test_first(check, method):
        raise KeyError(method)

    @claim("the same checks in another order", over=METHODS)
    def test_turned(check, method):
        for name in ("lost", "kept") if method != "mean" else ("kept", "lost"):
            check.above(around(1.0), 0.0, name)

    @claim("crashes on a contrast in the second", over=METHODS, decoy={"lift": -3.0})
    def test_contrast(check, method, lift=0.0):
        check.above(around(1.0 + lift), 0.0)
        if lift and method == "mean":
            raise KeyError(method)
"""


def test_what_ended_a_claim_says_in_which_cell(claims):
    run = claims(ENDED)
    reasons = {claim["id"]: claim["reason"] for claim in run.evidence["claims"]}
    assert reasons["test_nan"].startswith("[method=mean] NonFiniteError: ")
    assert reasons["test_crash"].startswith("[method=patched] AssertionError: not that")
    assert reasons["test_first"] == "[method=zero] KeyError: 'zero'"
    assert reasons["test_contrast"].startswith("[method=mean] ClaimError: the test crashed on its contrast (lift: -3.0)")
    assert reasons["test_turned"].endswith("in the same order: [method=zero] checks 'lost' and 'kept', [method=mean] 'kept' and 'lost'")
    assert {claim["verdict"] for claim in run.evidence["claims"]} == {"errored"}


def test_the_record_and_the_terminal_have_every_cell(claims):
    run = claims(SOURCE, "-k", "robust or dependent or as_said")
    claim = run.claim("test_as_said")
    grid = claim["grid"]
    assert grid["axes"] == {"method": ["zero", "patched"]}
    assert [(cell["text"], cell["verdict"], cell["stands"], cell["expectations"]) for cell in grid["cells"]] == [
        ("method=zero", "supported", "supported", [0]),
        ("method=patched", "refuted", "refuted", [1]),
    ]
    assert grid["answer"] == "method_dependent"
    assert [e["cell"] for e in claim["expectations"]] == [0, 1]
    (difference,) = grid["differences"]
    assert (difference["cell"], difference["expectation"], difference["estimate"]["value"]) == (1, 1, pytest.approx(-2))
    assert claim["deciding"] == 1
    assert claim["params"] == {}
    # Of the cells that it rests on one is supported: its decoy alone was run, and told of its check alone.
    assert [one["label"] for one in claim["decoys"]["runs"]] == ["[method=zero] lift: -3.0"]
    assert [len(e["specificity"]) for e in claim["expectations"]] == [1, 0]
    assert [len(e["specificity"]) for e in run.claim("test_robust")["expectations"]] == [1, 1]
    run.result.stdout.fnmatch_lines(["*≠ method-dependent dependent *", "*method-dependent: supported in 1 (*method=zero*"])
    run.result.stdout.fnmatch_lines(["*[[]method=patched[]] refuted -1.000 [[]*; from the first -2.000 [[]*"])
    run.result.stdout.fnmatch_lines(["*robust: supported in all 2 cells"])


def test_one_claim_has_one_p_value_in_the_run(claims):
    run = claims(SOURCE, "-k", "robust or dependent or refuted or who_knows")
    assert run.evidence["run"]["multiplicity"]["tested"] == 4
    assert run.evidence["run"]["multiplicity"]["decided"] == 3
    raised = [run.claim(name)["p_adjusted"] for name in ("test_robust", "test_dependent", "test_refuted")]
    assert max(raised) < 0.05 < run.claim("test_who_knows")["p_adjusted"]


def test_it_is_told_to_fail_or_not(claims):
    assert claims(SOURCE, "-k", "test_dependent", "--mech-fail-on", "vacuous").result.ret == 0
    assert claims(SOURCE, "-k", "test_dependent", "--mech-fail-on", "refuted").result.ret == 1  # it is, under some of its methods
    run = claims(SOURCE, "-k", "test_dependent", "--mech-fail-on", "method_dependent")
    assert run.result.ret == 1
    assert "method-dependent: dependent" in run.output


def test_a_cell_that_turns_is_a_flip(claims):
    source = """
        from mechcheck import grid

        MEANS = {means}

        @claim("dependent", over=grid(method=["a", "b", "c"]), expect="method_dependent", decoy={{"lift": -3.0}})
        def test_it(check, method, lift=0.0):
            check.above(around(MEANS[method] + lift), 0.0, "it is lost")
    """
    first = claims(source.format(means={"a": 1.0, "b": -1.0, "c": 1.0}))
    kept = first.report.rename(first.report.with_name("kept"))
    run = claims(source.format(means={"a": 1.0, "b": -1.0, "c": -1.0}), "--mech-baseline", str(kept / "evidence.json"))
    drift = run.claim("test_it")["drift"]
    assert (drift["status"], drift["verdict_before"]) == ("flipped", "method_dependent")
    assert drift["reason"].startswith("[method=c]: supported -> refuted")


@pytest.mark.parametrize(
    ("decorators", "arguments", "said"),
    [
        ('@claim("x", over=grid(metod=["a", "b"]))', "check, method", "over: the test takes no argument 'metod'; did you mean 'method'?"),
        (
            '@pytest.mark.parametrize("method", ["a"])\n@claim("x", over=grid(method=["a", "b"]))',
            "check, method",
            "over: 'method' is parametrized as well",
        ),
        ('@claim("x", over=grid(check=["a", "b"]))', "check", "over: 'check' is a fixture"),
        ('@claim("x", over=grid(own=["a", "b"]))', "check, own", "over: 'own' is a fixture"),
        ('@claim("x", over=grid(seeds=[0, 1]))', "check", "the test takes no `model`"),
        ('@claim("x", over=grid(seeds=[0, 1]))', "model, prompts, made, check", "would not change what the fixture 'made' made"),
        ('@claim("x", over=grid(seeds=[0, 1]))', "model, prompts, asked, check", "would not change what the fixture 'asked' made"),
        ('@claim("x", over=grid(seeds=[0, 1]))', "model, check", "changes the test's `prompts`, and the test takes none"),
        (
            '@claim("x", task="ioi", over=grid(dtype=["float32", "float64"]))',
            "model, replicas, check",
            "over: the axis 'dtype' does not change the models of `replicas`",
        ),
        ('@claim("x", over=grid(models=["names-gpt2-sed4", "names-gpt2-seed1"]))', "model, check", "did you mean 'names-gpt2-seed4'?"),
        (
            '@claim("x", over=grid(models=["names-gpt2-seed1", "names-gpt2-seed4"]), expect={"names-gpt2-seed1": "refuted"})',
            "model, check",
            "expect: 'names-gpt2-seed1' is no value of a parameter of this test",
        ),
    ],
)
def test_axes_that_cannot_be_run_are_an_error_of_collection(claims, decorators, arguments, said):
    source = f"""
from mechcheck import grid

@pytest.fixture
def own():
    return 1

@pytest.fixture
def made(model):
    return model

@pytest.fixture
def asked(prompts_for):
    return prompts_for

{decorators}
def test_it({arguments}):
    check.above(around(1.0), 0.0)
"""
    run = claims(source)
    assert run.result.ret == 2
    assert said in run.output
