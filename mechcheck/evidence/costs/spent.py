"""What deciding a claim cost: forward passes, operations, seconds of the processor, memory; and tables of that."""

import time
from collections import defaultdict
from collections.abc import Sequence
from contextlib import ExitStack
from typing import Any, NamedTuple

from mechcheck.base.peak import forget_peak, peak
from mechcheck.engine.arithmetic.work import counting
from mechcheck.engine.watch import Ran, watched_by

Json = dict[str, Any]


class Spent:
    """Measures from when it is made until `record` is asked for: the claim's body, its looks and its decoys."""

    def __init__(self, device: str = "cpu"):
        """On this device models are computed."""
        self._device, self._forwards, self._stack = device, 0, ExitStack()
        forget_peak(device)
        self._began = time.process_time()
        self._work = self._stack.enter_context(counting())
        self._stack.enter_context(watched_by(self._see))

    def record(self) -> Json:
        """The claim's `cost`, as the evidence has it."""
        self._stack.close()
        return {
            "cost": {
                "forwards": self._forwards,
                "flops": self._work.operations,
                "cpu_s": round(time.process_time() - self._began, 4),
                "peak_bytes": peak(self._device),
            }
        }

    def _see(self, ran: Ran) -> None:
        self._forwards += 0 if ran.again else len(ran.prompts) * len(ran.variants)


class Line(NamedTuple):
    """A line of a table of costs."""

    what: str
    """A claim's id, or a model's name."""
    model: str
    claims: int
    forwards: int
    """Forward passes of one prompt."""
    flops: int
    """Floating-point operations of matrix products."""
    seconds: float
    cpu_s: float
    peak_bytes: int | None
    """The most of any of its claims; None where it was not measured."""


def cost_lines(claims: Sequence[Json], by: str = "claim") -> list[Line]:
    """What claims cost, each or by model, the dearest first; those that were not measured cost nothing and are left out.

    Args:
        claims: as the evidence has them.
        by: "claim" or "model".
    """
    groups: dict[tuple[str, str], list[Json]] = defaultdict(list)
    for claim in claims:
        if claim.get("cost"):
            model = claim["model"]["name"] if claim["model"] else ""
            groups[claim["id"] if by == "claim" else model, model].append(claim)
    return sorted((_line(*names, some) for names, some in groups.items()), key=lambda line: -line.seconds)


def _line(what: str, model: str, claims: Sequence[Json]) -> Line:
    costs = [claim["cost"] for claim in claims]
    peaks = [cost["peak_bytes"] for cost in costs if cost["peak_bytes"] is not None]
    forwards, flops = (sum(cost[name] for cost in costs) for name in ("forwards", "flops"))
    seconds, cpu_s = sum(claim["duration_s"] for claim in claims), sum(cost["cpu_s"] for cost in costs)
    return Line(what, model, len(claims), forwards, flops, round(seconds, 4), round(cpu_s, 4), max(peaks, default=None))


def cost_table(lines: Sequence[Line]) -> str:
    """The lines as a Markdown table, and their sum below."""
    rows = [("", "claims", "forward passes", "GFLOP", "seconds", "of the processor", "most memory, MiB"), ("---", *["---:"] * 6)]
    total = Line(
        "all", "", sum(line.claims for line in lines), sum(line.forwards for line in lines), sum(line.flops for line in lines),
        sum(line.seconds for line in lines), sum(line.cpu_s for line in lines),
        max((line.peak_bytes for line in lines if line.peak_bytes is not None), default=None),
    )  # fmt: skip
    for line in (*lines, total):
        memory = "–" if line.peak_bytes is None else f"{line.peak_bytes / 2**20:,.0f}"
        rows.append(
            (
                line.what,
                f"{line.claims:,}",
                f"{line.forwards:,}",
                f"{line.flops / 1e9:,.3g}",
                f"{line.seconds:,.2f}",
                f"{line.cpu_s:,.2f}",
                memory,
            )
        )
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)
