"""`mechcheck compare` and `mechcheck accept`."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
from runs import MODEL, claim, measurement, values, write_run

from mechcheck import cli
from mechcheck.evidence.accepted import read_accepted

OLD, MOVED, NOISY = measurement(values()), measurement(values(1.7, noise=0.05)), measurement(values(noise=0.05))


@pytest.fixture
def two(tmp_path):
    """Paths of two runs: `b` drifted, `c` flipped, `d` is gone, `e` is new."""
    flipped = measurement(values(-2.0))
    old = write_run(tmp_path / "old", *(claim(name, OLD) for name in "abcd"))
    new = write_run(
        tmp_path / "new", claim("a", NOISY), claim("b", MOVED), claim("c", flipped), claim("e", OLD), versions={"torch": "2.14.0"}
    )
    return str(old), str(new)


def test_compare(two, capsys):
    assert cli.main(["compare", *two]) == 1
    out, err = capsys.readouterr()
    lines = out.splitlines()
    assert re.match(r"↕ flipped +c \(supported -> refuted; beyond the margin: effect 0 > 0\)  effect 0 > 0: \+2 -> -2: -4 ", lines[0])
    assert re.match(r"≠ drifted +b  effect 0 > 0: \+2 -> \+1\.697: -0\.303 \[-0\.3\d+, -0\.2\d+\], margin 0\.1, p \d", lines[1])
    assert re.match(r"− missing +d: supported in the baseline$", lines[2])
    assert lines[3] == f"against {two[0]} of 2026-01-01T00:00:00+00:00: 1 same, 1 drifted, 1 flipped, 1 new, 1 missing"
    assert lines[4].startswith("same: the 95% interval of the paired difference lies within 5% of the effect")
    assert lines[5] == "changed: python 3.11.2 -> none; torch 2.13.0 -> 2.14.0"
    assert len(lines) == 6
    assert err == "mechcheck: failed by b (drifted), c (flipped), d (missing)\n"


@pytest.mark.parametrize(("options", "status"), [(["--fail-on="], 0), (["--fail-on=new"], 1), (["--fail-on=incomparable,unsure"], 0)])
def test_exit_status(two, capsys, options, status):
    assert cli.main(["compare", *two, *options]) == status


def test_nothing_changed(two, capsys):
    assert cli.main(["compare", two[0], two[0]]) == 0
    out, err = capsys.readouterr()
    assert "4 same" in out
    assert (len(out.splitlines()), err) == (2, "")


def test_margin(two, capsys):
    assert cli.main(["compare", *two, "--margin=0.3", "--fail-on=drifted"]) == 0
    assert "2 same" in capsys.readouterr().out
    for bad in ("0", "1", "x"):
        with pytest.raises(SystemExit) as stop:
            cli.main(["compare", *two, f"--margin={bad}"])
        assert stop.value.code == 2


def test_json(two, capsys):
    assert cli.main(["compare", *two, "--json"]) == 1
    found = json.loads(capsys.readouterr().out)
    assert {name: d["status"] for name, d in found["drift"].items()} == {"a": "same", "b": "drifted", "c": "flipped", "e": "new"}
    assert [gone["id"] for gone in found["baseline"]["missing"]] == ["d"]
    assert found["baseline"]["counts"] == {"same": 1, "drifted": 1, "flipped": 1, "new": 1, "missing": 1}


def test_page(two, tmp_path, capsys):
    cli.main(["compare", *two, f"--page={tmp_path / 'page.html'}"])
    assert "drifted" in (tmp_path / "page.html").read_text(encoding="utf-8")


def test_rename(tmp_path, capsys):
    old = write_run(tmp_path / "old", claim("a[step1000]", OLD, model=MODEL | {"name": "step1000"}, statement="x"))
    new = write_run(tmp_path / "new", claim("a[step2000]", MOVED, model=MODEL | {"name": "step2000"}, statement="x"))
    assert cli.main(["compare", str(old), str(new), "--rename", "step1000=step2000"]) == 1
    assert "≠ drifted      a[step2000]" in capsys.readouterr().out
    assert cli.main(["compare", str(old), str(new), "--rename", "step3000=step2000"]) == 2
    assert "is about 'step3000'; its models: step1000" in capsys.readouterr().err
    assert cli.main(["compare", str(old), str(new), "--rename", "step1000"]) == 2
    assert "--rename takes OLD=NEW, not 'step1000'" in capsys.readouterr().err


def test_what_cannot_be_compared(two, tmp_path, capsys):
    cut = write_run(tmp_path / "cut", claim("a", OLD), complete=False)
    assert cli.main(["compare", str(cut), two[1]]) == 2
    assert "of a run that was interrupted" in capsys.readouterr().err
    assert cli.main(["compare", two[0], str(cut)]) == 0  # as the later run it will do, for what is in it
    assert "3 claims of the baseline are not here and not called missing: the run was interrupted" in capsys.readouterr().out
    assert cli.main(["compare", two[0], str(tmp_path / "nowhere")]) == 2
    assert "no evidence at" in capsys.readouterr().err
    assert cli.main(["compare", *two, "--fail-on=drifting"]) == 2
    assert "unknown 'drifting'; choose among drifted, unsure, flipped, new, missing, incomparable" in capsys.readouterr().err


def test_accept(two, capsys):
    old, new = two
    for name in "bcd":
        assert cli.main(["accept", name, "--why", f"because of {name}", "--baseline", old, "--evidence", new]) == 0
    out = capsys.readouterr().out
    assert re.search(r"^b \(drifted\) is accepted in .*old/accepted\.json$", out, re.MULTILINE)
    assert "d (missing) is accepted" in out
    assert {name: entry["verdict"] for name, entry in read_accepted(Path(old)).items()} == {
        "b": "supported", "c": "refuted", "d": None,
    }  # fmt: skip
    assert cli.main(["compare", old, new]) == 0
    out = capsys.readouterr().out
    assert re.search(r"≠ drifted +b .*  \[accepted \d{4}-\d\d-\d\d: because of b\]", out)
    assert re.search(r"− missing +d: supported in the baseline  \[accepted .*: because of d\]", out)
    assert "1 missing; 3 accepted" in out


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("a", "a is the same as in .*: there is nothing to accept"),
        ("bb", "no claim 'bb' was compared with .*; did you mean b"),
        ("zzz", "no claim 'zzz' was compared with [^;]*$"),
    ],
)
def test_what_cannot_be_accepted(two, capsys, name, message):
    assert cli.main(["accept", name, "--why", "x", "--baseline", two[0], "--evidence", two[1]]) == 2
    assert re.search(message, capsys.readouterr().err)
    assert read_accepted(Path(two[0])) == {}


def test_accept_needs_a_baseline_and_a_reason(two, capsys):
    assert cli.main(["accept", "b", "--why", "x", "--evidence", two[1]]) == 2
    assert "was not compared with a baseline; name it with --baseline FILE" in capsys.readouterr().err
    assert cli.main(["accept", "b", "--why", " ", "--evidence", two[1], "--baseline", two[0]]) == 2
    assert "a change is accepted for a reason" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        cli.main(["accept", "b", "--evidence", two[1]])


def test_comparing_loads_no_model_library(two):
    code = f"import sys; from mechcheck import cli; cli.main(['compare', *{two!r}]); assert 'torch' not in sys.modules"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False).returncode == 0
