"""Writing evidence: all or nothing, no NaN, merged records with p-values adjusted over the whole run."""

import json
import math
import os
import stat

import numpy as np
import pytest

from mechcheck.base.reading import read_json
from mechcheck.evidence import store
from mechcheck.evidence.parts import Parts
from mechcheck.evidence.store import merge, schema, slug, write_json


@pytest.fixture
def parts(tmp_path):
    """Two claims' records, a sentinel seen by two processes, and samples."""
    folder = tmp_path / "report" / ".run"
    for name, p_values in (("b", [0.01, None]), ("a", [0.04, 0.03])):
        expectations = [{"p": p, "p_adjusted": None} for p in p_values]
        write_json(folder / "claims" / f"{name}.json", {"id": name, "verdict": "skipped", "expectations": expectations})
    for pid in (1, 2):
        write_json(folder / "sentinels" / f"m-{pid}.json", [{"model": "m", "name": "ablation", "passed": True, "detail": str(pid)}])
    (folder / "samples").mkdir()
    np.savez(folder / "samples" / "a.npz", values_0=np.arange(3))
    return folder


def test_merge(parts):
    report = parts.parent
    (report / "samples").mkdir()
    (report / "samples" / "of-an-earlier-run.npz").touch()
    evidence = merge(parts, report, {"id": "r", "seed": 3}, reversed(Parts(parts).records()))
    assert [c["id"] for c in evidence["claims"]] == ["a", "b"]
    assert evidence["run"]["seed"] == 3
    assert [s["name"] for s in evidence["run"]["sentinels"]] == ["ablation"]
    assert read_json(report / "evidence.json") == evidence
    assert [p.name for p in (report / "samples").iterdir()] == ["a.npz"]
    assert not parts.exists()


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
