"""Stopping when decided: how often it is wrong, and what it saves. `python benchmarks/sequential.py` measures both on simulated claims.

A claim "above the threshold" draws 240 prompts in four looks, in pairs of each template, and stops as soon as it is decided. With
the true value at the threshold every decision is wrong; with it 1, 2 and 4 standard errors of the whole sample above, decisions
should come early. Beside it stand the same looks without alpha spending ("naive"), and one look at all prompts ("fixed").

Writes benchmarks/results/sequential.json. One to two minutes on two cores; --replicates 500 is a quick look.
"""

import argparse
import json
import math
import multiprocessing
import zlib
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

import numpy as np

from mechcheck.stats.estimates import Confidence, estimate_rate
from mechcheck.stats.measurement import Measurement
from mechcheck.stats.pivot import pivot
from mechcheck.stats.sequential import levels
from mechcheck.verdicts.sampling import PARTS, in_pairs

RESULT = Path(__file__).parent / "results" / "sequential.json"
BUDGET, EFFECTS = 240, (0.0, 1.0, 2.0, 4.0)
ALPHA = Confidence().alpha


class Kind(NamedTuple):
    """What a claim's prompts are like."""

    data: str
    templates: int
    icc: float


KINDS = (
    Kind("normal", 48, 0.0), Kind("normal", 48, 0.3), Kind("normal", 16, 0.8), Kind("lognormal", 48, 0.2),
    Kind("yes/no 0.7", 48, 0.0), Kind("yes/no 0.7", 48, 0.2), Kind("yes/no 0.9", 48, 0.2),
)  # fmt: skip


def truth(kind: Kind) -> tuple[float, float]:
    """The mean of such values, and their standard deviation."""
    if kind.data == "lognormal":
        return math.exp(0.125), math.sqrt((math.exp(0.25) - 1) * math.exp(0.25))
    if kind.data == "normal":
        return 0.0, 1.0
    p = float(kind.data.split()[1])
    return p, math.sqrt(p * (1 - p))


@lru_cache
def template_of(templates: int) -> np.ndarray:
    """Of each prompt, in the order in which they are drawn; tasks make one prompt of each template after the other."""
    made = np.arange(BUDGET) % templates
    return made[in_pairs(tuple(map(str, made)))]


def sample(kind: Kind, rng: np.random.Generator) -> np.ndarray:
    """Values of the whole budget, in the order in which they are drawn."""
    template = template_of(kind.templates)
    if kind.data.startswith("yes/no"):
        p, icc = truth(kind)[0], kind.icc
        chance = rng.beta(p * (1 - icc) / icc, (1 - p) * (1 - icc) / icc, kind.templates)[template] if icc else p
        return (rng.random(BUDGET) < chance).astype(float)
    normal = math.sqrt(kind.icc) * rng.normal(size=kind.templates)[template] + math.sqrt(1 - kind.icc) * rng.normal(size=BUDGET)
    return np.exp(normal / 2) if kind.data == "lognormal" else normal


def p_values(kind: Kind, values: np.ndarray, threshold: float) -> tuple[float, float]:
    """One-sided: against "at or below the threshold", and against "at or above it"; 1 where no interval is valid."""
    template = template_of(kind.templates)[: len(values)]
    if kind.data.startswith("yes/no"):
        ids, names = tuple(map(str, range(len(values)))), tuple(map(str, template))
        rate = estimate_rate(Measurement(values, ids, names, scale="yes/no"), Confidence(1 - levels(ALPHA, PARTS)[0]))
        return rate.p_above(threshold), rate.p_below(threshold)
    found = pivot(values, template)
    return (found.p_above(threshold), found.p_below(threshold)) if found.valid else (1.0, 1.0)


def measure(task: tuple[Kind, float, int]) -> dict:
    """One row: claims of a kind whose true value is so many standard errors above the threshold."""
    kind, effect, replicates = task
    rng = np.random.default_rng(zlib.crc32(f"{kind} {effect}".encode()))
    mean, deviation = truth(kind)
    error = deviation * math.sqrt((1 + (BUDGET / kind.templates - 1) * kind.icc) / BUDGET)
    sizes, at_look = [math.ceil(part * BUDGET) for part in PARTS], levels(ALPHA, PARTS)
    counts = dict.fromkeys(("supported", "refuted", "naive_supported", "naive_refuted", "fixed_supported", "fixed_refuted", "drawn"), 0)
    for _ in range(replicates):
        values = sample(kind, rng)
        looks = [p_values(kind, values[:size], mean - effect * error) for size in sizes]
        stop = next((i for i, (look, level) in enumerate(zip(looks, at_look, strict=True)) if min(look) <= level), None)
        counts["drawn"] += sizes[-1 if stop is None else stop]
        naive = next((look for look in looks if min(look) <= ALPHA), None)
        for name, found, level in (
            ("", stop is not None and looks[stop], at_look[stop or 0]),
            ("naive_", naive, ALPHA),
            ("fixed_", looks[-1], ALPHA),
        ):
            if found and min(found) <= level:
                counts[f"{name}{'supported' if found[0] < found[1] else 'refuted'}"] += 1
    drawn = counts.pop("drawn") / replicates
    shares = {name: count / replicates for name, count in counts.items()}
    return kind._asdict() | {"effect": effect, **shares, "mean_prompts": round(drawn, 1), "budget": BUDGET, "n": replicates}


def table(rows: list[dict]) -> list[str]:
    """What a reader is told."""
    lines = [
        f"One-sided level {ALPHA:.3g}; looks at {', '.join(str(math.ceil(part * BUDGET)) for part in PARTS)} prompts.",
        "",
        "| data | templates | icc | effect / error | supported | refuted | naive | fixed | prompts drawn |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for row in rows:
        wrong = f"{row['naive_supported']:.3f} | {row['fixed_supported']:.3f}"
        lines.append(
            f"| {row['data']} | {row['templates']} | {row['icc']} | {row['effect']:g} "
            f"| {row['supported']:.3f} | {row['refuted']:.3f} | {wrong} "
            f"| {row['mean_prompts']:.0f} of {BUDGET} |"
        )
    return lines


def main() -> None:
    """Measure every kind at every effect, print it, and keep it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--replicates",
        type=int,
        default=4000,
        help="claims in each row, four times as many where the truth is at the threshold (default: 4000)",
    )
    parser.add_argument("--out", type=Path, default=RESULT)
    parser.add_argument("--processes", type=int, default=multiprocessing.cpu_count())
    options = parser.parse_args()
    # A rate of 1 in 40 is told less easily than one of 1 in 2.
    tasks = [(kind, effect, options.replicates * (1 if effect else 4)) for effect in EFFECTS for kind in KINDS]
    with multiprocessing.Pool(options.processes) as pool:
        rows = pool.map(measure, tasks, chunksize=1)
    rows.sort(key=lambda row: [(kind.data, kind.templates, kind.icc) for kind in KINDS].index((row["data"], row["templates"], row["icc"])))
    print("\n".join(table(rows)))
    options.out.parent.mkdir(exist_ok=True)
    options.out.write_text(json.dumps({"alpha": round(ALPHA, 6), "rows": rows}, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
