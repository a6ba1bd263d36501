"""What a claim with all its prompts takes of the page: 500 claims on 240 prompts are to be 6 MB at most. Nothing here is timed."""

import sys
from pathlib import Path

import pytest

BENCHMARKS = str(Path(__file__).resolve().parents[2] / "benchmarks")

if BENCHMARKS not in sys.path:
    sys.path.insert(0, BENCHMARKS)

import page as page_benchmark  # noqa: E402

from mechcheck.report import _render  # noqa: E402


def test_a_claim_takes_its_share_of_the_page(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(page_benchmark, "CHROMIUM", None)
    monkeypatch.setattr(_render, "_INLINE", -1)
    few, more = (page_benchmark.measure(n, 240) for n in (10, 30))
    a_claim = (more["page_bytes"] - few["page_bytes"]) / 20
    assert 3_000 < a_claim < 12_000  # 240 values alone are more than three kilobytes
    assert more["samples_bytes"] > few["samples_bytes"]
