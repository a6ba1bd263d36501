"""Five tests of a circuit as a hypothesis (Shi et al. 2024, arXiv:2410.13032), with what was wrong in their statistics mended."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from typing import Literal, NamedTuple

import numpy as np
import scipy
import torch
from jaxtyping import Float

from mechcheck.base.errors import CircuitError, MechcheckError
from mechcheck.circuits.evaluation import Cut, Mask, kept_edges
from mechcheck.notation.circuit import Circuit, parts_of
from mechcheck.notation.graph import Graph
from mechcheck.notation.sites import Sites
from mechcheck.stats.multiplicity import holm

TestName = Literal["equivalence", "independence", "minimality", "sufficiency", "partial necessity"]


class CircuitTest(NamedTuple):
    """The outcome of one test."""

    name: TestName
    passed: bool
    """Whether the circuit has the property, at the level that was asked for."""
    statistic: float
    p: float
    """Of the null hypothesis, which is that the circuit lacks the property; of independence, that it has it."""
    says: str
    """The outcome in words, with the numbers."""


def random_circuits(whole: Graph, size: int, n: int, seed: int) -> list[Mask]:
    """Sets of so many edges, each as likely as any other."""
    if not 0 < size <= len(whole):
        raise MechcheckError(f"the graph has {len(whole)} edges, so there is no circuit of {size}")
    numbers, rng = whole.real.flatten().nonzero()[:, 0].numpy(), np.random.default_rng(seed)
    found = []
    for _ in range(n):
        mask = torch.zeros(whole.real.numel(), dtype=torch.bool)
        mask[torch.from_numpy(rng.choice(numbers, size, replace=False))] = True
        found.append(mask.view_as(whole.real))
    return found


def random_like(whole: Graph, circuit: Sites | Circuit, n: int, seed: int) -> list[Sites]:
    """Random circuits like one: of as many edges, at the same positions, or of as many nodes of each kind; each set as likely as any other.

    Raises:
        CircuitError: it is no circuit of this graph.
    """
    parts = parts_of(circuit)
    kept_edges(whole, parts.at(None))
    rng = np.random.default_rng(seed)
    if next(iter(parts)).to is not None:
        counts = Counter(site.at for site in parts)
        drawn = {at: random_circuits(whole, count, n, seed + place) for place, (at, count) in enumerate(counts.items())}
        return [Sites(site for at, masks in drawn.items() for site in whole.chosen(masks[i]).at(at)) for i in range(n)]
    kinds = Counter(kind for kind, *_ in {(site.kind, site.layer, site.index) for site in parts})
    pools = {kind: [site for site in whole.senders if site.kind == kind] for kind in kinds}
    return [
        Sites(pools[kind][i] for kind, count in kinds.items() for i in rng.choice(len(pools[kind]), count, replace=False)) for _ in range(n)
    ]


def circuit_tests(
    cut: Cut, circuit: Sites | Circuit, *, alpha: float = 0.05, epsilon: float = 0.1, q: float = 0.9, draws: int = 100, seed: int = 0
) -> tuple[CircuitTest, ...]:
    """All five tests.

    - equivalence: circuit and model are ahead of each other on as many prompts; the share on which the circuit is (ties count half) lies
      within `epsilon` of one half, by two one-sided tests.
    - independence: what is left without the circuit says nothing about what the model does (HSIC, by permutation); rejected, the circuit
      misses something.
    - minimality: taking an edge out of the circuit changes more than taking out a random edge that was added to it, with a
      probability above `q`, for every edge (Holm), each beside random edges of its own.
    - sufficiency: the circuit is nearer to the model than a random one of its size, with a probability above `q`.
    - partial necessity: cutting the circuit moves the model more than cutting a random one of its size, with a probability above `q`.

    Args:
        cut: the model, the prompts, the metric and what cut edges carry.
        circuit: of edges, or of nodes, whose edges are meant.
        alpha: level of each test.
        epsilon, q: the margins above.
        draws: random circuits; ten times as many permutations; beside each edge a fifth of it, or as many as its test needs.
        seed: of all draws.

    Raises:
        CircuitError: the circuit is the whole model's graph, or no part of it: nothing is random about its size; edges at named positions.
        MechcheckError: too few draws to reject anything at this level.
    """
    if any(site.to is not None and site.at is not None for site in parts_of(circuit)):
        raise CircuitError(
            "these tests draw random edges, which act at every position: judge edges at named positions by faithfulness, completeness and "
            "minimality, or leave their positions out, edges.at(None)"
        )
    whole, kept = cut.graph, kept_edges(cut.graph, circuit)
    least = int(np.ceil(np.log(alpha) / np.log(q)))
    if draws < least:
        raise MechcheckError(f"{draws} draws cannot tell a probability above {q:g} at the level {alpha:g}; {least} or more can")
    _, full = cut.ends
    own, complement = cut.values([kept, whole.real & ~kept])
    size, generator = int(kept.sum()), seed
    found = [equivalence(own - full, alpha, epsilon), independence(complement, full, alpha, 10 * draws, generator)]
    if size == len(whole):
        return (*found, *(_of_everything(name) for name in ("minimality", "sufficiency", "partial necessity")))
    if size == 0:
        raise CircuitError("this circuit keeps no edge at all")
    others = random_circuits(whole, size, draws, generator + 1)
    nearer = cut.values(others)
    knocked = cut.values([whole.real & ~mask for mask in others])
    distance = np.abs(own - full).mean()
    beaten = int((np.abs(nearer - full).mean(1) > distance).sum())
    moved = np.abs(complement - full).mean()
    outdone = int((np.abs(knocked - full).mean(1) < moved).sum())
    return (
        *found,
        _minimality(cut, kept, own, alpha, q, draws // 5, generator + 2),
        _beats("sufficiency", beaten, draws, alpha, q, "is nearer to the model than"),
        _beats("partial necessity", outdone, draws, alpha, q, "is missed more than"),
    )


def equivalence(ahead: Float[np.ndarray, " prompt"], alpha: float, epsilon: float) -> CircuitTest:
    """Whether one is ahead of the other on half of the prompts, within a margin: two one-sided binomial tests."""
    n, noise = len(ahead), 1e-9 * max(1.0, float(np.abs(ahead).max()))
    ties = int((np.abs(ahead) <= noise).sum())
    wins = int((ahead > noise).sum()) + ties / 2
    p = max(
        float(scipy.stats.binom.sf(np.ceil(wins) - 1, n, 0.5 - epsilon)), float(scipy.stats.binom.cdf(np.floor(wins), n, 0.5 + epsilon))
    )  # fmt: skip
    says = f"the circuit is ahead of the model on {wins:g} of {n} prompts (half within {epsilon:g} is wanted)"
    return CircuitTest("equivalence", p <= alpha, wins / n, p, says)


def independence(
    one: Float[np.ndarray, " prompt"], other: Float[np.ndarray, " prompt"], alpha: float, permutations: int, seed: int
) -> CircuitTest:
    """Whether what is left without the circuit says nothing about the model: the Hilbert-Schmidt criterion (Gretton et al. 2005)."""
    k, m = _kernel(one), _kernel(other)
    rng, n = np.random.default_rng(seed), len(one)
    centre = np.eye(n) - 1 / n
    centred = centre @ k @ centre
    statistic = float((centred * m).sum() / n**2)
    drawn = [float((centred * m[np.ix_(order, order)]).sum() / n**2) for order in (rng.permutation(n) for _ in range(permutations))]
    p = (1 + sum(value >= statistic - 1e-15 for value in drawn)) / (1 + permutations)
    says = f"what is left without the circuit {'tells something' if p <= alpha else 'is not seen to tell anything'} about the model"
    return CircuitTest("independence", p > alpha, statistic, p, f"{says} (p = {p:.3g})")


def _kernel(values: Float[np.ndarray, " prompt"]) -> Float[np.ndarray, "prompt prompt"]:
    distance = (values[:, None] - values) ** 2
    width = float(np.median(distance[distance > 0])) if (distance > 0).any() else 1.0
    return np.exp(-distance / width)


def _minimality(cut: Cut, kept: Mask, own: Float[np.ndarray, " prompt"], alpha: float, q: float, beside: int, seed: int) -> CircuitTest:
    whole, rng = cut.graph, np.random.default_rng(seed)
    inside = kept.flatten().nonzero()[:, 0].tolist()
    outside = (whole.real & ~kept).flatten().nonzero()[:, 0].numpy()
    beside = max(beside, int(np.ceil(np.log(alpha / len(inside)) / np.log(q))))  # so many that the first of Holm's steps can be taken
    masks: list[Mask] = [_flipped(kept, number) for number in inside]
    drawn = [rng.choice(outside, beside).tolist() for _ in inside]
    different = sorted({number for some in drawn for number in some})
    values = cut.values([*masks, *(_flipped(kept, number) for number in different)])
    change = np.abs(values - own).mean(1)
    added = dict(zip(different, change[len(inside) :].tolist(), strict=True))
    wins = [sum(worth > added[number] for number in some) for worth, some in zip(change[: len(inside)], drawn, strict=True)]
    adjusted = holm([float(scipy.stats.binom.sf(won - 1, beside, q)) for won in wins])
    idle = [str(site) for site, p in zip(_named(whole, inside), adjusted, strict=True) if p > alpha]
    says = "every edge does more than random edges do" if not idle else (
        f"{len(idle)} of {len(inside)} edges are not told from random ones: {', '.join(idle[:3])}{' ...' if len(idle) > 3 else ''}"
    )  # fmt: skip
    return CircuitTest("minimality", not idle, 1 - len(idle) / len(inside), max(adjusted), says)


def _named(whole: Graph, numbers: Sequence[int]) -> list[str]:
    width = len(whole.senders)
    return [str(replace(whole.senders[number % width], to=whole.receivers[number // width])) for number in numbers]


def _flipped(mask: Mask, number: int) -> Mask:
    flat = mask.flatten().clone()
    flat[number] = ~flat[number]
    return flat.view_as(mask)


def _beats(name: TestName, won: int, n: int, alpha: float, q: float, verb: str) -> CircuitTest:
    p = float(scipy.stats.binom.sf(won - 1, n, q))
    return CircuitTest(name, p <= alpha, won / n, p, f"the circuit {verb} {won} of {n} random ones of its size (more than {q:g} is wanted)")


def _of_everything(name: TestName) -> CircuitTest:
    return CircuitTest(name, False, float("nan"), float("nan"), "the circuit is the whole model, beside which there is nothing random")
