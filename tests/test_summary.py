"""The Markdown table of claims, and the command that prints it."""

import json

import pytest

from mechcheck import cli
from mechcheck._summary import markdown


def claim(name="m", verdict="supported", met=True, value=0.5, **changes):
    estimate = {"value": value, "low": value - 0.1, "high": value + 0.1}
    base = {
        "task": "ioi",
        "statement": "A | B <b>",
        "params": {"method": "zero"},
        "model": {"name": name},
        "verdict": verdict,
        "met": met,
        "expectations": [{"estimate": estimate}],
    }
    return base | changes


RUN = {
    "run": {"schema": "mechcheck.evidence/1"},
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


def test_only_the_models_asked_for():
    assert markdown([RUN], ["m"]).splitlines()[0] == "| task | claim | m |"


def test_the_command(tmp_path, capsys):
    path = tmp_path / "evidence.json"
    path.write_text(json.dumps(RUN), encoding="utf-8")
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
    assert cli.main(["summary", str(path)]) == 1
    assert message in capsys.readouterr().err


def test_the_report_is_drawn_again(tmp_path, capsys):
    run = dict.fromkeys(("commit", "dirty")) | {
        "schema": "mechcheck.evidence/1", "complete": True, "created": "2026-01-01T00:00:00+00:00", "seed": 0, "profile": "ci",
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
