"""What has changed since a baseline, on the page."""

import re
from types import SimpleNamespace

from page_reader import Page, claim_html

from mechcheck.report import render


def drift(status: str = "drifted", **changes: object) -> dict:
    """A claim's comparison with a baseline."""
    difference = {
        "value": -0.4,
        "low": -0.5,
        "high": -0.3,
        "level": 0.95,
        "n": 40,
        "clusters": 20,
        "method": "paired t",
        "valid": True,
        "caveat": None,
    }
    one = {"label": "effect", "status": "drifted", "before": 1.5, "after": 1.1, "difference": difference, "margin": 0.075,
           "p": 0.001, "p_adjusted": 0.004}  # fmt: skip
    default = {"status": status, "reason": "beyond the margin: effect", "verdict_before": "supported", "p_adjusted": 0.004,
               "changed": [{"what": "dtype", "before": "float32", "after": "bfloat16"}],
               "expectations": [one], "accepted": None}  # fmt: skip
    return default | changes


def test_drift_has_a_column_only_where_there_is_any(make: SimpleNamespace) -> None:
    plain = render(make.evidence([make.claim()]))
    assert 'data-sort="drift"' not in plain
    accepted = drift("flipped", accepted={"why": "new weights", "on": "2026-11-20"})
    html = render(make.evidence([make.claim("a", drift=drift()), make.claim("b", drift=drift("same")), make.claim("c", drift=accepted)]))
    ranks = {claim: re.search(r'data-drift="(\d+)"', claim_html(html, claim))[1] for claim in "abc"}  # type: ignore[index]
    assert int(ranks["a"]) < int(ranks["b"]) < int(ranks["c"])
    text = Page(claim_html(html, "a")).text
    assert "Against the baseline drifted beyond the margin: effect (verdict before: supported)" in text
    assert "effect drifted 1.5 1.1 -0.40 [-0.50, -0.30] 0.075 0.004" in text
    assert "dtype float32 bfloat16" in text
    assert "Accepted on 2026-11-20: new weights" in Page(claim_html(html, "c")).text


def test_the_baseline_of_the_run_is_told(make: SimpleNamespace) -> None:
    missing = {"id": "ioi/gone", "statement": "A claim <i>gone</i>", "model": "m", "verdict": "supported", "accepted": None}
    baseline = {
        "file": "baselines/cpu.json", "created": "2026-11-20T02:14:30+00:00", "commit": "ab" * 20, "n": 7, "margin": 0.05, "level": 0.95,
        "counts": {"same": 5, "missing": 1}, "accepted": 0, "changed": [{"what": "torch", "before": "2.12", "after": "2.13"}],
        "missing": [missing], "not_judged": {"n": 3, "why": "only a part of the claims was run (-k x)"},
    }  # fmt: skip
    text = Page(render(make.evidence([make.claim()], baseline=baseline))).text
    assert "5 same 1 missing" in text
    assert "7 claims of baselines/cpu.json, made 20 Nov 2026, 02:14 UTC at commit ababababab" in text
    assert "3 of its claims were not asked for: only a part of the claims was run (-k x)." in text
    assert "A claim <i>gone</i> ioi/gone m supported no" in text
    assert "1 thing differs between the two runs changed before now torch 2.12 2.13" in text
