"""Changes that were accepted, beside the baseline."""

import json

import pytest
from runs import MOVED, NOISY, OLD, claim, measurement, write_run

from mechcheck.base.errors import MechcheckError
from mechcheck.evidence.accepted import accept, accepted_path, is_accepted, read_accepted


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
        assert entry["expectations"] == [
            {"label": "effect 0 > 0", "threshold": 0.0, "region": [0.0, None], "value": pytest.approx(MOVED.mean), "margin": 0.1}
        ]
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

    def test_that_a_value_is_not_defined(self, baseline):
        undefined = claim("a", MOVED, verdict="not_applicable")
        undefined["expectations"][0]["estimate"] |= {"value": None, "low": None, "high": None}
        self.accept(baseline, undefined)
        assert is_accepted(read_accepted(baseline)["a"], undefined)
        assert not is_accepted(read_accepted(baseline)["a"], claim("a", MOVED, verdict="not_applicable"))

    def test_a_direction_is_a_part_of_it_where_it_was_written_down(self, baseline):
        self.accept(baseline, claim("a", MOVED))
        entry, turned = read_accepted(baseline)["a"], claim("a", MOVED)
        turned["expectations"][0]["region"] = [None, 0.0]
        assert not is_accepted(entry, turned)
        del entry["expectations"][0]["region"]
        assert is_accepted(entry, turned)

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
