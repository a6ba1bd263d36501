"""Runs read from disk, and models under other names."""

import shutil

import pytest
from runs import MODEL, MOVED, OLD, claim, write_run

from mechcheck.base.errors import MechcheckError
from mechcheck.evidence.compare import compare
from mechcheck.evidence.runs import read_baseline, read_run, renamed


def test_a_renamed_model(tmp_path):
    old = write_run(tmp_path / "old", claim("t/test_it[m-zero]", OLD), claim("other", OLD, model=None))
    checkpoint = claim("t/test_it[m2-zero]", MOVED, model=MODEL | {"name": "m2"}, statement="t/test_it[m-zero] is so")
    new = read_run(write_run(tmp_path / "new", checkpoint))
    before = renamed(read_baseline(old), "m", "m2")
    found = compare(before, new).drift["t/test_it[m2-zero]"]
    assert (found["status"], [c["what"] for c in found["changed"]]) == ("drifted", [])
    with pytest.raises(MechcheckError, match=r"no claim in .* is about 'x'; its models: m$"):
        renamed(read_baseline(old), "x", "y")


class TestReading:
    def test_an_interrupted_run_is_no_baseline(self, tmp_path):
        path = write_run(tmp_path, claim("a", OLD), complete=False)
        assert read_run(path).run["complete"] is False
        with pytest.raises(MechcheckError, match=r"of a run that was interrupted, .* it is no baseline; run `pytest claims` to the end"):
            read_baseline(path)

    def test_a_directory_stands_for_its_evidence(self, tmp_path):
        write_run(tmp_path, claim("a", OLD))
        assert read_baseline(tmp_path).claims.keys() == {"a"}

    @pytest.mark.parametrize(
        ("text", "message"),
        [
            (None, "no evidence at .*evidence.json; run `pytest claims` first, or name the file"),
            ("{", "is not an evidence file of mechcheck: Expecting property name"),
            ("[]", r"is not an evidence file of mechcheck: it does not name its schema \(run.schema\)"),
            ('{"run": {"schema": "other/9"}}', "has schema 'other/9', this version reads 'mechcheck.evidence/2'"),
            ('{"run": {"schema": "mechcheck.evidence/2"}}', "is not whole: it: it lacks claims; make it again"),
            (
                '{"run": {"schema": "mechcheck.evidence/2"}, "claims": [{"expectations": []}]}',
                "is not whole: run: it lacks complete, created, ",
            ),
        ],
    )
    def test_what_is_no_evidence(self, tmp_path, text, message):
        if text is not None:
            (tmp_path / "evidence.json").write_text(text, encoding="utf-8")
        with pytest.raises(MechcheckError, match=message):
            read_baseline(tmp_path / "evidence.json")

    def test_evidence_without_its_samples(self, tmp_path):
        path = write_run(tmp_path, claim("a", OLD))
        shutil.rmtree(tmp_path / "samples")
        with pytest.raises(MechcheckError, match=r"has no samples beside it .* keep evidence.json and its samples/ together"):
            read_baseline(path)

    def test_samples_of_another_run(self, drift, tmp_path):
        drift([claim("a", OLD)], [claim("a", OLD)])
        (npz,) = (tmp_path / "old" / "samples").iterdir()
        write_run(tmp_path / "third", claim("a", MOVED))
        shutil.copy(tmp_path / "third" / "samples" / npz.name, npz)
        found = compare(read_baseline(tmp_path / "old"), read_run(tmp_path / "new")).drift["a"]
        assert found["status"] == "incomparable"
        assert "its samples are of another run than the evidence: effect 0 > 0 was estimated as 2, the samples' mean" in found["reason"]

    @pytest.mark.parametrize("damage", [b"", b"PK no zip", "cut"])
    def test_samples_that_cannot_be_read(self, drift, tmp_path, damage):
        drift([claim("a", OLD)], [claim("a", OLD)])
        (npz,) = (tmp_path / "old" / "samples").iterdir()
        npz.write_bytes(npz.read_bytes()[:200] if damage == "cut" else damage)
        found = compare(read_baseline(tmp_path / "old"), read_run(tmp_path / "new")).drift["a"]
        assert found["status"] == "incomparable"
        assert found["reason"].startswith("its samples cannot be read (")
