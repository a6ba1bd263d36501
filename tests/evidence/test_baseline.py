"""Runs read from disk and compared claim by claim; changes that someone accepted."""

import json
import shutil

import numpy as np
import pytest
from runs import MODEL, VALIDATOR, claim, measurement, values, write_run
from scipy import stats

from mechcheck.base.errors import MechcheckError
from mechcheck.evidence.baseline import accept, accepted_path, is_accepted, read_accepted, read_baseline, read_run, renamed, words_among
from mechcheck.evidence.compare import compare

OLD = measurement(values())
MOVED = measurement(values(1.7, noise=0.05))
NOISY = measurement(values(2.0, noise=0.05))


@pytest.fixture
def drift(tmp_path):
    """drift(before, after): the comparison of two runs of claims, checked against the schema."""

    def of(before, after, before_run=None, after_run=None, **options):
        old = read_baseline(write_run(tmp_path / "old", *before, **(before_run or {})))
        new = read_run(write_run(tmp_path / "new", *after, **(after_run or {})))
        found = compare(old, new, **options)
        records = [c | {"drift": found.drift.get(name)} for name, c in new.claims.items()]
        VALIDATOR.validate({"run": new.run | {"baseline": found.baseline}, "claims": records})
        return found

    return of


def test_the_numbers_of_a_drift(drift):
    found = drift([claim("a", OLD)], [claim("a", MOVED)]).drift["a"]
    (e,) = found["expectations"]
    change = (MOVED.values - OLD.values).reshape(-1, 12).mean(0)  # by template: prompts are dealt to them in turn
    oracle = stats.ttest_1samp(change, 0)
    assert (found["status"], found["verdict_before"], found["accepted"]) == ("drifted", "supported", None)
    assert found["reason"] == "beyond the margin: effect 0 > 0"
    assert (e["label"], e["before"], e["after"]) == ("effect 0 > 0", pytest.approx(OLD.mean), pytest.approx(MOVED.mean))
    assert (e["difference"]["value"], e["difference"]["clusters"]) == (pytest.approx(change.mean()), 12)
    assert (e["difference"]["low"], e["difference"]["high"]) == pytest.approx(oracle.confidence_interval(0.95))
    assert e["p"] == e["p_adjusted"] == found["p_adjusted"] == pytest.approx(oracle.pvalue)
    assert e["margin"] == pytest.approx(0.05 * OLD.mean)


def test_same_and_unsure(drift):
    loud = measurement(values(2.0, noise=0.6))
    found = drift(
        [claim(name, OLD) for name in "abc"],
        [claim("a", OLD), claim("b", NOISY), claim("c", loud)],
    )
    assert {name: d["status"] for name, d in found.drift.items()} == {"a": "same", "b": "same", "c": "unsure"}
    assert found.drift["a"]["reason"] == "every prompt has the same value"
    assert found.drift["b"]["reason"] == "the differences lie within their margins"
    assert found.drift["c"]["reason"].startswith("neither shown within the margin nor shown to have changed")
    assert found.baseline["counts"] == {"same": 2, "unsure": 1}


def test_the_margin_is_the_users(drift):
    assert drift([claim("a", OLD)], [claim("a", MOVED)], fraction=0.3).drift["a"]["status"] == "same"
    assert drift([claim("a", OLD)], [claim("a", NOISY)], fraction=0.001).drift["a"]["status"] == "unsure"


def test_p_values_are_adjusted_over_claims(drift):
    """Forty claims with nothing but noise, each tested: the one that moved least significantly is not enough by itself."""
    rng = np.random.default_rng(0)
    slight = measurement(OLD.values + np.tile(rng.normal(0.12, 0.15, 12), 4))
    alone = drift([claim("a", OLD)], [claim("a", slight)]).drift["a"]
    assert alone["status"] == "drifted"
    others = [f"x{i}" for i in range(40)]
    many = drift(
        [claim(name, OLD) for name in ("a", *others)],
        [claim("a", slight), *(claim(name, measurement(values(noise=0.05, seed=i))) for i, name in enumerate(others))],
    ).drift["a"]
    assert many["expectations"][0]["p"] == alone["expectations"][0]["p"]
    assert (many["status"], many["p_adjusted"] > 0.05) == ("unsure", True)
    # Claims in which nothing changed at all were not tested, and do not count.
    still = drift([claim(name, OLD) for name in ("a", *others)], [claim("a", slight), *(claim(name, OLD) for name in others)]).drift["a"]
    assert still["p_adjusted"] == alone["p_adjusted"]


def test_one_of_several_checks_has_drifted(drift):
    found = drift([claim("a", OLD, OLD)], [claim("a", OLD, MOVED)]).drift["a"]
    assert (found["status"], [e["status"] for e in found["expectations"]]) == ("drifted", ["same", "drifted"])
    assert found["reason"] == "beyond the margin: effect 1 > 0"


@pytest.mark.parametrize(
    ("before", "after", "reason"),
    [
        (claim("a", OLD), claim("a", measurement(values(-2.0))), "supported -> refuted; beyond the margin: effect 0 > 0"),
        (claim("a", OLD), claim("a", NOISY, verdict="vacuous"), "supported -> vacuous; the differences lie within their margins"),
        (claim("a", OLD), claim("a"), "supported -> errored"),
        (claim("a"), claim("a", OLD), "errored -> supported"),
    ],
)
def test_flipped(drift, before, after, reason):
    found = drift([before], [after]).drift["a"]
    assert (found["status"], found["reason"], found["verdict_before"]) == ("flipped", reason, before["verdict"])


def test_a_flip_is_told_without_samples_too(drift, tmp_path):
    write_run(tmp_path / "elsewhere", claim("a", OLD))
    (tmp_path / "old" / "samples").mkdir(parents=True)
    after = claim("a", OLD) | {"verdict": "refuted"}
    drift([claim("a", OLD)], [after])
    for npz in (tmp_path / "old" / "samples").iterdir():
        npz.unlink()
    found = compare(read_baseline(tmp_path / "old"), read_run(tmp_path / "new")).drift["a"]
    assert found["status"] == "flipped"
    assert found["reason"].startswith("supported -> refuted; its samples are not beside the evidence (no ")


def test_new_and_skipped(drift):
    skipped = {"verdict": "skipped", "met": None, "reason": "no GPU"}
    found = drift(
        [claim("a", OLD), claim("b") | skipped, claim("d") | skipped, claim("gone") | skipped],
        [claim("a") | skipped, claim("b", OLD), claim("c", OLD), claim("d") | skipped, claim("e") | skipped],
    )
    assert {name: d["status"] for name, d in found.drift.items()} == {"a": "missing", "b": "new", "c": "new"}
    assert found.drift["a"]["reason"] == "skipped in this run: no GPU"
    assert (found.baseline["missing"], found.baseline["not_judged"]) == ([], None)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"statement": "a is otherwise"}, "it is another claim now: it said 'a is so'"),
        ({"verdict": "refuted", "statement": "x"}, "it is another claim now: it said 'a is so' (supported -> refuted)"),
    ],
)
def test_another_claim_is_not_compared(drift, changes, reason):
    found = drift([claim("a", OLD)], [claim("a", MOVED, **changes)]).drift["a"]
    assert (found["status"], found["reason"], found["expectations"]) == ("incomparable", reason, [])


def test_another_threshold_is_another_claim(drift):
    found = drift([claim("a", OLD)], [claim("a", OLD, threshold=0.5)]).drift["a"]
    assert (found["status"], found["reason"]) == ("incomparable", "it is another claim now: label effect 0 > 0 -> effect 0 > 0.5")
    same_label = claim("a", OLD, threshold=0.5)
    same_label["expectations"][0]["label"] = "effect 0 > 0"
    assert drift([claim("a", OLD)], [same_label]).drift["a"]["reason"] == "it is another claim now: threshold 0.0 -> 0.5"
    assert drift([claim("a", OLD)], [claim("a", OLD, OLD)]).drift["a"]["reason"] == "it is another claim now: 1 checks -> 2"


def test_other_prompts_are_not_compared(drift):
    found = drift([claim("a", OLD)], [claim("a", measurement(values(-2.0), first=100))]).drift["a"]
    assert (found["status"], found["reason"]) == (
        "incomparable",
        "0 of 48 prompts in common: too few to be paired (supported -> refuted)",
    )


def test_a_part_of_the_prompts_is_compared_and_said(drift):
    fewer = measurement(values()[:20])
    found = drift([claim("a", OLD)], [claim("a", fewer)]).drift["a"]
    assert (found["status"], found["expectations"][0]["difference"]["n"]) == ("same", 20)
    assert [c["what"] for c in found["changed"]] == ["prompts"]


def test_errored_twice_says_nothing(drift):
    found = drift([claim("a")], [claim("a")]).drift["a"]
    assert (found["status"], found["reason"]) == ("incomparable", "errored in both runs: nothing was measured")


def test_what_changed_is_listed_and_compared(drift):
    other = MODEL | {"weights_sha256": "b" * 64, "dtype": "float64"}
    control = {"kind": "random", "n": 1, "values": [0.1], "labels": ["0.2"]}
    before, after = claim("a", OLD), claim("a", NOISY, model=other, circuit={"source": "here", "roles": {"mover": "0.3"}}, expect="refuted")
    before["expectations"][0]["control"], after["expectations"][0]["control"] = control, control | {"labels": ["0.3"]}
    found = drift([before], [after], after_run={"versions": {"python": "3.11.2", "torch": "2.14.0"}, "commit": None})
    assert found.drift["a"]["status"] == "same"
    assert found.drift["a"]["changed"] == [
        {"what": "expected verdict", "before": "supported", "after": "refuted"},
        {"what": "weights_sha256", "before": "a" * 64, "after": "b" * 64},
        {"what": "dtype", "before": "float32", "after": "float64"},
        {"what": "circuit: mover", "before": "0.1", "after": "0.3"},
        {"what": "controls of effect 0 > 0", "before": "0.2", "after": "0.3"},
    ]
    assert found.baseline["changed"] == [
        {"what": "commit", "before": "c" * 40, "after": "none"},
        {"what": "torch", "before": "2.13.0", "after": "2.14.0"},
    ]


@pytest.mark.parametrize(
    ("run", "missing", "why"),
    [
        ({}, ["b"], None),
        ({"selection": {"paths": ["."], "models": [], "narrowed": None}}, ["b"], None),
        ({"selection": {"paths": ["other", "claims/test_b.py"], "models": [], "narrowed": None}}, ["b"], None),
        ({"selection": {"paths": ["claims/test_b.py::test_it"], "models": ["m"], "narrowed": None}}, ["b"], None),
        ({"selection": {"paths": ["claims"], "models": [], "narrowed": "--lf"}}, [], "only a part of the claims was run (--lf)"),
        ({"complete": False}, [], "the run was interrupted"),
    ]
    + [
        ({"selection": {"paths": paths, "models": models, "narrowed": None}}, [], "they lie outside of the paths and models of this run")
        for paths, models in [
            (["claims/test_a.py"], []),
            (["claims/test_"], []),
            (["claims/test_b.py::test_"], []),
            (["../claims"], []),
            ([], []),
            (["claims"], ["gpt2"]),
        ]
    ],
)
def test_missing_is_what_was_asked_for_and_is_not_there(drift, run, missing, why):
    found = drift([claim("a", OLD), claim("b", OLD)], [claim("a", OLD)], after_run=run)
    assert [gone["id"] for gone in found.baseline["missing"]] == missing
    assert found.baseline["not_judged"] == (why and {"n": 1, "why": why})
    assert found.baseline["counts"] == {"same": 1} | ({"missing": 1} if missing else {})
    assert found.baseline["n"] == 2


def test_a_run_that_does_not_say_what_it_asked_for(drift, tmp_path):
    drift([claim("a", OLD), claim("b", OLD)], [claim("a", OLD)])
    new = read_run(tmp_path / "new")
    del new.run["selection"]
    found = compare(read_baseline(tmp_path / "old"), new).baseline
    assert found["not_judged"] == {"n": 1, "why": "the run does not say which claims it asked for"}


def test_a_claim_is_known_by_its_id_wherever_its_file_is(drift):
    found = drift([claim("a", OLD)], [claim("a", OLD, nodeid="elsewhere/test_new.py::test_other")])
    assert (found.drift["a"]["status"], found.baseline["missing"]) == ("same", [])


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
