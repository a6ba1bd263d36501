"""How often intervals hold what they promise: `python benchmarks/coverage.py` measures it on samples whose truth is known.

Templates x prompts x agreement within templates (intraclass correlation) x sizes of templates, for kinds of data. A row whose samples
are mostly called not valid is not valid itself. Coverage and misses are those of the samples called valid (of all, in a row that is
not valid): nothing is decided on the others. The oracle is a normal interval that knows the true standard error. Kinds under
"held_out" are of other shapes than those on which the method's constants were chosen.

Writes benchmarks/results/coverage.json. About 15 minutes on two cores; --replicates 200 is a quick look.
"""

import argparse
import json
import multiprocessing
import zlib
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
from scipy import stats

from mechcheck.stats.estimates import Confidence, estimate_mean
from mechcheck.stats.measurement import Measurement, Scale

RESULT = Path(__file__).parent / "results" / "coverage.json"
Draws = tuple[np.ndarray, np.ndarray | None, float]
"""values[sample, prompt], denominators or None, the truth."""


class Cell(NamedTuple):
    """What a sample is like."""

    data: str
    templates: int
    prompts: int
    icc: float
    sizes: str


class Layout(NamedTuple):
    """Which prompts belong together, and how much they agree."""

    template: np.ndarray
    """Of each prompt."""
    icc: float
    rng: np.random.Generator
    replicates: int

    def normal(self) -> np.ndarray:
        """Standard normal values that agree within templates."""
        shape = (self.replicates, len(self.template))
        shared = self.rng.normal(size=(self.replicates, self.template.max() + 1))[:, self.template]
        return np.sqrt(self.icc) * shared + np.sqrt(1 - self.icc) * self.rng.normal(size=shape)

    def yes_no(self, p: float) -> np.ndarray:
        """Ones with chance p, the chance of each template beta distributed about it."""
        chance: np.ndarray | float = p
        if self.icc:
            a, b = (q * (1 - self.icc) / self.icc for q in (p, 1 - p))
            chance = self.rng.beta(a, b, size=(self.replicates, self.template.max() + 1))[:, self.template]
        return (self.rng.random((self.replicates, len(self.template))) < chance).astype(float)


def sizes_of(templates: int, prompts: int, sizes: str) -> np.ndarray:
    """Prompts of each template: alike, or falling off so that the first has about half of them."""
    if sizes == "equal":
        return np.full(templates, prompts)
    weight = 1 / (np.arange(templates) + 1) ** 1.5
    return np.maximum(1, np.round(templates * prompts * weight / weight.sum()).astype(int))


def rate(p: float, at: Layout) -> Draws:
    """Yes and no."""
    return at.yes_no(p), None, p


def ratio(at: Layout) -> Draws:
    """A ratio of means whose parts are correlated; the denominator is lognormal."""
    below = np.exp(0.4 * at.normal())
    return 0.5 * below + 0.3 * at.normal(), below, 0.5


def zero_inflated(at: Layout) -> Draws:
    """Nine in ten are zero, the others lognormal."""
    return at.yes_no(0.1) * np.exp(0.5 * at.rng.normal(size=(at.replicates, len(at.template)))), None, 0.1 * float(np.exp(0.125))


def paired_rates(at: Layout) -> Draws:
    """The difference of two yes or no, prompt by prompt."""
    first = at.yes_no(0.7)
    return first - np.where(at.rng.random(first.shape) < 0.8, first, 1 - first), None, 0.7 - (0.8 * 0.7 + 0.2 * 0.3)


def through(quantile: Callable[[np.ndarray], np.ndarray], mean: float) -> Callable[[Layout], Draws]:
    """Any distribution by its quantile function, its ranks those of normal values."""
    return lambda at: (quantile(np.clip(stats.norm.cdf(at.normal()), 1e-12, 1 - 1e-12)), None, mean)


KINDS: dict[str, Callable[[Layout], Draws]] = {
    "normal": lambda at: (at.normal(), None, 0.0),
    "lognormal": lambda at: (np.exp(at.normal()), None, float(np.exp(0.5))),
    "zero-inflated": zero_inflated,
    "ratio": ratio,
    "paired difference": lambda at: (at.normal() - 0.5 * at.normal(), None, 0.0),
    **{f"yes/no p={p}": partial(rate, p) for p in (0.01, 0.05, 0.1, 0.5, 0.9, 0.95, 0.99)},
}
HELD_OUT: dict[str, Callable[[Layout], Draws]] = {
    "exponential": through(stats.expon.ppf, 1.0),
    "minus lognormal": lambda at: (-np.exp(at.normal()), None, -float(np.exp(0.5))),
    "t with 4 degrees of freedom": through(lambda u: stats.t.ppf(u, 4), 0.0),
    "uniform": through(lambda u: u, 0.5),
    "two humps": lambda at: (at.normal() + 4 * at.yes_no(0.3), None, 1.2),
    "difference of rates": paired_rates,
}


def cells(kinds: Iterable[str]) -> list[Cell]:
    """The whole grid."""
    return [
        Cell(data, templates, prompts, icc, sizes)
        for data in kinds for templates in (4, 8, 16, 48) for prompts in (2, 5, 30) for icc in (0.0, 0.2, 0.8)
        for sizes in ("equal", "unequal")
    ]  # fmt: skip


def measure(task: tuple[Cell, int]) -> dict:
    """One row: what became of so many samples."""
    cell, replicates = task
    rng = np.random.default_rng(zlib.crc32(repr(cell).encode()))
    sizes = sizes_of(cell.templates, cell.prompts, cell.sizes)
    template = np.repeat(np.arange(cell.templates), sizes)
    kind = {**KINDS, **HELD_OUT}[cell.data]
    values, below, truth = kind(Layout(template, cell.icc, rng, replicates))
    ids, templates = tuple(f"p{i}" for i in range(len(template))), tuple(f"t{t}" for t in template)
    scale: Scale | None = "difference" if cell.data == "difference of rates" else None
    confidence, found = Confidence(), []
    for row in range(replicates):
        sample = Measurement(values[row], ids, templates, cell.data, denominator=None if below is None else below[row], scale=scale)
        found.append(estimate_mean(sample, confidence).estimate)
    low, high, valid = (np.array([getattr(e, name) for e in found]) for name in ("low", "high", "valid"))
    truths = np.array([e.value for e in found])
    said = bool(valid.mean() > 0.5)
    counted = valid if said else np.ones(replicates, bool)
    finite = counted & np.isfinite(low) & np.isfinite(high)
    misses_low, misses_high = float((low[counted] > truth).mean()), float((high[counted] < truth).mean())
    return {
        **cell._asdict(),
        "valid": said,
        "coverage": round(1 - misses_low - misses_high, 4),
        "miss_low": round(misses_low, 4),
        "miss_high": round(misses_high, 4),
        "width": round(float((high - low)[finite].mean()), 5) if finite.any() else None,
        "oracle_width": round(2 * 1.959964 * float(np.nanstd(truths)), 5),
        "n": int(counted.sum()),
        "valid_share": round(float(valid.mean()), 4),
        "coverage_of_all": round(float(((low <= truth) & (truth <= high)).mean()), 4),
    }


def summary(rows: list[dict], name: str) -> list[str]:
    """What the rows come to, in lines."""
    valid = [row for row in rows if row["valid"]]
    coverage = np.array([row["coverage"] for row in valid])
    one_sided = np.array([max(row["miss_low"], row["miss_high"]) for row in valid])
    worst = min(valid, key=lambda row: row["coverage"])
    width = np.median([row["width"] / row["oracle_width"] for row in valid if row["width"] and row["oracle_width"]])
    return [
        f"{name}: {len(valid)} of {len(rows)} cells are valid",
        f"  coverage at least .94 in {(coverage >= 0.94).mean():.1%} of them, .925 in {(coverage >= 0.925).mean():.1%}; the least "
        f"{coverage.min():.3f} ({worst['data']}, {worst['templates']} x {worst['prompts']}, icc {worst['icc']}, {worst['sizes']})",
        f"  one-sided misses at most 4% in {(one_sided <= 0.04).mean():.1%}, the most {one_sided.max():.3f}",
        f"  width over an oracle's that knows the standard error: median {width:.2f}",
    ]


def table(rows: list[dict]) -> list[str]:
    """A line for each kind of data and number of templates, as docs/verdicts.md shows them."""
    lines = [
        "| data | templates | valid cells | coverage (least) | one-sided miss (most) | width / oracle's (median) |",
        "|---|---|---|---|---|---|",
    ]
    for data in dict.fromkeys(row["data"] for row in rows):
        for k in (4, 8, 16, 48):
            those = [row for row in rows if (row["data"], row["templates"]) == (data, k)]
            valid = [row for row in those if row["valid"]]
            if not valid:
                lines.append(f"| {data} | {k} | 0 of {len(those)} | | | |")
                continue
            most = max(max(row["miss_low"], row["miss_high"]) for row in valid)
            width = np.median([row["width"] / row["oracle_width"] for row in valid if row["width"] and row["oracle_width"]])
            lines.append(
                f"| {data} | {k} | {len(valid)} of {len(those)} | {min(row['coverage'] for row in valid):.3f} | {most:.3f} | {width:.2f} |"
            )
    return lines


def main() -> None:
    """Measure the grid, print what it comes to, and keep it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--replicates", type=int, default=4000, help="samples in each cell (default: 4000)")
    parser.add_argument("--out", type=Path, default=RESULT)
    parser.add_argument("--processes", type=int, default=multiprocessing.cpu_count())
    parser.add_argument("--data", nargs="*", default=None, help="kinds of data (default: all)")
    options = parser.parse_args()
    chosen = [kind for kind in {**KINDS, **HELD_OUT} if not options.data or kind in options.data]
    tasks = [(cell, options.replicates) for cell in cells(chosen)]
    with multiprocessing.Pool(options.processes) as pool:
        rows = list(pool.imap(measure, tasks, chunksize=1))
    main_rows = [row for row in rows if row["data"] in KINDS]
    held_out = [row for row in rows if row["data"] in HELD_OUT]
    for found, name in ((main_rows, "the grid"), (held_out, "held out")):
        if found:
            print("\n".join([*summary(found, name), "", *table(found), ""]))
    options.out.parent.mkdir(exist_ok=True)
    options.out.write_text(json.dumps({"rows": main_rows, "held_out": held_out}, indent=0) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
