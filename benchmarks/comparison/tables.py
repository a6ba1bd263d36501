"""Markdown tables of outcomes, on the screen and in benchmarks/results."""

import argparse
import platform
from collections.abc import Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

import torch

from comparison.alternate import Outcome, Spread

RESULTS = Path(__file__).resolve().parents[1] / "results"
COLUMNS = (
    "job", "against", "times faster (min, median, max)", "FLOP ratio", "mechcheck, s", "over the floor", "the other, s",
    "forwards measured", "largest difference",
)  # fmt: skip


def options(description: str | None) -> argparse.Namespace:
    """The options that all benchmarks have."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--device", default="cpu", help="cpu (one thread) or cuda")
    parser.add_argument("--quick", action="store_true", help="fewer prompts and forwards: minutes, not half an hour")
    parser.add_argument("--rounds", type=int, default=3, help="alternating runs of each tool")
    parser.add_argument("--save", action="store_true", help="write the table to a file too")
    parser.add_argument("--results", type=Path, default=RESULTS, help="where to (default: benchmarks/results)")
    chosen = parser.parse_args()
    torch.set_num_threads(1)
    torch.set_float32_matmul_precision("highest")  # an environment may have turned TF32 on
    return chosen


class Page:
    """A page of tables that is printed as it grows, and saved at the end."""

    def __init__(self, name: str, title: str, chosen: argparse.Namespace):
        self._path = chosen.results / f"{name}.{torch.device(chosen.device).type}.md" if chosen.save else None
        self._lines: list[str] = []
        command = f"python benchmarks/{name}.py --device {chosen.device} --rounds {chosen.rounds}{' --quick' if chosen.quick else ''}"
        self.say(f"# {title}", "", _machine(chosen.device), "", f"`{command}`, {datetime.now(UTC):%Y-%m-%d}", "")

    def say(self, *lines: str) -> None:
        """Add lines."""
        self._lines += lines
        print("\n".join(lines), flush=True)

    def heading(self, text: str, columns: Sequence[str] = COLUMNS) -> None:
        """Begin a table."""
        self.say("", f"## {text}", "", row(columns), row(["---"] * len(columns)))

    def row(self, cells: Sequence[str]) -> None:
        """Add a row."""
        self.say(row(cells))

    def outcome(self, outcome: Outcome) -> None:
        """One row for each rival; what they have in common stands in the first."""
        own = (outcome.job, f"{outcome.seconds.middle:.3g}", spread(outcome.over_floor))
        for against in outcome.against:
            name, seconds, over_floor = own
            self.row(
                (
                    name, against.rival, spread(against.ratio), f"{against.flop_ratio:.3g}", seconds, over_floor,
                    f"{against.seconds.middle:.3g}", f"{against.measured} of {against.variants}",
                    f"{against.difference:.0e} of {outcome.effect:.0e}",
                )
            )  # fmt: skip
            own = ("", "", "")

    def save(self) -> None:
        """Write the page, if it was asked for."""
        if self._path is not None:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            self._path.write_text("\n".join(self._lines) + "\n")


def spread(found: Spread) -> str:
    """Smallest, median, largest."""
    return f"{found.low:.3g}, **{found.middle:.3g}**, {found.high:.3g}"


def row(cells: Sequence[str]) -> str:
    """A line of a Markdown table."""
    return f"| {' | '.join(cells)} |"


def _machine(device: str) -> str:
    versions = ", ".join(f"{name} {version(name)}" for name in ("torch", "transformers", "transformer-lens"))
    words = f"one thread of {processor()}"
    if device != "cpu":
        words = f"{torch.cuda.get_device_name(device)}, and {words}"
    return f"{words}; Python {platform.python_version()}, {versions}"


def processor() -> str:
    """The processor's name, as far as the system tells it."""
    listing = Path("/proc/cpuinfo")
    names = [line for line in listing.read_text().splitlines() if line.startswith("model name")] if listing.exists() else []
    return names[0].partition(":")[2].strip() if names else platform.machine()
