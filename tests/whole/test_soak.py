"""The harness that has runs go wrong sees what it is there to see, and finds nothing in a few runs."""

import json
import random
import subprocess
import sys
from pathlib import Path

import pytest
from runs import OLD, claim, write_run

from mechcheck.base.reading import read_json
from mechcheck.evidence.store import write_json

ROOT = Path(__file__).resolve().parents[2]
BENCHMARKS = str(ROOT / "benchmarks")
if BENCHMARKS not in sys.path:
    sys.path.insert(0, BENCHMARKS)

from soaking.judging import judge  # noqa: E402
from soaking.plans import FROM_OUTSIDE, OF_CLAIMS, ON_A_DISK, N, draw  # noqa: E402
from soaking.running import Seen  # noqa: E402

ALL = [f"test_it[{i}]" for i in range(N)]


@pytest.fixture
def judged(tmp_path):
    """judged(change): what the harness says of a run in which all was well, and then something was changed."""

    def of(change=lambda seen: seen):
        (tmp_path / "temporary").mkdir()
        about = {"samples": "samples", "undecided": [], "problems": []}
        earlier = write_run(tmp_path / "earlier", claim("old", OLD), id="before", **about).parent
        write_run(tmp_path / "reports", *(claim(name, OLD) for name in ALL), id="new", **about)
        lines = [f"test_claims.py::{name} SUPPORTED AS CLAIMED    [ 9%]" for name in ALL]
        seen = change(Seen(0, "\n".join(lines), tmp_path / "reports", tmp_path / "temporary"))
        counts, wrong = judge(seen, earlier)
        return {name: n for name, n in counts.items() if n and name not in ("runs", "claims_shown")}, wrong

    return of


def change_evidence(**changes):
    def change(seen):
        evidence = read_json(seen.reports / "evidence.json")
        evidence["run"] |= changes.pop("run", {})
        evidence["claims"] = [one | changes for one in evidence["claims"]]
        write_json(seen.reports / "evidence.json", evidence)
        return seen

    return change


def without_a_claim(seen):
    evidence = read_json(seen.reports / "evidence.json")
    del evidence["claims"][3]
    write_json(seen.reports / "evidence.json", evidence)
    return seen


def with_a_file(where):
    def change(seen):
        path = (seen.reports.parent if where.startswith("temporary") else seen.reports) / where
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
        return seen

    return change


def without_samples(seen):
    (seen.reports / "samples").rename(seen.reports.parent / "gone")
    return seen


WRONG = {
    "a claim that is not in the evidence": (without_a_claim, {"lost": 1, "wrong_complete": 1, "wrong_exit": 0}),
    "a verdict that is another": (change_evidence(verdict="refuted"), {"lost": len(ALL), "wrong_exit": 1}),
    "complete, and not all were shown": (lambda seen: seen._replace(output=seen.output.partition("\n")[0]), {"wrong_complete": 1}),
    "not complete, and all were shown": (change_evidence(run={"complete": False}), {"wrong_complete": 1, "wrong_exit": 1}),
    "no evidence": (lambda seen: (seen.reports / "evidence.json").unlink() or seen, {"lost": len(ALL), "wrong_exit": 1}),
    "no samples": (without_samples, {"unreadable": 1, "lost": len(ALL), "wrong_exit": 1}),
    "a file beside the evidence": (with_a_file("x.tmp"), {"litter": 2}),
    "a file among the samples": (with_a_file("samples/tmpx.tmp"), {"litter": 1}),
    "a temporary folder": (with_a_file("temporary/mechcheck-x"), {"litter": 1}),
    "a status that is not 0": (lambda seen: seen._replace(status=1), {"wrong_exit": 1}),
}


def test_a_run_in_which_all_is_well(judged):
    assert judged() == ({}, [])


@pytest.mark.parametrize("wrong", WRONG)
def test_what_is_wrong_is_seen(judged, wrong):
    change, expected = WRONG[wrong]
    counts, said = judged(change)
    assert counts == {name: n for name, n in expected.items() if n}
    assert len(said) == sum(counts.values())


def test_every_fault_comes_up_with_any_seed():
    """And a worker is killed only where there is one."""
    for seed in range(5):
        plans = [draw(random.Random(f"{seed} {number}"), number, True) for number in range(60)]
        assert {name for plan in plans for name in plan.faults} >= {*OF_CLAIMS, *ON_A_DISK, *FROM_OUTSIDE}
        assert all(plan.two_processes for plan in plans if plan.signal == "sigkill_worker")


def test_a_few_faults(tmp_path):
    """The command itself; most of its time goes into the imports of the process that the runs are forks of."""
    command = [sys.executable, str(ROOT / "benchmarks" / "soak.py"), "--faults", "8", "--seed", "6", "--out", str(tmp_path / "soak.json")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    found = json.loads((tmp_path / "soak.json").read_text())
    assert found["all"]["faults"] >= 8
    assert found["wrong"] == []
    assert "| all | " in done.stdout


def test_the_recorded_run():
    """If this fails: python benchmarks/soak.py."""
    recorded = json.loads((ROOT / "benchmarks" / "results" / "soak.json").read_text(encoding="utf-8"))
    assert recorded["all"]["faults"] >= 500
    assert {*OF_CLAIMS, *FROM_OUTSIDE} <= set(recorded["by_fault"])
    assert recorded["wrong"] == []
    assert {recorded["all"][name] for name in ("lost", "wrong_complete", "unreadable", "litter", "wrong_exit")} == {0}
