"""A check says its verdict without pytest, by the rules and in the words of a run."""

import subprocess
import sys
from dataclasses import asdict
from xml.etree import ElementTree

import pytest

from mechcheck.base.errors import ClaimError
from mechcheck.stats.estimates import Confidence
from mechcheck.verdicts.check import Check
from mechcheck.verdicts.outcome import decide_claim
from mechcheck.verdicts.words import check_lines, interval_text, value_text

SCRIPT = """
import sys

sys.modules["pytest"] = None  # importing it is an error from here on
import numpy as np

from mechcheck import Check, Measurement

ids, templates = tuple(f"p{i}" for i in range(24)), tuple(f"t{i % 8}" for i in range(24))
check = Check()
check.above(Measurement(1 + np.linspace(-0.5, 0.5, 24), ids, templates, "effect", "logits"), 0.5)
print(check.verdict)
print(check)
assert not any(name.startswith("mechcheck.plugin") for name in sys.modules)
"""


def test_in_a_script_without_pytest():
    done = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert lines[:3] == ["supported", "supported", "  supported: effect > 0.5"]
    assert lines[3].startswith("    measured 1, 95% interval [0.")
    assert lines[3].endswith("n=24 (t interval over 8 templates)")


def test_the_rules_are_those_of_a_claim(around):
    check = Check()
    check.above(around(1.0), 0.5)
    assert check.verdict == "supported"
    check.above(around(1.0), 0.95)
    assert check.verdict == "inconclusive"
    check.below(around(1.0), 0.5)
    assert check.verdict == "refuted" == decide_claim(check, "supported").verdict
    check.requires(around(1.0), below=0.5)
    assert check.verdict == "not_applicable"


def test_what_is_refuted_alone_must_stand_among_all(around):
    edge = Check().above(around(1.0), 0.0).high
    check = Check()
    check.above(around(1.0), edge + 1e-4)
    assert check.verdict == "refuted"
    check.above(around(1.0), 0.9)
    assert check.verdict == "inconclusive"
    assert "not among 2 checks" in check.summary()


def test_the_summary_says_what_a_run_says(around):
    check = Check()
    check.above(around(1.0), 0.5, label="first")
    check.below(around(1.0), 0.5, label="second")
    lines = check.summary("it is so").splitlines()
    assert lines[0] == "refuted: it is so"
    assert [line.strip() for line in lines if not line.startswith("    ")][1:] == [
        "refuted: check 2 of 2: second",
        "supported: check 1 of 2: first",
    ]
    assert lines[1:3] == check_lines([asdict(e) for e in check.decided], 1)
    assert repr(check) == check.summary()


def test_the_summary_says_what_would_settle_it(around):
    check = Check()
    check.above(around(1.0), 0.95)
    (expectation,) = decide_claim(check, "supported").expectations
    assert check.summary().splitlines()[-1] == f"    {expectation.settles.text}"


def test_a_caveat_is_told(around):
    check = Check(Confidence())
    check.above(around(0.0) / around(0.0), 0.5)
    assert check.verdict == "not_applicable"
    lines = check.summary().splitlines()
    assert lines[0] == "not applicable"
    assert lines[-1].strip().startswith("the share is of something that is not told from zero")


def test_a_counterexample_is_told():
    from hypothesis import strategies

    check = Check()
    check.for_all(strategies.integers(0, 100), lambda x: x < 20, label="small")
    assert check.verdict == "refuted"
    assert check.summary().splitlines()[-1] == "    20"


def test_a_notebook_is_told_the_same(around):
    check = Check()
    check.above(around(1.0).named("effect <x>"), 0.5)
    check.above(around(1.0), 0.99, label="nearly 1")
    rows = [[cell.text for cell in row] for row in ElementTree.fromstring(check._repr_html_()).iter("tr")]
    lines = check.summary().splitlines()
    assert f">{lines[0]}</caption>" in check._repr_html_()
    assert [row[0] for row in rows] == [line.strip() for line in lines[1:] if line[2] != " "]
    assert "; ".join(row[1] for row in rows) == "; ".join(line.strip() for line in lines[1:] if line[2] == " ")
    assert rows[-1][0] == "supported: check 1 of 2: effect <x> > 0.5"


def test_nothing_checked(around):
    check = Check()
    assert check._repr_html_() is None
    assert repr(check) == "nothing is checked yet"
    check.requires(around(1.0), above=0.5)
    assert repr(check) == "nothing is checked yet"
    with pytest.raises(ClaimError, match="nothing is checked yet"):
        _ = check.verdict


def test_numbers_that_are_none():
    for none in (None, float("nan"), float("inf")):
        assert value_text({"value": none}, ".3f") == "undefined"
    assert interval_text({"low": None, "high": float("inf")}, ".1f") == "no interval"
    assert interval_text({"low": 0.0, "high": float("inf")}, ".1f") == "[0.0, inf]"
    assert interval_text({"low": -float("inf"), "high": 2.0}, ".1f") == "[-inf, 2.0]"
