"""An estimate in words, for a table of facts."""

import math
from collections.abc import Mapping
from typing import Any

from mechcheck.drawing.numbers import estimate_text, percent, with_unit


def interval_text(estimate: Mapping[str, Any], unit: str = "") -> tuple[str, str]:
    """The value with its unit, and the interval with its level: ("1.23 logits", "[0.98, 1.49] (95%)"); plain data, as `asdict` makes it."""
    value, low, high = (None if not math.isfinite(estimate[part]) else estimate[part] for part in ("value", "low", "high"))
    said, interval = estimate_text(value, low, high)
    return with_unit(said, unit), f"{interval} ({percent(estimate['level'])})"


def estimate_facts(estimate: Mapping[str, Any], unit: str = "", name: str = "value") -> list[tuple[str, str]]:
    """Name and text of each thing there is to say of an estimate."""
    value, interval = interval_text(estimate, unit)
    told = [
        (name, value),
        ("interval", interval),
        ("prompts", prompts_text(estimate["n"], estimate["clusters"])),
        ("method", estimate["method"]),
    ]
    if not estimate["valid"]:
        told.append(("not valid", "its interval does not keep its level on such data"))
    return [*told, ("note", estimate["caveat"])] if estimate["caveat"] else told


def prompts_text(n: int, clusters: int) -> str:
    """How many prompts, and in how many templates where these are the units: "400 in 20 templates"."""
    return f"{n:,}" if clusters in (n, 0) else f"{n:,} in {clusters:,} template{'s' * (clusters != 1)}"
