"""What runs that died left: found, told, recovered, cleared."""

import os
import time

import pytest
from runs import OLD, RUN, VALIDATOR, claim

from mechcheck.base.errors import MechcheckError
from mechcheck.base.reading import read_json
from mechcheck.evidence import leftovers
from mechcheck.evidence.leftovers import dead_runs, is_alive, recover, tell
from mechcheck.evidence.parts import Parts
from mechcheck.evidence.runs import read_run
from mechcheck.evidence.store import write_json

BARE = {key: value for key, value in RUN.items() if key != "sentinels"}


@pytest.fixture(autouse=True)
def spare(tmp_path, monkeypatch):
    """No spare folder of a test lies where those of real runs do."""
    monkeypatch.setattr(leftovers, "spare_folder", lambda run: tmp_path / "spare" / run)


def died(report, run, decided="a", started="b", asked="abc"):
    """A run that decided some claims, was at another, and was asked for more; it holds no lock."""
    parts = Parts(report / f".run-{run}", leftovers.spare_folder(run))
    parts.hold()
    parts.release()
    records = {name: {k: v for k, v in claim(name, OLD).items() if k != "measured"} | {"nodeid": f"t.py::{name}"} for name in asked}
    empty = {"verdict": "errored", "met": False, "reason": "the process ended", "expectations": [], "deciding": None}
    parts.save_about(BARE | {"id": run, "complete": False}, None)
    parts.save_roster({record["nodeid"]: record | empty for record in records.values()})
    for name in decided:
        parts.save_samples(name, [OLD])
        parts.save_record(records[name])
    for name in started:
        parts.save_record(records[name] | empty, "started")
    return parts


def test_a_dead_run_is_told_of_and_kept(tmp_path):
    died(tmp_path, "r1")
    died(tmp_path, "r2", decided="", started="a")
    (one,) = dead_runs(tmp_path)
    assert (one.parts.run, one.decided, one.told) == ("r1", 1, False)
    assert not (tmp_path / ".run-r2").exists()
    where = os.path.relpath(tmp_path)
    assert tell(one) == f"an earlier run died and left 1 decided claim in {where}: `mechcheck recover {where}` makes evidence of them"
    assert [one.told for one in dead_runs(tmp_path)] == [True]


def test_one_that_has_its_evidence_is_cleared(tmp_path):
    """It was killed between the last renaming and the clearing."""
    died(tmp_path, "r1")
    write_json(tmp_path / "evidence.json", {"run": {"id": "r1", "undecided": []}, "claims": [{"id": "a"}]})
    assert dead_runs(tmp_path) == []
    assert not (tmp_path / ".run-r1").exists()


def test_one_whose_evidence_has_not_all_of_it_is_kept(tmp_path):
    """It went on with a run that was interrupted, under its id, and died before it wrote evidence of its own."""
    died(tmp_path, "r1")
    write_json(tmp_path / "evidence.json", {"run": {"id": "r1", "undecided": ["a"]}, "claims": [{"id": "a"}]})
    assert [one.decided for one in dead_runs(tmp_path)] == [1]


def test_a_live_one_is_left_alone(tmp_path):
    parts = died(tmp_path, "r1", decided="")
    parts.hold()
    assert is_alive(parts.folder)
    assert dead_runs(tmp_path) == []
    assert parts.folder.exists()
    with pytest.raises(MechcheckError, match="is still alive, and will write its evidence itself"):
        recover(parts.folder)
    parts.release()
    assert not is_alive(parts.folder)


def test_where_nothing_says_whether_it_is_alive_its_last_change_does(tmp_path):
    parts = died(tmp_path, "r1")
    (parts.folder / "lock").unlink()
    assert is_alive(parts.folder)
    long_ago = time.time() - 2 * 3600
    for path in (parts.folder, *parts.folder.iterdir()):
        os.utime(path, (long_ago, long_ago))
    assert not is_alive(parts.folder)


def test_recovered(tmp_path):
    died(tmp_path, "r1")
    (folder,) = recover(tmp_path)
    assert folder == tmp_path / "recovered-r1"
    VALIDATOR.validate(read_json(folder / "evidence.json"))
    found = read_run(folder)
    assert {name: one["verdict"] for name, one in found.claims.items()} == {"a": "supported", "b": "errored"}
    assert (found.run["complete"], found.run["undecided"]) == (False, ["b", "c"])
    assert found.measurements("a")[0].mean == pytest.approx(OLD.mean)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["ledger.jsonl", "recovered-r1"]
    with pytest.raises(MechcheckError, match="there is nothing to recover"):
        recover(tmp_path)


def test_recovered_from_two_folders_and_a_half_done_merge(tmp_path):
    """Some parts found no room in the run's own folder, and the samples had already been moved when the run was killed."""
    parts = died(tmp_path, "r1", decided="ab", started="")
    spare = leftovers.spare_folder("r1")
    (record,) = (parts.folder / "claims").glob("*-a-*")
    (spare / "claims").mkdir(parents=True)
    record.rename(spare / "claims" / record.name)
    (tmp_path / "samples" / "r1").mkdir(parents=True)
    for path in (parts.folder / "samples").glob("*-a-*"):
        path.rename(tmp_path / "samples" / "r1" / path.name)
    (folder,) = recover(parts.folder, tmp_path / "out")
    found = read_run(folder)
    assert [len(found.measurements(name)) for name in "ab"] == [1, 1]
    assert not spare.exists()


def test_a_spoilt_record_does_not_stand_in_the_way(tmp_path):
    parts = died(tmp_path, "r1", decided="ab", started="")
    (record,) = (parts.folder / "claims").glob("*-a-*")
    record.write_text("{")
    (folder,) = recover(tmp_path)
    found = read_run(folder)
    assert (list(found.claims), found.run["undecided"]) == (["b"], ["a", "c"])
    assert found.run["problems"][0].startswith("a claim's record cannot be read (claims/")


def test_what_cannot_be_recovered(tmp_path):
    with pytest.raises(MechcheckError, match=r"there is no folder .*nowhere; name the one that evidence goes to"):
        recover(tmp_path / "nowhere")
    died(tmp_path, "r1")
    died(tmp_path, "r2")
    with pytest.raises(MechcheckError, match=r"2 runs died in .*, which cannot all go to .*: name one of .*\.run-r., .*\.run-r."):
        recover(tmp_path, tmp_path / "out")
    assert len(recover(tmp_path)) == 2
    parts = died(tmp_path, "r3")
    (parts.folder / "run.json").write_text("{")
    with pytest.raises(MechcheckError, match=r"r3 says too little to make evidence of it: run\.json or the claims' records cannot be read"):
        recover(tmp_path)
    assert parts.folder.exists()


def test_evidence_that_cannot_be_written_takes_nothing_away(tmp_path):
    parts = died(tmp_path, "r1")
    (tmp_path / "a_file").touch()
    with pytest.raises(MechcheckError, match=r"a_file cannot be written .*; name another folder with --out"):
        recover(tmp_path, tmp_path / "a_file")
    assert parts.left().decided == {"a"}
