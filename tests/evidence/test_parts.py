"""What processes leave, until it is merged."""

import shutil

import numpy as np
import pytest
from runs import claim, measurement, values

from mechcheck.base.reading import read_json
from mechcheck.conformance.sentinels import Sentinel
from mechcheck.evidence import parts as parts_
from mechcheck.evidence import store
from mechcheck.evidence.parts import Parts
from mechcheck.evidence.runs import RunRecord


def test_the_last_record_of_a_claim_counts(tmp_path):
    parts = Parts(tmp_path)
    for reason in ("started", "decided"):
        parts.save_record({"id": "a", "nodeid": "test_a.py::test_a", "reason": reason}, reason)
    parts.save_record({"id": "b", "nodeid": "test_a.py::test_b"}, "interrupted")
    found = Parts(tmp_path).left()
    assert {name: record.get("reason") for name, record in found.records.items()} == {"a": "decided", "b": None}
    assert (found.decided, found.problems) == ({"a"}, ())


def saved(folder, spare=None):
    """Three claims, the second with samples, as this process left them."""
    parts = Parts(folder, spare)
    parts.hold()
    for name in "abc":
        parts.save_record({"id": name, "nodeid": f"test.py::{name}"})
    parts.save_samples("b", [measurement(values())])
    return parts


SPOILT = {
    "empty": lambda path: path.write_bytes(b""),
    "torn": lambda path: path.write_bytes(path.read_bytes()[:9]),
    "not a record": lambda path: path.write_text('{"state": "decided", "record": []}'),
    "of no known state": lambda path: path.write_text('{"state": "done", "record": {"id": "a", "nodeid": "a"}}'),
    "no text": lambda path: path.write_bytes(bytes(range(256))),
    "a link to nowhere": lambda path: (path.unlink(), path.symlink_to("nowhere")),
    "a folder": lambda path: (path.unlink(), path.mkdir()),
}


@pytest.mark.parametrize("spoil", SPOILT.values(), ids=SPOILT)
def test_a_spoilt_record_costs_no_other(tmp_path, spoil):
    parts = saved(tmp_path / ".run-x")
    spoil(sorted((parts.folder / "claims").iterdir())[1])
    found = Parts(parts.folder).left()
    assert found.decided == found.records.keys() == {"a", "c"}
    assert [problem.partition(" (")[0] for problem in found.problems] == ["a claim's record cannot be read"]
    own = parts.left()  # the process that wrote it knows better
    assert (own.decided, own.problems) == ({"a", "b", "c"}, ())


def test_what_was_deleted_is_written_again(tmp_path):
    parts = saved(tmp_path / ".run-x")
    shutil.rmtree(parts.folder)
    parts.heal()
    assert Parts(parts.folder).left().decided == {"a", "b", "c"}
    shutil.rmtree(parts.folder)
    parts.save_record({"id": "d", "nodeid": "test.py::d"})
    assert Parts(parts.folder).left().decided == {"a", "b", "c", "d"}
    (npz,) = (parts.folder / "samples").iterdir()
    npz.write_bytes(b"spoilt")
    parts.heal()
    with np.load(npz) as samples:
        assert samples["values_0"] == pytest.approx(values())


def test_what_another_process_wrote_is_kept_too(tmp_path):
    """Which is gone when somebody deletes it; what it wrote anew is not undone."""
    worker, owner = saved(tmp_path / ".run-x"), Parts(tmp_path / ".run-x")
    for name in "abc":
        owner.adopt({"id": name, "nodeid": f"test.py::{name}"})
    worker.save_record({"id": "a", "nodeid": "test.py::a", "again": True})
    owner.heal()
    assert owner.left().records["a"]["again"]
    shutil.rmtree(owner.folder)
    owner.heal()
    assert Parts(owner.folder).left().decided == {"a", "b", "c"}
    (npz,) = (owner.folder / "samples").iterdir()
    npz.write_bytes(b"")
    owner.heal()
    with np.load(npz) as samples:
        assert samples["values_0"] == pytest.approx(values())


def test_what_cannot_be_written_goes_into_the_spare_folder(tmp_path, monkeypatch):
    """And what can be written nowhere stays with the process, until it can."""
    full = {tmp_path / ".run-x"}
    honest = store.write_bytes

    def write(path, content):
        if full.intersection(path.parents):
            raise OSError(28, "No space left on device")
        honest(path, content)

    monkeypatch.setattr(parts_, "write_bytes", write)
    parts = saved(tmp_path / ".run-x", tmp_path / "spare")
    assert Parts(tmp_path / ".run-x", tmp_path / "spare").left().decided == {"a", "b", "c"}
    assert len(list((tmp_path / "spare" / "samples").iterdir())) == 1
    full.add(tmp_path / "spare")
    parts.save_record({"id": "d", "nodeid": "test.py::d"})
    assert Parts(tmp_path / ".run-x", tmp_path / "spare").left().decided == {"a", "b", "c"}
    assert parts.left().decided == {"a", "b", "c", "d"}
    full.clear()
    parts.heal()
    assert Parts(tmp_path / ".run-x").left().decided == {"d"}
    parts.remove()
    assert not list(tmp_path.iterdir())


def test_samples_are_read_as_they_were_written(tmp_path):
    """Also ratios, which are kept as numerator and denominator."""
    effect = measurement(values())
    share = measurement(values(1.0)) / measurement(values(4.0, seed=3))
    record = claim("t/a[m]", effect, share)
    record["expectations"][1]["estimate"]["value"] = share.mean
    Parts(tmp_path).save_samples("t/a[m]", [effect, share])
    found = RunRecord({}, {"t/a[m]": record}, tmp_path / "samples").measurements("t/a[m]")
    for read, written in zip(found, (effect, share), strict=True):
        np.testing.assert_array_equal(read.values, written.values)
        assert (read.ids, read.templates) == (written.ids, written.templates)
        assert read.mean == written.mean
    assert found[0].denominator is None
    assert found[1].denominator == pytest.approx(values(4.0, seed=3))


def test_each_process_keeps_its_own_sentinels(tmp_path, monkeypatch):
    for process in (1, 2):
        monkeypatch.setattr("os.getpid", lambda process=process: process)
        Parts(tmp_path).save_sentinels("lab/m", [Sentinel("lab/m", "hooks are gone", process == 1, "")])
    kept = sorted((tmp_path / "sentinels").iterdir())
    assert [read_json(path)[0]["passed"] for path in kept] == [True, False]
