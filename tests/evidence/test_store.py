"""Writing evidence: all or nothing, no NaN, merged records with p-values adjusted over the whole run."""

import json
import math
import os
import stat

import numpy as np
import pytest

from mechcheck.base.reading import read_json
from mechcheck.evidence import store
from mechcheck.evidence.store import evidence_of, publish, schema, slug, write_json

RUN = {"id": "r2", "seed": 3}
CLAIMS = [{"id": name, "verdict": "skipped", "expectations": []} for name in "ba"]
SENTINELS = [{"model": "m", "name": "ablation", "passed": True, "detail": str(process)} for process in (1, 2)]


@pytest.fixture
def earlier(tmp_path):
    """A report folder with the evidence of an earlier run and its samples, which lie as they did before runs had folders of their own."""
    write_json(tmp_path / "evidence.json", {"run": {"id": "r1"}, "claims": []})
    for name in ("samples/old.npz", "samples/r1/old.npz", ".run-r2/samples/a.npz", "spare/samples/b.npz"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        np.savez(tmp_path / name, values_0=np.arange(3))
    return tmp_path


def published(folder):
    evidence = evidence_of(RUN, CLAIMS, SENTINELS, folder)
    publish(evidence, folder, [folder / ".run-r2" / "samples", folder / "spare" / "samples"])
    return evidence


def test_evidence_takes_the_place_of_the_last(earlier):
    evidence = published(earlier)
    assert [c["id"] for c in evidence["claims"]] == ["a", "b"]
    assert evidence["run"] == RUN | {"sentinels": SENTINELS[1:], "samples": "samples/r2", "ledger_problem": None}
    assert read_json(earlier / "evidence.json") == evidence
    assert sorted(str(p.relative_to(earlier)) for p in earlier.rglob("*.npz")) == ["samples/r2/a.npz", "samples/r2/b.npz"]


@pytest.mark.parametrize("step", ["mkstemp", "move", "replace"])
def test_until_the_last_step_the_earlier_evidence_is_whole(earlier, monkeypatch, step):
    """Whatever fails, and wherever the process is killed, it is there with its samples; and the new ones are, for another try."""

    def fail(*_, **__):
        raise OSError("disk full")

    room, name = {"mkstemp": (store.tempfile, "mkstemp"), "move": (store.shutil, "move"), "replace": (store.os, "replace")}[step]
    honest = getattr(room, name)
    monkeypatch.setattr(
        room, name, (lambda a, b: fail() if b == earlier / "evidence.json" else honest(a, b)) if step == "replace" else fail
    )
    with pytest.raises(OSError, match="disk full"):
        published(earlier)
    monkeypatch.undo()
    assert read_json(earlier / "evidence.json")["run"]["id"] == "r1"
    assert (earlier / "samples" / "r1" / "old.npz").exists()
    publish(evidence_of(RUN, CLAIMS, SENTINELS, earlier), earlier, [earlier / ".run-r2" / "samples", earlier / "spare" / "samples"])
    assert sorted(str(p.relative_to(earlier)) for p in earlier.rglob("*.npz")) == ["samples/r2/a.npz", "samples/r2/b.npz"]


def test_a_failing_write_leaves_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "evidence.json"
    write_json(path, {"old": 1})

    def fail(*_):
        raise OSError("disk full")

    monkeypatch.setattr(store.os, "replace", fail)
    with pytest.raises(OSError, match="disk full"):
        write_json(path, {"new": 2})
    for unwritable in ({"x": math.nan}, {"x": [1, math.inf]}, {"x": object()}):
        with pytest.raises((ValueError, TypeError)):
            write_json(path, unwritable)
    assert read_json(path) == {"old": 1}
    assert os.listdir(tmp_path) == ["evidence.json"]


def test_written_for_everyone_to_read(tmp_path):
    path = tmp_path / "new" / "evidence.json"
    write_json(path, {"statement": "naïve ✓"})
    assert "naïve ✓" in path.read_text(encoding="utf-8")
    before = os.umask(0)
    os.umask(before)
    assert stat.S_IMODE(path.stat().st_mode) == 0o666 & ~before


def test_slugs_are_file_names_and_differ():
    ids = ["ioi/test_x[seed0]", "ioi/test_x(seed0)", "a" * 300, "a" * 299 + "b", "…/\\:*", "..", ""]
    slugs = [slug(i) for i in ids]
    assert len(set(slugs)) == len(ids)
    assert all(len(s) < 100 and not set(s) & set('/\\:*[]<>|?"') for s in slugs)
    assert slugs[0].startswith("ioi-test_x-seed0")


def test_the_schema_is_a_schema():
    import jsonschema

    jsonschema.Draft202012Validator.check_schema(store.schema())
    assert json.dumps(store.schema()["$id"]) == '"mechcheck.evidence/2"'


def test_every_field_is_described():
    """The reference of the evidence is made of these words."""
    found = schema()
    for name, part in {"evidence": found, **found["$defs"]}.items():
        part = next((one for one in part.get("oneOf", ()) if "required" in one), part)
        bare = [field for field, about in part.get("properties", {}).items() if not about.get("description")]
        assert not bare, f"{name}: {', '.join(bare)}"
