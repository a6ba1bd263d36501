"""A claim over a grid of methods, as the page tells it: every cell, with and without a script, on a narrow screen and by the keyboard."""

from types import SimpleNamespace

import pytest
from browser import Browser
from page_reader import Page
from steps import Json, needs_browser

from mechcheck.report import anchor, render, row

VERDICTS = {"zero": "refuted", "mean": "refuted", "patched": "supported", "resample": "inconclusive"}
METRICS = ("logit difference", "p(answer) <i>")


def over_grid(make: SimpleNamespace, **changes: object) -> Json:
    """A claim under four methods and two metrics, of which one cell lies 2 from the first and the others cannot be compared."""
    cells, checks = [], []
    for method, verdict in VERDICTS.items():
        for metric in METRICS:
            at = {"method": method, "metric": metric}
            text = ", ".join(f"{axis}={value}" for axis, value in at.items())
            cells.append(
                {"text": text, "at": at, "verdict": verdict, "stands": verdict, "p": 0.5, "p_refuted": 0.5, "expectations": [len(cells)]}
            )
            checks.append(make.expectation(1.5, 1.0, 2.0, label=f"it is lost [{text}]", verdict=verdict, cell=len(checks)))
    problem = {"cell": 1, "expectation": 1, "unit": "", "estimate": None, "problem": "other <b>units</b>"}
    apart = {"cell": 2, "expectation": 2, "unit": "logits", "estimate": checks[0]["estimate"] | {"value": 2.0, "low": 1.9, "high": 2.1}}
    grid = {
        "axes": {"method": list(VERDICTS), "metric": list(METRICS)}, "cells": cells, "answer": "method_dependent", "p": 0.01,
        "text": "method-dependent: supported in 2", "differences": [problem, apart | {"problem": None}],
    }  # fmt: skip
    told = {"verdict": "method_dependent", "met": False, "expect": "supported", "reason": grid["text"], "grid": grid}
    return make.claim("over", expectations=checks, deciding=0, **(told | changes))


def cells_of(html: str) -> list[str]:
    """The rows of the table of methods, as text."""
    table = html.partition('<table class="numbers verdicts by-method">')[2].partition("</table>")[0]
    return [" ".join(Page(f"<table>{one}</table>").text.split()) for one in table.split("<tr>")[1:]]


def test_every_cell_has_verdict_value_interval_and_difference(make: SimpleNamespace) -> None:
    rows = cells_of(render(make.evidence([over_grid(make)])))
    assert rows[0] == "metric logit difference metric p(answer) <i>"
    assert [line.partition(" ✗")[0] for line in rows[1:3]] == ["method zero", "method mean"]
    assert rows[1].count("✗ refuted 1.50 logits") == 2
    assert rows[3].count("✓ supported") == 2
    assert rows[4].count("? inconclusive") == 2
    assert "[1.00, 2.00]" in rows[1]
    assert "from the first: other <b>units</b>" in rows[1]
    assert "from the first: 2.00 [1.90, 2.10]" in rows[2]


def test_the_verdict_has_its_own_word_and_robust_is_one(make: SimpleNamespace) -> None:
    assert "≠ method-dependent" in Page(render(make.evidence([over_grid(make)]))).text
    robust = over_grid(make, verdict="supported", met=True)
    assert row(robust).verdict == "supported, robust"
    assert row(make.claim()).verdict == "supported"
    expected = over_grid(make, expect="method_dependent", met=True)
    assert row(expected).verdict == "method-dependent, as expected"


def test_one_axis_stands_in_rows_and_several_checks_are_named(make: SimpleNamespace) -> None:
    claim = over_grid(make)
    grid = claim["grid"]
    grid["axes"], grid["differences"] = {"method": ["zero", "mean"]}, []
    grid["cells"] = [
        grid["cells"][place] | {"text": f"method={method}", "at": {"method": method}, "expectations": [2 * place, 2 * place + 1]}
        for place, method in enumerate(("zero", "mean"))
    ]
    for place, check in enumerate(claim["expectations"]):
        check |= {"cell": min(place // 2, 1), "label": f"check {place} [method={('zero', 'mean')[min(place // 2, 1)]}]"}
    rows = cells_of(render(make.evidence([claim])))
    assert rows[0] == "verdict"
    assert [line.rsplit(" check ")[-1] for line in rows[1:]] == ["0", "2"]


def test_a_claim_without_a_grid_has_no_such_table(make: SimpleNamespace) -> None:
    assert cells_of(render(make.evidence([make.claim()]))) == []


@needs_browser
@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("script", [False, True])
def test_it_is_there_without_a_script(browser: Browser, write, make: SimpleNamespace, packed: bool, script: bool) -> None:
    claim = over_grid(make)
    browser.open(write(make.evidence([claim]), packed), anchor(claim["id"]), script=script)
    assert browser.evaluate("document.querySelectorAll('.by-method .chip').length") == 8
    assert browser.problems() == []


@needs_browser
def test_on_a_narrow_screen_it_scrolls_by_itself_and_by_the_keyboard(browser: Browser, write, make: SimpleNamespace) -> None:
    claim = over_grid(make)
    browser.call("Emulation.setDeviceMetricsOverride", width=390, height=844, deviceScaleFactor=1, mobile=False)
    try:
        browser.open(write(make.evidence([claim])), anchor(claim["id"]))
        assert browser.evaluate("document.documentElement.scrollWidth <= innerWidth")
        browser.until("document.querySelector('.scroll:has(.by-method)').tabIndex === 0")
    finally:
        browser.call("Emulation.clearDeviceMetricsOverride")


def test_a_cell_shows_the_check_that_decided_it(make: SimpleNamespace) -> None:
    claim = over_grid(make)
    claim["grid"]["cells"][0] |= {"expectations": [0, 1], "deciding": 1}
    claim["expectations"][1]["estimate"] |= {"value": 7.25}
    assert cells_of(render(make.evidence([claim])))[1].count("7.25") == 2  # of that cell, and of the one beside it
