"""`--mech-resume`: an interrupted run is gone on with, and ends as if nothing had happened."""

import signal
from types import SimpleNamespace

import pytest
from lost import HEADER, N, litter, thirteen
from runs import VALIDATOR

from mechcheck.base.reading import read_json
from mechcheck.evidence.store import FILE

assert "def around" in HEADER  # below which `claims` puts each source
USUAL = ("-p", "no:randomly", "--mech-profile=smoke")


def once(fault):
    """Thirteen claims, in the seventh of which this happens unless it did before; the third is refuted."""
    source = thirteen(f"os.path.exists('seen') or (open('seen', 'w').close(), {fault})")
    return source.replace("around(mean), 0", "around(mean), 9 * (i == 2)")


@pytest.fixture
def resume(pytester):
    """resume(*options): run the same claims again, with the evidence that is there."""

    def run(*options, resumed="--mech-resume"):
        result = pytester.runpytest_inprocess(*USUAL, resumed, *options, no_reraise_ctrlc=True)
        report = pytester.path / "reports"
        evidence = read_json(report / FILE)
        VALIDATOR.validate(evidence)
        return SimpleNamespace(result=result, output=result.stdout.str(), report=report, evidence=evidence)

    return run


def told(run):
    """What the evidence says of claims, but for when and how long they were run."""
    return [
        claim | {"duration_s": 0, "cost": 0, "tries": (claim["tries"] or {}) | {"first": 0, "last": 0}} for claim in run.evidence["claims"]
    ]


@pytest.fixture
def whole(claims, pytester):
    """whole(source): what the claims come to without a stop; nothing of that run is left."""

    def run(source):
        (pytester.path / "seen").touch()
        done = claims(source)
        found = told(done), done.result.ret, done.result.parseoutcomes()
        for path in (pytester.path / "seen", done.report / "ledger.jsonl", done.report / FILE):
            path.unlink()
        return found

    return run


def is_whole(run, expected):
    """It ended as the run without a stop did."""
    claims, status, outcomes = expected
    assert told(run) == claims
    assert (run.result.ret, run.result.parseoutcomes()) == (status, outcomes)
    assert run.evidence["run"]["complete"] is True
    assert litter(run.report) == []
    assert len(list((run.report / run.evidence["run"]["samples"]).glob("*.npz"))) == N


@pytest.mark.usefixtures("warm")
@pytest.mark.parametrize("how", [(), ("--mech-cluster=local", "--mech-workers=1"), ("-n1",)], ids=["here", "cluster", "n"])
def test_a_killed_run_ends_as_if_it_had_not_been(whole, resume, in_a_process, how):
    expected = whole(once("os.kill(os.getpid(), signal.SIGKILL)"))
    assert in_a_process(*USUAL).ret == 128 + signal.SIGKILL
    run = resume(*how)
    is_whole(run, expected)
    assert run.evidence["run"]["resumed"]["decided"] == 6
    if not how:
        assert "which had decided 6 claims" in run.output


def test_a_stopped_run_ends_as_if_it_had_not_been(whole, claims, resume):
    expected = whole(source := once("(_ for _ in ()).throw(KeyboardInterrupt)"))
    cut = claims(source)
    assert cut.evidence["run"]["complete"] is False
    run = resume()
    is_whole(run, expected)
    assert run.evidence["run"]["id"] == cut.evidence["run"]["id"]


def test_a_resumed_run_that_is_killed_is_resumed_again(whole, claims, resume, in_a_process, pytester):
    stop = "(_ for _ in ()).throw(KeyboardInterrupt)"
    kill = "os.path.exists('again') or (open('again', 'w').close(), os.kill(os.getpid(), signal.SIGKILL))"
    source = once(stop).replace("check.above", f"i == 9 and ({kill}); check.above")
    (pytester.path / "again").touch()
    expected = whole(source)
    (pytester.path / "again").unlink()
    claims(source)
    assert in_a_process(*USUAL, "--mech-resume").ret == 128 + signal.SIGKILL
    run = resume()
    assert run.evidence["run"]["resumed"]["decided"] == 9
    is_whole(run, expected)


@pytest.mark.parametrize(
    ("change", "options", "message"),
    [
        (lambda path: path.write_text(path.read_text() + "\n# another\n"), (), "file test_claims.py has changed"),
        (lambda path: None, ("--mech-seed=3",), "option seed was 0, is 3"),
        (lambda path: (path.parent / "conftest.py").touch(), (), "file conftest.py has changed"),
    ],
    ids=["claim", "option", "conftest"],
)
def test_a_run_of_something_else_is_not_gone_on_with(claims, resume, pytester, change, options, message):
    cut = claims(once("(_ for _ in ()).throw(KeyboardInterrupt)"))
    before = (cut.report / FILE).read_bytes()
    change(pytester.path / "test_claims.py")
    run = resume(*options)
    assert run.result.ret == 4
    run.result.stderr.fnmatch_lines([f"*--mech-resume: the interrupted run is another: {message}. Leave it out*"])
    assert (cut.report / FILE).read_bytes() == before
    assert litter(run.report) == []


def test_without_an_interrupted_run_all_is_run(claims, resume):
    claims("@claim('it is so', decoy={'mean': -1.0})\ndef test_it(check, mean=1.0):\n    check.above(around(mean), 0)")
    run = resume()
    assert run.result.ret == 0
    assert "no run was interrupted here: all is run" in run.output
    assert "resumed" not in run.evidence["run"]


def test_other_weights_are_another_run(claims, resume, monkeypatch):
    cut = claims(
        """
        @claim("it answers", task="ioi", kind="behaviour")
        def test_it(model, prompts, check):
            check.above(run(model, prompts), 0)

        @claim("it stops", task="ioi")
        def test_stops(check):
            raise KeyboardInterrupt
        """,
        "--mech-model=names-gpt2-seed1",
        "--mech-decoys=1",
    )
    assert len(cut.evidence["run"]["undecided"]) == 1
    from mechcheck.models import loading

    monkeypatch.setattr(loading, "stored_weights", lambda name: "0" * 64)
    run = resume("--mech-model=names-gpt2-seed1", "--mech-decoys=1")
    run.result.stderr.fnmatch_lines(["*the weights of names-gpt2-seed1 have changed*"])
