"""Runs that are stopped, killed or robbed of their folder: what was decided is kept, and no run is called complete that is not."""

import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import jsonschema
import pytest
from synthetic import HEADER as SYNTHETIC

from mechcheck import cli
from mechcheck.evidence.runs import read_baseline
from mechcheck.evidence.store import FILE, read_json, schema

HEADER = SYNTHETIC + "import os, resource, shutil, signal, threading, time\n"
N = 13
ONE, TWO = ("-n0",), ("-n2",)
BOTH = pytest.mark.parametrize("workers", [ONE, TWO], ids=["one process", "two"])


def thirteen(fault, at=6):
    """Thirteen claims that hold, and something happens in one of them."""
    return f"""
    @pytest.mark.parametrize("i", range({N}))
    @claim("it is so", decoy={{"mean": -1.0}})
    def test_it(check, i, request, mean=1.0):
        if i == {at} and mean > 0:
            {fault}
        check.above(around(mean), 0)
    """


def decided(run):
    return {name for name, verdict in run.verdicts.items() if verdict == "supported"}


def litter(folder):
    """What has no business beside evidence."""
    return sorted(p.name for p in folder.iterdir() if p.name not in (FILE, "index.html", "ledger.jsonl", "samples"))


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
    "killed": "os.kill(os.getpid(), signal.SIGKILL)",
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


def test_a_claim_that_kills_its_process_once(claims, pytester):
    """That it would have come out as claimed when tried again is no verdict."""
    run = claims(thirteen("open('tried', 'x').close() or os.kill(os.getpid(), signal.SIGKILL)"), *TWO)
    assert (run.result.ret, run.claim("[6]")["verdict"]) == (1, "errored")


@pytest.mark.parametrize("dist", ["loadscope", "worksteal"])
def test_schedulers_of_xdist_decide_no_claim_again(claims, dist):
    run = claims(thirteen("open('tried', 'x').close() or os.kill(os.getpid(), signal.SIGKILL)"), *TWO, f"--dist={dist}")
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
        jsonschema.validate(evidence, schema())
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
def test_what_is_in_the_way_is_told_before_the_first_claim(claims, pytester, workers, in_the_way, said):
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


def test_one_killed_run_costs_no_other_its_claims(claims, pytester, in_a_process, capsys):
    """A run in one process is killed: the next says what it left, and `mechcheck recover` makes evidence of it."""
    before = claims(thirteen("pass"), *ONE)
    kept = before.report / FILE
    content = kept.read_bytes()
    pytester.makepyfile(test_claims=HEADER + thirteen(DEATHS["killed"]).replace("\n    ", "\n"))
    assert in_a_process("-p", "no:randomly", "-n0").ret == 128 + signal.SIGKILL
    assert kept.read_bytes() == content
    read_baseline(before.report).measurements("test_it[3]")

    run = claims(thirteen("pass"), *ONE)
    said = "an earlier run died and left 6 decided claims in reports: `mechcheck recover reports` makes evidence of them"
    assert said in run.output
    assert (run.result.ret, len(litter(run.report))) == (0, 1)

    assert cli.main(["recover", "reports"]) == 0
    (folder,) = run.report.glob("recovered-*")
    assert f"reports/{folder.name}/{FILE}: 7 claims, 7 undecided of those that the run asked for" in capsys.readouterr().out
    evidence = read_json(folder / FILE)
    jsonschema.validate(evidence, schema())
    assert [claim["verdict"] for claim in sorted(evidence["claims"], key=lambda c: len(c["id"]))] == ["supported"] * 6 + ["errored"]
    assert evidence["run"]["complete"] is False
    assert len(list((folder / evidence["run"]["samples"]).iterdir())) == 6
    assert evidence["run"]["multiplicity"]["tested"] == 6
    assert (folder / "index.html").exists()
    assert read_json(run.report / FILE)["run"]["id"] != evidence["run"]["id"]
    assert not list(run.report.glob(".run-*"))
    assert cli.main(["recover", "reports"]) == 2
    assert "no run that died left claims in reports: there is nothing to recover" in capsys.readouterr().err


def test_what_was_told_of_twice_is_cleared(claims, pytester, in_a_process):
    pytester.makepyfile(test_claims=HEADER + thirteen(DEATHS["killed"]).replace("\n    ", "\n"))
    in_a_process("-p", "no:randomly", "-n0")
    assert "an earlier run died" in claims(thirteen("pass"), *ONE).output
    cut = claims(thirteen("raise KeyboardInterrupt"), *ONE)
    assert "an earlier run died" in cut.output  # and it is kept, as this run is not complete either
    assert "an earlier run died" not in claims(thirteen("pass"), *ONE).output
    assert not litter(cut.report)


def test_a_run_that_decided_nothing_is_cleared(claims, pytester, in_a_process):
    pytester.makepyfile(test_claims=HEADER + thirteen(DEATHS["killed"], at=0).replace("\n    ", "\n"))
    in_a_process("-p", "no:randomly", "-n0")
    assert len(list((pytester.path / "reports").glob(".run-*"))) == 1
    run = claims(thirteen("pass"), *ONE)
    assert "an earlier run died" not in run.output
    assert not litter(run.report)


def test_a_live_run_is_left_alone(claims, pytester, capsys):
    pytester.makepyfile(test_slow=HEADER + thirteen("time.sleep(60)").replace("\n    ", "\n"))
    slow = subprocess.Popen([sys.executable, "-m", "pytest", "-q", "-p", "no:randomly", "test_slow.py"], stdout=subprocess.DEVNULL)
    try:
        while len(list((pytester.path / "reports").glob(".run-*/claims/*.json"))) < 7:
            assert slow.poll() is None
            time.sleep(0.05)
        run = claims(thirteen("pass"), *ONE, "test_claims.py")
        assert "an earlier run died" not in run.output
        (folder,) = run.report.glob(".run-*")
        assert cli.main(["recover", str(folder)]) == 2
        assert "is still alive, and will write its evidence itself" in capsys.readouterr().err
    finally:
        slow.terminate()
    assert slow.wait(30) == 128 + signal.SIGTERM
    assert (read_json(run.report / FILE)["run"]["complete"], litter(run.report)) == (False, [])


def test_a_controller_that_is_killed(pytester, claims):
    """Its workers end too, and what they decided is recovered."""
    pytester.makepyfile(test_claims=HEADER + thirteen("time.sleep(60)").replace("\n    ", "\n"))
    run = subprocess.Popen(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:randomly", "-n2"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    reports = pytester.path / "reports"
    while len(list(reports.glob(".run-*/claims/*.json"))) < 5:
        assert run.poll() is None
        time.sleep(0.05)
    run.kill()
    run.wait()
    for _ in range(200):  # until the workers are gone
        if cli.main(["recover", "reports"]) == 0:
            break
        time.sleep(0.1)
    (folder,) = reports.glob("recovered-*")
    assert len(read_json(folder / FILE)["claims"]) >= 5


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
