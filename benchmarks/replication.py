"""How well the interval over training seeds covers. `python benchmarks/replication.py` measures it on simulated seeds.

Each of some seeds has a true effect of its own, drawn around the mean that is to be covered. It is measured on 96 prompts in 24
templates, the same for every seed; a template, and a template in a seed, have effects of their own too. How much seeds differ is given
as the standard deviation of their true effects over the error that prompts leave in the effect of one. Beside the interval stand two
others: the t interval over the seeds alone, for which prompts are no sample, and the one that takes all prompts of all seeds for one
sample, as if seeds were none.

--save writes benchmarks/results/replication.json, and docs/guides/replication.svg, the figure of it. About a minute on one core.
"""

import argparse
import json
import zlib
from pathlib import Path
from typing import NamedTuple

import numpy as np

from mechcheck import Lines
from mechcheck.stats.estimates import Confidence, estimate_mean
from mechcheck.stats.measurement import Measurement
from mechcheck.stats.replication import replication

RESULT = Path(__file__).parent / "results" / "replication.json"
FIGURE = Path(__file__).parents[1] / "docs" / "guides" / "replication.svg"
SEEDS, RATIOS = (4, 5, 6, 8, 10), (0.0, 0.5, 1.0, 2.0, 5.0)
TEMPLATES, EACH = 24, 4
TEMPLATE, OWN, NOISE = 0.6, 0.6, 1.0
"""Standard deviations: of templates, of templates within a seed, of prompts."""
ERROR = ((TEMPLATE**2 + OWN**2) / TEMPLATES + NOISE**2 / TEMPLATES / EACH) ** 0.5
"""Of one seed's effect."""
LEVEL = Confidence().level
NAMES = {"covers": "over seeds and templates", "seeds_alone": "over seeds alone", "prompts_alone": "over all prompts, seeds ignored"}


class Kind(NamedTuple):
    """What the seeds are like."""

    seeds: int
    ratio: float
    shape: str = "normal"
    """Of the true effects: normal, or "two kinds", most seeds alike and a fifth of them without the effect."""


def drawn(kind: Kind, rng: np.random.Generator) -> np.ndarray:
    """What the seeds' true effects differ by from their mean, with a standard deviation of the ratio times a seed's error."""
    if kind.shape == "normal":
        return rng.normal(0, kind.ratio * ERROR, kind.seeds)
    without = rng.random(kind.seeds) < 0.2
    return (0.2 - without) / 0.4 * kind.ratio * ERROR


def effects(kind: Kind, rng: np.random.Generator) -> dict[str, Measurement]:
    """One measurement for each seed, of a mean effect of 0."""
    of_template = rng.normal(0, TEMPLATE, TEMPLATES)
    template = np.repeat(np.arange(TEMPLATES), EACH)
    ids, templates = tuple(f"p{i}" for i in range(TEMPLATES * EACH)), tuple(f"t{i}" for i in template)
    found = {}
    for seed, true in enumerate(drawn(kind, rng)):
        own = (of_template + rng.normal(0, OWN, TEMPLATES))[template]
        found[f"seed{seed}"] = Measurement(true + own + rng.normal(0, NOISE, len(ids)), ids, templates, "effect", "logits")
    return found


def measure(kind: Kind, replicates: int) -> dict:
    """One row: how often the intervals hold the true mean, and how wide ours is."""
    rng, sure = np.random.default_rng(zlib.crc32(f"{kind}".encode())), Confidence()
    counts, width = dict.fromkeys((*NAMES, "another"), 0), 0.0
    for _ in range(replicates):
        measured = effects(kind, rng)
        found = replication(measured, sure)
        means = np.array([one.mean for one in measured.values()])
        of_means = Measurement(means, tuple(measured), ("all",) * len(means), scale="real")
        one_sample = Measurement(
            np.mean([one.values for one in measured.values()], 0), measured["seed0"].ids, measured["seed0"].templates, scale="real"
        )
        ours, seeds, prompts = found.estimate, *(estimate_mean(m, sure, symmetric=True).estimate for m in (of_means, one_sample))
        for name, one in zip(NAMES, (ours, seeds, prompts), strict=True):
            counts[name] += one.low <= 0 <= one.high
        new = float(drawn(kind._replace(seeds=1), rng)[0])
        counts["another"] += found.another[0] <= new <= found.another[1]
        width += (ours.high - ours.low) / replicates
    shares = {name: round(count / replicates, 4) for name, count in counts.items()}
    return kind._asdict() | shares | {"width": round(width, 3), "n": replicates}


def table(rows: list[dict]) -> list[str]:
    """What a reader is told."""
    head = ["seeds", "between / within", "shape", *NAMES.values(), "another seed", "width"]
    lines = [f"Level {LEVEL:.0%}; share of intervals that hold the truth.", "", f"| {' | '.join(head)} |", "|---" * len(head) + "|"]
    for row in rows:
        cells = [row["seeds"], f"{row['ratio']:g}", row["shape"], *(f"{row[name]:.3f}" for name in (*NAMES, "another")), row["width"]]
        lines.append(f"| {' | '.join(map(str, cells))} |")
    return lines


def figure(rows: list[dict]) -> Lines:
    """Coverage against how much seeds differ: the range over numbers of seeds, for each of the three intervals."""
    series, bands = {}, {}
    for name, label in NAMES.items():
        found = [[row[name] for row in rows if row["ratio"] == ratio and row["shape"] == "normal"] for ratio in RATIOS]
        text = f"{label}: mean and range, {SEEDS[0]} to {SEEDS[-1]} seeds"
        series[text] = [float(np.mean(some)) for some in found]
        bands[text] = ([min(some) for some in found], [max(some) for some in found])
    series[f"level {LEVEL:.0%}"] = [LEVEL] * len(RATIOS)
    return Lines("Coverage of intervals over seeds", RATIOS, series, "spread of seeds / error of one seed", "share of intervals", bands)


def main() -> None:
    """Measure every kind, print it, and keep it if that is asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--replicates", type=int, default=2000, help="in each row (default: 2000)")
    parser.add_argument("--save", action="store_true", help="keep the result and draw the figure")
    options = parser.parse_args()
    kinds = [Kind(seeds, ratio) for seeds in SEEDS for ratio in RATIOS]
    kinds += [Kind(seeds, 5.0, "two kinds") for seeds in SEEDS]
    rows = [measure(kind, options.replicates) for kind in kinds]
    print("\n".join(table(rows)))
    if options.save:
        RESULT.write_text(json.dumps({"level": round(LEVEL, 6), "rows": rows}, indent=1) + "\n", encoding="utf-8")
        figure(rows).save(FIGURE)


if __name__ == "__main__":
    main()
