"""The Markdown table of claims, and the command that prints it."""

import json

import made_evidence
import pytest

from mechcheck import cli
from mechcheck.evidence.summary import markdown


def check(value, label="effect > 0", kind="above", role="claim", **changes):
    ends = {"low": value and value - 0.1, "high": value and value + 0.1}
    return {"kind": kind, "label": label, "role": role, "unit": "logits", "estimate": {"value": value, **ends}} | changes


def claim(name="m", verdict="supported", met=True, value=0.5, **changes):
    base = {
        "task": "ioi",
        "statement": "A | B <b>",
        "params": {"method": "zero"},
        "model": {"name": name},
        "verdict": verdict,
        "met": met,
        "expectations": [check(value)],
    }
    made = base | changes
    return {"deciding": 0 if made["expectations"] else None} | made


RUN = {
    "run": {"schema": "mechcheck.evidence/2"},
    "claims": [
        claim("m"),
        claim("n", "refuted", value=-1.0),
        claim("n", "errored", False, expectations=[], params={}),
        claim("o", "skipped"),
    ],
}


def test_a_row_per_statement_and_a_column_per_model():
    lines = markdown([RUN]).splitlines()
    assert lines[0] == "| task | claim | m | n |"
    assert lines[2] == (
        "| ioi | A \\| B &lt;b> (zero) | ✓ supported<br>0.50 [0.40, 0.60] | ✗ refuted, as claimed<br>-1.00 [-1.10, -0.90] |"
    )
    assert lines[3] == "| ioi | A \\| B &lt;b> |  | ! errored |"
    assert lines[-1] == "3 claims: 1 supported, 1 refuted, 1 errored; 2 as claimed."


def test_a_search_shows_what_it_found_and_no_interval():
    searched = [check(0.0, "in order", "for_all")]
    searched[0]["estimate"]["method"] = "counterexample: the 7th"
    examples = [{"expectation": "another", "example": "x"}, {"expectation": "in order", "example": "Mary | John"}]
    found = claim("m", "refuted", expectations=searched, counterexamples=examples)
    cell = markdown([RUN | {"claims": [found]}]).splitlines()[2].split(" | ")[-1]
    assert cell == "✗ refuted, as claimed<br>counterexample: the 7th: Mary \\| John |"


def several(name, deciding, verdict="supported", first=1.0, second=2.0, **changes):
    return claim(name, verdict, expectations=[check(first, "first"), check(second, "second | <b>")], deciding=deciding, **changes)


def row(*claims):
    return markdown([RUN | {"claims": list(claims)}]).splitlines()[2]


class TestTheDecidingCheck:
    """Numbers that stand side by side are of one check, or each says of which."""

    def test_is_shown_and_named_once_where_it_is_the_same_everywhere(self):
        assert row(several("m", 1), several("n", 1, "refuted", second=-2.0)) == (
            "| ioi | A \\| B &lt;b> (zero)<br>check 2 of 2: second \\| &lt;b> | ✓ supported<br>2.00 [1.90, 2.10] "
            "| ✗ refuted, as claimed<br>-2.00 [-2.10, -1.90] |"
        )

    def test_is_named_in_every_cell_where_it_is_not(self):
        assert row(several("m", 0), several("n", 1, "refuted", second=-2.0)) == (
            "| ioi | A \\| B &lt;b> (zero) | ✓ supported<br>1.00 [0.90, 1.10]<br>check 1 of 2: first "
            "| ✗ refuted, as claimed<br>-2.00 [-2.10, -1.90]<br>check 2 of 2: second \\| &lt;b> |"
        )

    def test_of_one_name_in_two_units_is_two(self):
        other = claim("n", expectations=[check(0.5, unit="share")])
        assert row(claim("m"), other).count("<br>effect > 0 |") == 2

    def test_only_one_needs_no_name(self):
        assert "effect > 0" not in row(claim("m"), claim("n", value=1.0), claim("o", "errored", False, expectations=[]))

    def test_that_is_a_precondition_says_so(self):
        needed = claim("m", "not_applicable", False, expectations=[check(-1.0, "clean > 0", role="precondition"), check(1.0)])
        assert "(zero)<br>check 1 of 2, a precondition: clean > 0 | ∘ not applicable<br>-1.00 [-1.10, -0.90] |" in row(needed)

    def test_that_is_not_defined_has_no_number(self):
        assert row(claim("m", "not_applicable", False, value=None)).endswith("| ∘ not applicable<br>undefined |")
        expected = claim("m", "not_applicable", True, value=None)
        assert row(expected).endswith("| ∘ not applicable, as claimed<br>undefined |")
        open_above = claim("m", expectations=[check(1.0, estimate={"value": 1.0, "low": 0.5, "high": None})])
        assert row(open_above).endswith("| ✓ supported<br>1.00 [0.50, inf] |")


def test_only_the_models_asked_for():
    assert markdown([RUN], ["m"]).splitlines()[0] == "| task | claim | m |"


def drifted(status, value=-0.5, accepted=None):
    found = {"value": value, "low": value - 0.1, "high": value + 0.1}
    expectation = {"status": "drifted", "difference": found, "margin": 0.05, "label": "x"}
    return {"status": status, "reason": "", "expectations": [expectation] if status in ("drifted", "flipped") else [], "accepted": accepted}


BASELINE = {
    "file": "base/<b>.json", "created": "2026-01-01", "counts": {"same": 1, "drifted": 1, "missing": 1}, "accepted": 1, "margin": 0.05,
    "level": 0.95, "not_judged": {"n": 2, "why": "--lf"},
    "missing": [{"id": "ioi/gone`[m]", "accepted": {"why": "moved | out", "on": "2026-01-01"}}],
}  # fmt: skip


def test_a_column_for_drift_where_there_is_a_baseline():
    claims = [
        claim("m", drift=drifted("drifted")),
        claim("n", drift=drifted("flipped", accepted={"why": "a <reason>", "on": "2026-01-01"})),
        claim("m", params={}, drift=drifted("same")),
    ]
    lines = markdown([{"run": {"baseline": BASELINE}, "claims": claims}]).splitlines()
    assert lines[0] == "| task | claim | m | n | since the baseline |"
    assert lines[2].endswith("| m: ≠ drifted -0.5 [-0.6, -0.4]<br>n: ↕ flipped -0.5 [-0.6, -0.4] (accepted: a &lt;reason>) |")
    assert lines[3].endswith("| ✓ supported<br>0.50 [0.40, 0.60] |  |  |")
    assert "against base/&lt;b>.json of 2026-01-01: 1 same, 1 drifted, 1 missing; 1 accepted." in "\n".join(lines)
    assert "2 claims of the baseline are not here and not called missing: --lf." in "\n".join(lines)
    assert lines[-1] == "- − missing: `ioi/gone[m]` (accepted: moved \\| out)"
    assert "since the baseline" not in markdown([RUN])


def test_a_page_of_limited_size_keeps_what_asks_for_attention():
    quiet = [claim("m", params={"i": f"{i:04}"}) for i in range(400)]
    loud = [
        claim("m", "refuted", False, params={"i": "failed"}),
        claim("m", params={"i": "moved"}, drift=drifted("drifted")),
        claim("m", params={"i": "huge " + "é" * 50_000}, met=False),
    ]
    whole = markdown([{"run": {}, "claims": quiet + loud[:2]}])
    assert "left out" not in whole
    cut = markdown([{"run": {}, "claims": quiet + loud}], limit=10_000)
    assert 9_000 < len(cut.encode()) <= 10_000
    rows = [line for line in cut.splitlines() if line.startswith("| ioi")]
    assert "(failed)" in rows[-2]
    assert "(moved)" in rows[-1]
    assert [row.split("(")[1][:4] for row in rows[:3]] == ["0000", "0001", "0002"]
    assert f"**{403 - len(rows)} of 403 rows are left out, for want of room; the report has them all.**" in cut
    assert cut.splitlines()[-1].startswith("403 claims: 402 supported, 1 refuted; 401 as claimed.")


def test_the_limit_is_a_mebibyte():
    page = markdown([{"run": {}, "claims": [claim("m", params={"i": f"{i} {'x' * 500}"}) for i in range(3000)]}])
    assert 1_000_000 < len(page.encode()) <= 1024 * 1024


def test_the_command(tmp_path, capsys):
    path = tmp_path / "evidence.json"
    claims = [made_evidence.claim("a"), made_evidence.claim("b", model=made_evidence.model("n"))]
    path.write_text(json.dumps(made_evidence.evidence(claims)), encoding="utf-8")
    assert cli.main(["summary", str(path), "--model", "n"]) == 0
    assert capsys.readouterr().out.startswith("| task | claim | n |")


@pytest.mark.parametrize(
    ("text", "message"),
    [(None, "no evidence at"), ("{", "is not an evidence file"), ('{"run": {"schema": "other/9"}}', "has schema 'other/9'")],
)
def test_what_is_no_evidence_is_refused(tmp_path, capsys, text, message):
    path = tmp_path / "evidence.json"
    if text is not None:
        path.write_text(text, encoding="utf-8")
    assert cli.main(["summary", str(path)]) == 2
    assert message in capsys.readouterr().err


def test_the_report_is_drawn_again(tmp_path, capsys):
    run = dict.fromkeys(("commit", "dirty")) | {
        "schema": "mechcheck.evidence/2", "complete": True, "created": "2026-01-01T00:00:00+00:00", "seed": 0, "profile": "ci",
        "confidence": 0.975, "versions": {}, "device": "cpu", "argv": ["pytest"], "sentinels": [],
    }  # fmt: skip
    path = tmp_path / "evidence.json"
    path.write_text(json.dumps({"run": run, "claims": []}), encoding="utf-8")
    assert cli.main(["report", str(path)]) == 0
    assert "Evidence report" in (tmp_path / "index.html").read_text(encoding="utf-8")


def test_models_are_listed_with_what_is_known_of_them(capsys):
    assert cli.main(["models"]) == 0
    out = capsys.readouterr().out
    assert "names-gpt2-seed4\n  circuits: induction, ioi\n" in out
    assert "compiled-ioi\n  compiled for: ioi\n  known circuit: duplicate_token 0.0@S2" in out


def test_caveats_and_what_a_strict_run_makes_of_them():
    caveat = {"about": "bounded_metric", "text": "x"}
    run = {
        "run": RUN["run"],
        "claims": [claim("m", caveats=[caveat | {"fails": True}]), claim("n", caveats=[caveat | {"accepted": "y"}]), claim("o")],
    }
    lines = markdown([run]).splitlines()
    assert "| ✓ supported, failed by its caveats<br>0.50 [0.40, 0.60] | ✓ supported<br>" in lines[2]
    assert "3 claims: 3 supported; 3 as claimed. 1 failed by their caveats, as the run was strict." in lines
    assert lines[-1].startswith("- caveat: 2 claims: effects read as probabilities or accuracies alone (")
    assert lines[-1].endswith("(accepted by 1)")
