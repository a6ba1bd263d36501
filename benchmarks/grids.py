"""How often a claim over a grid of methods gets the right answer, on circuits that were built. `python benchmarks/grids.py --save`.

Five claims depend on the method by construction: one of two redundant heads ablated, or both; the name mover silenced, which wakes its
backup, or made to say something else, which does not; one of two redundant heads ablated, or patched; and two in which noising and
denoising disagree: one head of an OR is not needed and enough, one of an AND needed and not enough. Three hold under every method.
Each is drawn 200 times: two prompts of each template out of 1,920, and noise on what is measured, since the built models have none. Of
the noise's variance a half is shared by all cells, as errors on the same prompts are, a third lies between templates, and it is as large
as puts the cell that is nearest to the threshold 8, 6, 4, 3 or 2 standard errors from it. In another case the claims that hold under
every method have their threshold at the largest true value of a cell: there is nothing to be told of it, and "method-dependent" is wrong.

Writes benchmarks/results/grids.json with --save. About three minutes on a core.
"""

import argparse
import json
import math
import sys
import zlib
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

import numpy as np

from mechcheck import Ablate, Check, Grid, Patch, Sites, gate, grid, load_model, run, task_prompts
from mechcheck.compiled import known_circuit
from mechcheck.stats.measurement import Measurement
from mechcheck.verdicts.grids.decision import decide_grid

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "claims" / "compiled"))
from test_compiled_gates import AND, built_as_an_and, nobody_repeated  # the circuits that the claims on gates are about

RESULT = Path(__file__).parent / "results" / "grids.json"
POPULATION, OF_EACH = 1920, 2
DISTANCES = (math.inf, 8.0, 6.0, 4.0, 3.0, 2.0)
"""Standard errors between the threshold and the cell that is nearest to it; infinite without noise."""
BETWEEN, SHARED = 1 / 3, 1 / 2
"""Of the noise's variance, what lies between templates, and what all cells have in common."""
ONE, OTHER = "s_inhibition_one", "s_inhibition_two"
ABLATIONS = ("zero", "mean", "resample")
DIRECTIONS = ("noise", "denoise")
"""What a cell measures there is not the logit difference, but how much of it is lost, or is not brought: below -6 is half of the way."""


class Planted(NamedTuple):
    """A claim whose answer is known from how its model was built."""

    name: str
    model: str
    cells: Mapping[str, tuple[tuple[str, ...], str]]
    """What a cell is called -> roles, and what is done to their heads."""
    below: float
    """The logit difference is claimed to be below this."""
    answer: str


PLANTED = (
    Planted(
        "one of two redundant heads, or both", "compiled-redundant",
        {f"{len(roles)} of {' '.join(roles)}, {how}": (roles, how) for roles in ((ONE,), (OTHER,), (ONE, OTHER)) for how in ABLATIONS},
        3.0, "method_dependent",
    ),
    Planted(
        "a name mover silenced, or saying something else", "compiled-ioi",
        {how: (("name_mover",), how) for how in ABLATIONS}, 1.0, "method_dependent",
    ),
    Planted(
        "one redundant head ablated, or patched", "compiled-redundant",
        {how: ((ONE,), how) for how in (*ABLATIONS, "patched")}, 6.0, "method_dependent",
    ),
    Planted("one head of an OR", "compiled-redundant", {how: ((ONE,), how) for how in DIRECTIONS}, -6.0, "method_dependent"),
    Planted("one head of an AND", AND, {how: ((ONE,), how) for how in DIRECTIONS}, -6.0, "method_dependent"),
    Planted("S-inhibition", "compiled-ioi", {how: (("s_inhibition",), how) for how in (*ABLATIONS, "patched")}, 0.0, "robust"),
    Planted("both redundant heads", "compiled-redundant", {how: ((ONE, OTHER), how) for how in (*ABLATIONS, "patched")}, 0.0, "robust"),
    Planted(
        "duplicate tokens", "compiled-redundant", {how: (("duplicate_token",), how) for how in ABLATIONS}, 0.0, "robust",
    ),
)  # fmt: skip


class Cells(NamedTuple):
    """What a claim measures in each of its cells, on all prompts of the population."""

    over: Grid
    values: np.ndarray  # [cell, prompt]
    templates: np.ndarray  # [prompt], as numbers


def measured(planted: Planted) -> Cells:
    """The logit difference in every cell."""
    circuit = known_circuit("compiled-redundant" if planted.model == AND else planted.model)
    with TemporaryDirectory() as folder:
        model = built_as_an_and(Path(folder)) if planted.model == AND else load_model(planted.model)
    prompts = task_prompts("ioi", model, n=POPULATION, seed=0)
    found = []
    for roles, how in planted.cells.values():
        sites = Sites(site for role in roles for site in circuit[role])
        if how in DIRECTIONS:
            both = gate(model, prompts, sites, circuit[OTHER], corrupted=nobody_repeated(prompts))
            found.append(-(both.noised if how == "noise" else both.denoised).a.values)
        else:
            found.append(run(model, prompts, Patch(sites) if how == "patched" else Ablate(sites, how)).values)
    _, templates = np.unique(prompts.templates, return_inverse=True)
    return Cells(grid(method=list(planted.cells)), np.array(found), templates)


def drawn(cells: Cells, below: float, deviation: float, rng: np.random.Generator) -> str:
    """The answer on some of the prompts, with noise of this standard deviation on what each cell measures."""
    n_templates = cells.templates.max() + 1
    rows = np.concatenate([rng.choice(np.flatnonzero(cells.templates == t), OF_EACH, replace=False) for t in range(n_templates)])
    template = np.repeat(np.arange(n_templates), OF_EACH)

    def noise() -> np.ndarray:
        by_template, by_prompt = rng.normal(size=n_templates)[template], rng.normal(size=len(rows))
        return math.sqrt(BETWEEN) * by_template + math.sqrt(1 - BETWEEN) * by_prompt

    common, check = noise(), Check(over=cells.over)
    for check.cell, values in zip(cells.over.cells, cells.values, strict=True):
        added = deviation * (math.sqrt(SHARED) * common + math.sqrt(1 - SHARED) * noise())
        ids, names = tuple(map(str, rows)), tuple(map(str, template))
        check.below(Measurement(values[rows] + added, ids, names, "logit difference", "logits"), below)
    return decide_grid(cells.over, check.decided, check.confidence.overall).answer


def error_of(n_templates: int) -> float:
    """The standard error of a mean of noise with standard deviation 1."""
    return math.sqrt((1 + (OF_EACH - 1) * BETWEEN) / (OF_EACH * n_templates))


def rows_of(planted: Planted, replicates: int) -> list[dict]:
    """How one claim comes out at each distance, and, where it holds everywhere, with the threshold at one cell's true value."""
    cells = measured(planted)
    means, error, found = cells.values.mean(1), error_of(int(cells.templates.max()) + 1), []
    cases = [("planted", planted.below, distance) for distance in DISTANCES]
    if planted.answer == "robust":
        cases += [("at the threshold", float(means.max()), distance) for distance in DISTANCES[1:]]
    for case, below, distance in cases:
        rng = np.random.default_rng(zlib.crc32(f"{planted.name} {case} {distance}".encode()))
        # With the threshold at a cell's truth the noise is as large as in the planted case.
        deviation = 0.0 if math.isinf(distance) else float(np.abs(means - planted.below).min()) / (distance * error)
        counts = Counter(drawn(cells, below, deviation, rng) for _ in range(replicates))
        shares = {answer: counts[answer] / replicates for answer in ("method_dependent", "robust", "refuted", "inconclusive")}
        told = {"claim": planted.name, "truth": planted.answer if case == "planted" else "one cell at the threshold"}
        found.append(told | {"cells": len(means), "distance": None if math.isinf(distance) else distance, **shares, "draws": replicates})
    return found


def table(rows: list[dict]) -> list[str]:
    """What a reader is told."""
    lines = [
        "| claim | truth | cells | nearest, in standard errors | method-dependent | robust | refuted | inconclusive |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for row in rows:
        shares = " | ".join(f"{row[answer]:.3f}" for answer in ("method_dependent", "robust", "refuted", "inconclusive"))
        distance = "no noise" if row["distance"] is None else f"{row['distance']:g}"
        lines.append(f"| {row['claim']} | {row['truth'].replace('_', '-')} | {row['cells']} | {distance} | {shares} |")
    return lines


def main() -> None:
    """Draw every claim at every distance, print how it came out, and keep that."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--draws", type=int, default=200, help="of each claim in each case (default: 200)")
    parser.add_argument("--save", action="store_true", help=f"keep the rows in {RESULT.name}")
    options = parser.parse_args()
    rows = [row for planted in PLANTED for row in rows_of(planted, options.draws)]
    print("\n".join(table(rows)))
    if options.save:
        RESULT.write_text(json.dumps({"rows": rows}, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
