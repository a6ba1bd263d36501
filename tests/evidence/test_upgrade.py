"""Evidence of schema 1, as it was written then (schema1/, of the claims in kept.py), is read by whatever reads evidence."""

import copy
import json
import re
import shutil
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from runs import VALIDATOR
from scipy import stats

from mechcheck import cli
from mechcheck.base.errors import MechcheckError
from mechcheck.evidence.compare import compare
from mechcheck.evidence.runs import read_baseline, read_evidence, read_run
from mechcheck.evidence.store import SCHEMA
from mechcheck.evidence.upgrade import in_the_words_of, upgraded

KEPT = Path(__file__).parent / "schema1"
STORED = json.loads((KEPT / "evidence.json").read_text(encoding="utf-8"))


@pytest.fixture
def kept(tmp_path):
    """A copy of the kept run, of schema 1."""
    return Path(shutil.copytree(KEPT, tmp_path / "kept"))


@pytest.fixture
def later(tmp_path):
    """later(change): the kept run as this version writes it, changed: evidence.json with its samples."""

    def write(change=lambda claims: None):
        folder = Path(shutil.copytree(KEPT, tmp_path / "later"))
        evidence = read_evidence(KEPT)
        del evidence["run"]["upgraded_from"]
        change({claim["id"]: claim for claim in evidence["claims"]})
        VALIDATOR.validate(evidence)
        (folder / "evidence.json").write_text(json.dumps(evidence), encoding="utf-8")
        return folder

    return write


def claims_of(evidence):
    return {claim["id"]: claim for claim in evidence["claims"]}


def test_it_fits_the_schema_of_today_and_says_where_it_comes_from():
    assert STORED["run"]["schema"] == "mechcheck.evidence/1"
    evidence = read_evidence(KEPT)
    VALIDATOR.validate(evidence)
    assert (evidence["run"]["schema"], evidence["run"]["upgraded_from"]) == (SCHEMA, "mechcheck.evidence/1")
    assert json.loads((KEPT / "evidence.json").read_text(encoding="utf-8")) == STORED, "files are left as they are"


def test_regions_are_filled_in():
    claims = claims_of(read_evidence(KEPT))
    regions = {name: [e["region"] for e in claim["expectations"]] for name, claim in claims.items()}
    assert regions == {
        "test_means": [[1.0, None], [None, 1.0], [1.0, 3.0], [-0.5, 0.5], [0.25, None]],
        "test_rates[4]": [[None, 0.5], [0.5, None]],
        "test_open": [[None, None]],
        "test_second": [[0.0, None], [5.0, None]],
        "test_search": [[0.5, None]],
        "ioi/test_on_a_model[names-gpt2-seed4]": [[1.0, None]],
        "test_skipped": [],
    }
    assert {e["role"] for claim in claims.values() for e in claim["expectations"]} == {"claim"}
    assert all(e["estimate"]["valid"] and e["estimate"]["caveat"] is None for c in claims.values() for e in c["expectations"])


def test_the_check_that_decided_is_the_first_with_the_verdict_of_the_claim():
    found = {name: claim["deciding"] for name, claim in claims_of(read_evidence(KEPT)).items()}
    assert found.pop("test_second") == 1
    assert found.pop("test_skipped") is None
    assert set(found.values()) == {0}


def test_nothing_is_known_of_the_criteria_of_a_circuit():
    circuits = [claim["circuit"] for claim in read_evidence(KEPT)["claims"]]
    assert [c["criteria"] for c in circuits if c] == [{"met": None, "unmet": {}}]


def rate(value, verdict="inconclusive", label="l", p=None, threshold=0.5):
    """The one check of the claim that was not decided, otherwise."""
    evidence = copy.deepcopy(STORED)
    (claim,) = [c for c in evidence["claims"] if c["id"] == "test_open"]
    (e,) = claim["expectations"]
    e |= {"verdict": verdict, "label": label, "p": p, "threshold": threshold}
    e["estimate"]["value"] = value
    return claims_of(upgraded(evidence, SCHEMA))["test_open"]["expectations"][0]["region"]


@pytest.mark.parametrize(
    ("found", "region"),
    [
        # It was decided: the interval lies wholly on one side.
        (rate(0.9, "supported"), [0.5, None]),
        (rate(0.1, "supported"), [None, 0.5]),
        (rate(0.9, "refuted"), [None, 0.5]),
        (rate(0.1, "refuted"), [0.5, None]),
        # The label that was made by itself.
        (rate(0.4, label="share with a < b > 0.5"), [0.5, None]),
        (rate(0.6, label="share with a > b < 0.5 (3)"), [None, 0.5]),
        (rate(0.4, label="share with a < b < 0.25", threshold=0.25), [None, 0.25]),
        (rate(0.4, label="share with more than > 0.25"), [None, None]),  # not its threshold: somebody's own words
        (rate(0.4, label="few of them < 0.5"), [None, None]),
        # A p-value below one half is that of the side on which the rate lies.
        (rate(0.6, p=0.1), [0.5, None]),
        (rate(0.4, p=0.1), [None, 0.5]),
        (rate(0.6, p=0.9), [None, None]),
        (rate(0.5, p=0.4), [None, None]),
    ],
)
def test_the_side_of_a_rate(found, region):
    assert found == region


@given(n=st.floats(1, 300), share=st.floats(0, 1), threshold=st.floats(0.01, 0.99))
def test_a_p_value_against_the_side_on_which_the_rate_lies_is_never_below_one_half(n, share, threshold):
    """What the side of an undecided rate is known by; n is an effective number of prompts, so no whole one."""
    hits = share * n
    above = float(stats.beta.cdf(threshold, hits, n - hits + 1)) if hits > 0 else 1.0
    below = float(stats.beta.sf(threshold, hits + 1, n - hits)) if hits < n else 1.0
    if share > threshold:
        assert below >= 0.5
    if share < threshold:
        assert above >= 0.5


def test_labels_that_differ_by_brackets_alone_are_those_of_today():
    old, new = ({"expectations": [{"label": label}]} for label in ("x > 2 a - b + 0.5", "x > 2 * (a - b) + 0.5"))
    assert in_the_words_of(old, new) == new
    assert in_the_words_of(old, {"expectations": [{"label": "x > 3 * (a - b)"}]}) == old
    assert in_the_words_of(old, {"expectations": []}) == old


def statuses(old, new):
    found = compare(read_baseline(old), read_run(new))
    return {name: drift["status"] for name, drift in found.drift.items()}, found.drift


def test_it_is_a_baseline(kept, later):
    found, _ = statuses(kept, later())
    assert found == dict.fromkeys(claims_of(STORED).keys() - {"test_skipped"}, "same")


def test_a_direction_that_was_not_recorded_makes_no_other_claim(kept, later):
    def known(claims):
        claims["test_open"]["expectations"][0]["region"] = [None, 0.5]

    assert statuses(kept, later(known))[0]["test_open"] == "same"


def test_another_direction_than_one_that_is_known_does(kept, later):
    def turned(claims):
        claims["test_rates[4]"]["expectations"][0]["region"] = [0.5, None]
        claims["test_rates[4]"]["expectations"][0]["verdict"] = "refuted"
        claims["test_rates[4]"] |= {"verdict": "refuted", "met": False}

    found, drift = statuses(kept, later(turned))
    assert found["test_rates[4]"] == "incomparable"
    assert "it is another claim now: region [None, 0.5] -> [0.5, None]" in drift["test_rates[4]"]["reason"]


def test_every_command_reads_it(kept, later, capsys):
    def moved(claims):
        claims["test_second"] |= {"verdict": "supported", "met": False}

    new = later(moved)
    assert cli.main(["summary", str(kept)]) == 0
    out = capsys.readouterr().out
    assert re.search(r"The second check decides<br>check 2 of 2: effect > 5 \|  \| ✗ refuted, as claimed<br>2.00 \[1.9\d, 2.0\d\] \|", out)
    assert cli.main(["report", str(kept / "evidence.json")]) == 0
    page = (kept / "index.html").read_text(encoding="utf-8")
    assert "(mechcheck.evidence/1)" in page
    assert "claimed: above or below 0.5 share of prompts, it is not recorded which (rate)" in page
    assert "claimed: &lt; 0.5 share of prompts (rate)" in page
    capsys.readouterr()
    assert cli.main(["compare", str(kept), str(new)]) == 1
    assert "flipped      test_second (refuted -> supported" in capsys.readouterr().out
    assert cli.main(["compare", str(new), str(kept)]) == 1
    assert "flipped      test_second (supported -> refuted" in capsys.readouterr().out
    assert cli.main(["accept", "test_second", "--why", "it moved", "--baseline", str(kept), "--evidence", str(new)]) == 0
    assert cli.main(["compare", str(kept), str(new)]) == 0
    assert "[accepted" in capsys.readouterr().out


@pytest.mark.parametrize("damage", [lambda e: e.pop("claims"), lambda e: e["claims"][0].pop("circuit"), lambda e: e.update(claims=[3])])
def test_what_is_not_whole_is_said_to_be_so(tmp_path, damage):
    evidence = copy.deepcopy(STORED)
    damage(evidence)
    (tmp_path / "evidence.json").write_text(json.dumps(evidence), encoding="utf-8")
    with pytest.raises(MechcheckError, match="is not whole: "):
        read_evidence(tmp_path)
