"""Populations of prompts whose true values are known, because a model was run on all of them, and samples as a claim would draw them.

A sample has as many templates as the population, drawn with replacement, and prompts of each, drawn with replacement: templates are
independent of each other and so are the prompts of one, so that the population's mean is exactly what a claim estimates, and its
standard error is known too. What is drawn again counts as another template, or another prompt.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from mechcheck.stats.measurement import Measurement, Scale

_CONSTANT = 1e-6
"""Values that differ by less than this part of the largest leave nothing to be decided."""


@dataclass(frozen=True, eq=False)
class Series:
    """Something that was measured on every prompt of a population."""

    name: str
    values: Float[np.ndarray, " prompt"]
    unit: str = ""
    below: Float[np.ndarray, " prompt"] | None = None
    """The denominator of a share."""
    scale: Scale | None = None

    def __sub__(self, other: "Series") -> "Series":
        return Series(f"{self.name} less {other.name}", self.values - other.values, self.unit, scale="real")

    def over(self, other: "Series") -> "Series":
        """The share that this is of another."""
        return Series(f"{self.name} as a share of {other.name}", self.values, "share", other.values, "real")

    def exceeds(self, threshold: float) -> "Series":
        """Yes or no, prompt by prompt."""
        return Series(f"{self.name} > {threshold:.3g}", (self.values > threshold).astype(float), "share of prompts", scale="yes/no")


@dataclass(frozen=True, eq=False)
class Sample:
    """Prompts as a claim has them."""

    rows: Int[np.ndarray, " prompt"]
    """Of the population."""
    ids: tuple[str, ...]
    templates: tuple[str, ...]

    def measured(self, series: Series) -> Measurement:
        """What a claim would have measured on them."""
        below = None if series.below is None else series.below[self.rows]
        return Measurement(
            series.values[self.rows], self.ids, self.templates, series.name, series.unit, denominator=below, scale=series.scale
        )


class Population:
    """Prompts by template."""

    def __init__(self, ids: Sequence[str], templates: Sequence[str]) -> None:
        self.ids = tuple(ids)
        self.names, self.index = np.unique(templates, return_inverse=True)
        self.rows = [np.flatnonzero(self.index == t) for t in range(len(self.names))]
        self._sizes = np.bincount(self.index)

    def sizes(self, n: int) -> Int[np.ndarray, " template"]:
        """Prompts of each template in a sample of n, as even as the tasks' generators have them."""
        each, more = divmod(n, len(self.names))
        return np.array([size for size in (each + (t < more) for t in range(len(self.names))) if size])

    def draw(self, rng: np.random.Generator, n: int) -> Sample:
        """Templates, and prompts of each."""
        rows: list[int] = []
        templates: list[str] = []
        again: Counter[int] = Counter()
        for size in self.sizes(n):
            template = int(rng.integers(len(self.names)))
            again[template] += 1
            rows += rng.choice(self.rows[template], size).tolist()
            templates += [f"{self.names[template]} ({again[template]})"] * int(size)
        seen: Counter[int] = Counter()
        ids = []
        for row in rows:
            seen[row] += 1
            ids.append(f"{self.ids[row]} ({seen[row]})")
        return Sample(np.array(rows), tuple(ids), tuple(templates))

    def truth(self, series: Series) -> float:
        """The mean over the population's templates; of a share, the quotient of two such."""
        top = float(self._means(series.values).mean())
        return top if series.below is None else top / float(self._means(series.below).mean())

    def error(self, series: Series, n: int) -> float:
        """The standard error of a sample's mean (of a share to first order); 0 where the values are constant."""
        values, divided = series.values, 1.0
        if series.below is not None:
            values, divided = values - self.truth(series) * series.below, abs(float(self._means(series.below).mean()))
        largest = float(np.abs(series.values).max())
        if float(np.ptp(values)) <= _CONSTANT * largest:
            return 0.0
        means, share = self._means(values), self.sizes(n) / n
        within = float(self._means((values - means[self.index]) ** 2).mean())
        return float(np.sqrt(means.var() * (share**2).sum() + within / n)) / divided

    def _means(self, values: Float[np.ndarray, " prompt"]) -> Float[np.ndarray, " template"]:
        return np.bincount(self.index, values) / self._sizes
