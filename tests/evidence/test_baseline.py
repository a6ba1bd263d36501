"""Runs read from disk, models under other names, changes that someone accepted."""

import json
import shutil

import pytest
from runs import MODEL, MOVED, NOISY, OLD, claim, measurement, write_run

from mechcheck.base.errors import MechcheckError
from mechcheck.evidence.baseline import accept, accepted_path, is_accepted, read_accepted, read_baseline, read_run, renamed, words_among
from mechcheck.evidence.compare import compare


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
            ("{", "is not an evidence file of mechcheck .JSONDecodeError"),
            ("[]", "is not an evidence file of mechcheck .TypeError"),
            ('{"run": {"schema": "other/9"}}', "has schema 'other/9', this version reads 'mechcheck.evidence/1'"),
            ('{"run": {"schema": "mechcheck.evidence/1"}}', "is not whole: KeyError: 'claims'"),
            (
                '{"run": {"schema": "mechcheck.evidence/1"}, "claims": [{"expectations": []}]}',
                "is not whole: it lacks claim.circuit, claim.",
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


class TestAccepting:
    @pytest.fixture
    def baseline(self, tmp_path):
        return write_run(tmp_path / "old", claim("a", OLD))

    def accept(self, baseline, now, why="new optimiser"):
        return accept(baseline, "a", "a is so", why, now, {e["label"]: 0.1 for e in (now["expectations"] if now else [])})

    def test_it_is_written_beside_the_baseline_and_read_again(self, baseline):
        path = self.accept(baseline, claim("a", MOVED), "new\noptimiser ✓ ")
        assert path == baseline.parent / "accepted.json" == accepted_path(baseline.parent)
        (entry,) = json.loads(path.read_text(encoding="utf-8"))["accepted"]
        assert (entry["id"], entry["why"], entry["verdict"]) == ("a", "new\noptimiser ✓", "supported")
        assert entry["expectations"] == [{"label": "effect 0 > 0", "threshold": 0.0, "value": pytest.approx(MOVED.mean), "margin": 0.1}]
        assert read_accepted(baseline) == {"a": entry}

    def test_a_later_acceptance_replaces_the_earlier(self, baseline):
        self.accept(baseline, claim("a", MOVED), "one")
        self.accept(baseline, claim("a", NOISY), "two")
        assert read_accepted(baseline)["a"]["why"] == "two"
        assert read_accepted(baseline.parent / "nowhere" / "evidence.json") == {}

    @pytest.mark.parametrize(
        ("now", "covered"),
        [
            (claim("a", MOVED), True),
            (claim("a", measurement(MOVED.values - 0.09)), True),
            (claim("a", measurement(MOVED.values - 0.11)), False),
            (claim("a", MOVED, verdict="refuted"), False),
            (claim("a", MOVED, statement="another"), False),
            (claim("a", MOVED, MOVED), False),
            (claim("a", MOVED, threshold=0.1), False),
            (None, False),
        ],
    )
    def test_it_covers_the_change_that_was_seen_and_no_other(self, baseline, now, covered):
        self.accept(baseline, claim("a", MOVED))
        assert is_accepted(read_accepted(baseline)["a"], now) is covered

    def test_that_a_claim_is_gone(self, baseline):
        self.accept(baseline, None)
        entry = read_accepted(baseline)["a"]
        assert is_accepted(entry, None)
        assert not is_accepted(entry, claim("a", OLD))
        assert not is_accepted(None, None)

    def test_in_the_comparison(self, drift, baseline):
        self.accept(baseline, claim("a", MOVED))
        today = read_accepted(baseline)["a"]["on"]
        known = read_accepted(baseline)
        found = drift([claim("a", OLD)], [claim("a", MOVED)], accepted=known)
        assert (found.drift["a"]["status"], found.drift["a"]["accepted"]) == ("drifted", {"why": "new optimiser", "on": today})
        assert found.baseline["accepted"] == 1
        further = drift([claim("a", OLD)], [claim("a", measurement(MOVED.values - 0.5))], accepted=known)
        assert (further.drift["a"]["accepted"], further.baseline["accepted"]) == (None, 0)
        assert further.drift["a"]["reason"].endswith("; the change that was accepted was another one")
        back = drift([claim("a", OLD)], [claim("a", OLD)], accepted=known)
        assert (back.drift["a"]["status"], back.drift["a"]["accepted"]) == ("same", None)

    def test_a_reason_is_asked_for(self, baseline):
        with pytest.raises(MechcheckError, match="a change is accepted for a reason"):
            self.accept(baseline, claim("a", MOVED), "  ")

    @pytest.mark.parametrize("text", ["{", "[]", '{"schema": "mechcheck.accepted/1", "accepted": [{"id": "a"}]}', '{"schema": "x"}'])
    def test_a_file_that_is_none(self, baseline, text):
        accepted_path(baseline).write_text(text, encoding="utf-8")
        with pytest.raises(MechcheckError, match=r"accepted\.json (is not a file of accepted changes|has schema 'x')"):
            read_accepted(baseline)


def test_words():
    assert words_among(" drifted, missing,", ("drifted", "missing", "new")) == {"drifted", "missing"}
    assert words_among("", ("drifted",)) == frozenset()
    with pytest.raises(MechcheckError, match="unknown 'drifting'; choose among drifted, missing"):
        words_among("drifting,missing", ("drifted", "missing"))
