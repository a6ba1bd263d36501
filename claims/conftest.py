"""What claims on circuits of edges share, of whichever task: how they are judged, and by which prompts."""

from dataclasses import dataclass

import pytest

from mechcheck import Cut, completeness, minimality


@dataclass(frozen=True)
class EdgeClaims:
    """Judges a circuit's edges by shares of the way from all edges cut to the whole model; margins were fixed on discovery prompts."""

    prompts: int = 32
    """How many are judged by; of IOI of as many templates."""
    margin: float = 0.2
    """By so much at most circuit and model differ."""
    worth: float = 0.05
    """So much at least is what an edge is worth."""
    apart: int = 1_000
    """Added to the run's seed: circuits of other sizes, and other decoys, were tried on the prompts of the run's own."""

    def faithful(self, check, model, prompts, edges):
        check.faithful(edges, prompts[: self.prompts], margin=self.margin)

    def complete(self, check, model, prompts, edges):
        cut = Cut(model, prompts[: self.prompts])
        worst = completeness(cut, edges, subsets=8, greedy=0).worst
        gap = (worst.circuit - worst.model) / _way_of(cut)
        check.equivalent(gap, self.margin, label=f"largest gap of 8 sets taken out, as a share < {self.margin}")

    def minimal(self, check, model, prompts, edges):
        """What each edge is worth, for a figure."""
        cut = Cut(model, prompts[: self.prompts])
        parts, way = minimality(cut, edges), _way_of(cut)
        for one in parts:
            check.above(one.change / way, self.worth, f"share of the way lost without {one.part}")
        return {one.part: one.change for one in parts}

    def beat_random_circuits(self, check, model, prompts, edges):
        check.beats_random_circuits(edges, prompts[: self.prompts], n=40)


def _way_of(cut):
    """The metric of the whole model, less that with every edge cut."""
    none, whole = cut.ends
    return cut.measured(whole, "model") - cut.measured(none, "all cut")


@pytest.fixture
def edge_claims():
    """How circuits of edges are judged."""
    return EdgeClaims()
