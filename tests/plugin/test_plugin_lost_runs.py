"""Runs that are stopped, killed or robbed of their folder: what was decided is kept, and no run is called complete that is not."""

import re
import shutil
import signal
from pathlib import Path

import pytest
from lost import HEADER, KILLED, N, litter, thirteen
from runs import VALIDATOR

from mechcheck import cli
from mechcheck.base.reading import read_json
from mechcheck.evidence.runs import read_baseline
from mechcheck.evidence.store import FILE

ONE, TWO = ("-n0",), ("-n2",)
BOTH = pytest.mark.parametrize("workers", [ONE, TWO], ids=["one process", "two"])


def decided(run):
    return {name for name, verdict in run.verdicts.items() if verdict == "supported"}


STOPS = {
    "Ctrl-C": ("raise KeyboardInterrupt", (), 2),
    "pytest.exit": ("pytest.exit('enough')", (), 2),
    "pytest.exit as if all was well": ("pytest.exit('enough', returncode=0)", (), 2),
    "-x": ("assert False", ("-x",), 1),
    "--maxfail": ("assert False", ("--maxfail=1",), 1),
    "SIGINT": ("os.kill(os.getpid(), signal.SIGINT); time.sleep(5)", (), 2),
    "SIGTERM": ("os.kill(os.getpid(), signal.SIGTERM); time.sleep(5)", (), 143),
    "SIGHUP": ("os.kill(os.getpid(), signal.SIGHUP); time.sleep(5)", (), 129),
}


@pytest.fixture
def heeded():
    """The signals that a shell has its background, or nohup, ignore, as in a shell's foreground."""
    before = {one: signal.signal(one, how) for one, how in ((signal.SIGINT, signal.default_int_handler), (signal.SIGHUP, signal.SIG_DFL))}
    yield
    for one, how in before.items():
        signal.signal(one, how)


@pytest.mark.usefixtures("heeded")
@pytest.mark.parametrize("stop", STOPS)
def test_a_run_that_is_stopped_is_not_complete(claims, stop):
    fault, options, status = STOPS[stop]
    run = claims(thirteen(fault), *ONE, *options)
    assert run.result.ret == status
    assert len(decided(run)) == 6
    assert run.evidence["run"]["complete"] is False
    left = run.evidence["run"]["undecided"]
    assert len(left) == (6 if "x" in options or options else 7)
    assert f"its evidence is incomplete ({len(left)} claims that it asked for were not decided)" in run.output
    assert not litter(run.report)
    with pytest.raises(Exception, match="it is no baseline"):
        read_baseline(run.report)


@pytest.mark.parametrize("stop", ["pytest.exit", "pytest.exit as if all was well", "-x", "--maxfail"])
def test_a_run_of_two_processes_that_is_stopped_is_not_complete(claims, stop):
    fault, options, _ = STOPS[stop]
    run = claims(thirteen(fault), *TWO, *options)
    assert run.result.ret not in (0, 5)
    told = {*run.verdicts, *run.evidence["run"]["undecided"]}
    assert len(told) == N
    assert run.evidence["run"]["complete"] is (not run.evidence["run"]["undecided"])
    assert not litter(run.report)


@BOTH
def test_the_last_claim_fails_first(claims, workers):
    """With -x too, a run in which every claim was decided is complete."""
    run = claims(thirteen("assert False", at=N - 1), *workers, "-x")
    assert run.result.ret in (1, 2)
    assert len(decided(run)) == N - 1
    assert run.evidence["run"]["complete"] is True


def test_a_file_that_cannot_be_collected_leaves_a_run_incomplete(claims, pytester):
    pytester.makepyfile(test_broken="import nothing_of_this_name")
    run = claims(thirteen("pass"), *ONE, "--continue-on-collection-errors")
    assert len(decided(run)) == N
    assert run.evidence["run"]["complete"] is False


@pytest.mark.parametrize("only", ["--setup-only", "--setup-plan", "--collect-only"])
def test_what_runs_no_claim_leaves_nothing(claims, only):
    run = claims(thirteen("pass"), only)
    assert (run.result.ret, run.evidence) == (0, None)
    assert not run.report.exists() or not list(run.report.iterdir())


DEATHS = {
    "killed": KILLED,
    "segmentation fault": "os.kill(os.getpid(), signal.SIGSEGV)",
    "a thread's os._exit": "threading.Timer(0.1, os._exit, [1]).start(); time.sleep(5)",
    "killed behind its verdict": "request.addfinalizer(lambda: os.kill(os.getpid(), signal.SIGKILL))",
    "killed without a folder": "shutil.rmtree('reports', ignore_errors=True); os.kill(os.getpid(), signal.SIGKILL)",
}


@pytest.mark.parametrize("death", DEATHS)
def test_a_claim_that_always_kills_its_process(claims, death):
    """It is errored, is not run again, and takes nobody along."""
    run = claims(thirteen(DEATHS[death]), *TWO)
    assert run.result.ret == 1
    assert len(run.verdicts) == N
    assert len(decided(run)) == N - 1
    assert run.claim("[6]")["verdict"] == "errored"
    assert run.claim("[6]")["reason"] == "the process ended before this claim was decided"
    assert run.evidence["run"]["complete"] is True
    assert run.output.count("replacing crashed worker") == 1
    assert not litter(run.report)
    run.result.stdout.fnmatch_lines([f"{N} claims: {N - 1} supported, 1 errored; {N - 1} as claimed"])


ONCE = "os.path.exists('tried') or (open('tried', 'w').close(), os.kill(os.getpid(), signal.SIGKILL))"


def test_a_claim_that_kills_its_process_once(claims, pytester):
    """That it would have come out as claimed when tried again is no verdict."""
    run = claims(thirteen(ONCE), *TWO)
    assert (run.result.ret, run.claim("[6]")["verdict"]) == (1, "errored")


@pytest.mark.parametrize("dist", ["loadscope", "worksteal"])
def test_schedulers_of_xdist_decide_no_claim_again(claims, dist):
    run = claims(thirteen(ONCE), *TWO, f"--dist={dist}")
    assert run.result.ret != 0
    assert run.claim("[6]")["verdict"] == "errored"


def test_processes_that_die_too_often(claims):
    """xdist gives up; what was not run is not called decided."""
    fault = "pass\n        if i > 6: os.kill(os.getpid(), signal.SIGKILL)"
    run = claims(thirteen(fault), *TWO, "--max-worker-restart=1")
    assert run.result.ret not in (0, 5)
    assert run.evidence["run"]["complete"] is (not run.evidence["run"]["undecided"])
    assert {*run.verdicts, *run.evidence["run"]["undecided"]} == {f"test_it[{i}]" for i in range(N)}


def test_deaths_that_are_excused(claims):
    run = claims(thirteen("os._exit(3)"), *TWO, "--mech-fail-on=refuted", "--junitxml=junit.xml")
    assert (run.result.ret, run.claim("[6]")["verdict"]) == (0, "errored")


ROBBERIES = {
    "the folder": "shutil.rmtree('reports', ignore_errors=True)",
    "all that was decided": "shutil.rmtree(next(Path_('reports').glob('.run-*')) / 'claims')",
    "its place": "shutil.rmtree('reports'); open('reports', 'w').close(); time.sleep(.1); os.remove('reports')",
    "a record's content": "[p.write_text('{') for p in Path_('reports').glob('.run-*/claims/*.json')]",
    "a record's place": "[(p.unlink(), p.symlink_to('/nowhere')) for p in Path_('reports').glob('.run-*/claims/*.json')]",
    "samples": "[p.write_bytes(b'') for p in Path_('reports').glob('.run-*/samples/*.npz')]",
}


@pytest.mark.parametrize(("robbery", "workers"), [*((name, ONE) for name in ROBBERIES), ("the folder", TWO), ("a record's content", TWO)])
def test_a_claim_that_takes_away_what_was_decided(claims, robbery, workers):
    run = claims("from pathlib import Path as Path_\n" + thirteen(ROBBERIES[robbery]).replace("\n    ", "\n"), *workers)
    assert run.result.ret == 0, run.output
    assert len(decided(run)) == N
    assert run.evidence["run"]["complete"] is True
    assert run.evidence["run"]["problems"] == []
    assert len(list(run.samples.iterdir())) == N
    assert not litter(run.report)
    read_baseline(run.report).measurements("test_it[3]")


def test_a_folder_that_can_never_be_written_again(claims):
    """A file is in its place: the evidence is elsewhere, the run says where, and does not end well."""
    run = claims(thirteen("shutil.rmtree('reports'); open('reports', 'w').close()"), *ONE)
    assert run.result.ret == pytest.ExitCode.INTERNAL_ERROR
    assert run.evidence is None
    folder = Path(re.search(r"the evidence could not be written to reports \(.*\): it is in (\S+)", run.output)[1])
    try:
        evidence = read_json(folder / FILE)
        VALIDATOR.validate(evidence)
        assert (len(evidence["claims"]), evidence["run"]["complete"]) == (N, True)
        assert len(list((folder / evidence["run"]["samples"]).iterdir())) == N
        assert not litter(folder)
        assert not folder.with_name(folder.name.removesuffix("-evidence")).exists()
    finally:
        shutil.rmtree(folder)


def test_files_that_cannot_grow(claims):
    """As on a full disk, evidence has no room anywhere; the claims' own files have."""
    run = claims(thirteen("resource.setrlimit(resource.RLIMIT_FSIZE, (9000, 9000))"), *ONE)
    assert run.result.ret == pytest.ExitCode.INTERNAL_ERROR
    assert run.evidence is None
    assert "the evidence could not be written to reports (File too large), and nowhere else; what was decided is kept" in run.output
    assert "evidence: nowhere   report: nowhere" in run.output
    assert cli.main(["recover", "reports"]) == 0
    (folder,) = run.report.glob("recovered-*")
    evidence = read_json(folder / FILE)
    assert [claim["verdict"] for claim in evidence["claims"]] == ["supported"] * N
    assert evidence["run"]["complete"] is False
    assert litter(run.report) == [folder.name]


@pytest.mark.parametrize("workers", [ONE, TWO], ids=["one process", "two"])
@pytest.mark.parametrize(
    ("in_the_way", "said"),
    [
        (lambda folder: (folder / "samples").symlink_to("nowhere"), "samples is in the way of the evidence, as it is no folder"),
        (lambda folder: (folder / "samples").touch(), "samples is in the way of the evidence, as it is no folder"),
        (lambda folder: (folder / FILE).mkdir(), "evidence.json is in the way of the evidence, as it is a folder"),
    ],
)
def test_what_is_in_the_way_is_told_before_the_first_claim(claims, pytester, warm, workers, in_the_way, said):
    (pytester.path / "reports").mkdir()
    in_the_way(pytester.path / "reports")
    pytester.makepyfile(test_claims=HEADER + thirteen("open('ran', 'w').close()", at=0).replace("\n    ", "\n"))
    result = pytester.runpytest_subprocess("-p", "no:randomly", *workers)
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    assert said in result.stderr.str()
    assert not (pytester.path / "ran").exists()
    assert not list((pytester.path / "reports").glob(".run-*"))


def test_a_folder_of_samples_elsewhere(claims, pytester):
    """A link to a folder is where somebody wants them to be."""
    (pytester.path / "reports").mkdir()
    (pytester.path / "large").mkdir()
    (pytester.path / "reports" / "samples").symlink_to(pytester.path / "large")
    run = claims(thirteen("pass"), *ONE)
    assert (run.result.ret, len(list((pytester.path / "large").glob("*/*.npz")))) == (0, N)


def test_a_second_ctrl_c(claims, pytester):
    """While the first is being dealt with: evidence is written all the same."""
    pytester.makeconftest("""
        import os, pytest, signal, time

        def pytest_sessionfinish():
            os.kill(os.getpid(), signal.SIGINT)
            time.sleep(5)
    """)
    run = claims(thirteen("raise KeyboardInterrupt"), *ONE)
    assert run.result.ret not in (0, 5)
    assert (len(decided(run)), run.evidence["run"]["complete"], litter(run.report)) == (6, False, [])


@BOTH
def test_no_memory_is_an_error_of_one_claim(claims, workers):
    run = claims(thirteen("resource.setrlimit(resource.RLIMIT_AS, (2**33, 2**33)); np.ones(2**33)"), *workers)
    assert (run.result.ret, run.claim("[6]")["verdict"], len(decided(run))) == (1, "errored", N - 1)
    assert run.evidence["run"]["complete"] is True
