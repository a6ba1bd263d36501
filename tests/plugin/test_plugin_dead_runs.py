"""Runs that were killed: the next one tells of them, `mechcheck recover` makes evidence of them, and live ones are left alone."""

import signal
import subprocess
import sys
import time

from lost import HEADER, KILLED, litter, thirteen
from runs import VALIDATOR

from mechcheck import cli
from mechcheck.base.reading import read_json
from mechcheck.evidence.runs import read_baseline
from mechcheck.evidence.store import FILE

ONE = ("-n0",)


def test_one_killed_run_costs_no_other_its_claims(claims, pytester, in_a_process, capsys):
    """A run in one process is killed: the next says what it left, and `mechcheck recover` makes evidence of it."""
    before = claims(thirteen("pass"), *ONE)
    kept = before.report / FILE
    content = kept.read_bytes()
    pytester.makepyfile(test_claims=HEADER + thirteen(KILLED).replace("\n    ", "\n"))
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
    VALIDATOR.validate(evidence)
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
    pytester.makepyfile(test_claims=HEADER + thirteen(KILLED).replace("\n    ", "\n"))
    in_a_process("-p", "no:randomly", "-n0")
    assert "an earlier run died" in claims(thirteen("pass"), *ONE).output
    cut = claims(thirteen("raise KeyboardInterrupt"), *ONE)
    assert "an earlier run died" in cut.output  # and it is kept, as this run is not complete either
    assert "an earlier run died" not in claims(thirteen("pass"), *ONE).output
    assert not litter(cut.report)


def test_a_run_that_decided_nothing_is_cleared(claims, pytester, in_a_process):
    pytester.makepyfile(test_claims=HEADER + thirteen(KILLED, at=0).replace("\n    ", "\n"))
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
