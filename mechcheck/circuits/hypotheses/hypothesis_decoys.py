"""Decoys of a hypothesis for causal scrubbing: what matters exchanged between two nodes, and the same tree over other heads."""

import itertools
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from mechcheck.circuits.hypotheses.resampling import classes
from mechcheck.circuits.hypotheses.trees import Node, check_hypothesis
from mechcheck.notation.graph import Graph, graph
from mechcheck.notation.sites import Receiver, Site, Sites
from mechcheck.prompts.one import each_prompt
from mechcheck.prompts.prompt_set import PromptSet

if TYPE_CHECKING:
    from transformer_lens.model_bridge import TransformerBridge

_TRIES = 50
Place = tuple[int, ...]


class HypothesisDecoys(NamedTuple):
    """Hypotheses that say something else, and should recover less."""

    swapped: tuple[Node, ...]
    """Two nodes have exchanged what matters to them: all pairs of which neither reads the other, by way of others too, and which do not
    come to the same on these prompts."""
    random: tuple[Node, ...]
    """The same tree, with the heads of each layer in another order; fewer than were asked for where there are no more."""


def hypothesis_decoys(model: "TransformerBridge", prompts: PromptSet, hypothesis: Node, *, n: int = 10, seed: int = 0) -> HypothesisDecoys:
    """What a hypothesis is to be held against: `causal_scrubbing` of each is expected to recover less.

    Args:
        model: whose heads they are.
        prompts: on which two things that matter may come to the same; best the pool.
        hypothesis: as in `causal_scrubbing`.
        n: random trees, at most.
        seed: of their draws.

    Raises:
        CircuitError, SiteError: as in `causal_scrubbing`.
    """
    known = graph(model)
    check_hypothesis(model, known, hypothesis)
    return HypothesisDecoys(tuple(_swapped(prompts, hypothesis)), tuple(_random(known, hypothesis, n, seed)))


def _swapped(prompts: PromptSet, hypothesis: Node) -> list[Node]:
    each, places = each_prompt(prompts), _places(hypothesis)
    alike = {place: classes(each, node.feature, str(node)).members.values() for place, node in places.items()}
    groups = {place: frozenset(map(tuple, some)) for place, some in alike.items()}
    found: list[Node] = []
    for one, other in itertools.combinations(places, 2):
        above = one == other[: len(one)] or other == one[: len(other)]
        if not above and groups[one] != groups[other]:
            taken = {one: places[other].matters, other: places[one].matters}
            found.append(_changed(hypothesis, partial(_exchanged, taken)))
    return found


def _random(known: Graph, hypothesis: Node, n: int, seed: int) -> list[Node]:
    rng, seen, found = np.random.default_rng(seed), {_written(hypothesis)}, list[Node]()
    for _ in range(_TRIES * n):
        if len(found) == n:
            break
        size = known.n_heads // known.n_kv_heads
        groups = [rng.permutation(known.n_kv_heads) for _ in range(known.n_layers)]
        within = [[rng.permutation(size) for _ in range(known.n_kv_heads)] for _ in range(known.n_layers)]
        heads = {
            (layer, group * size + i): int(groups[layer][group] * size + within[layer][group][i])
            for layer in range(known.n_layers) for group in range(known.n_kv_heads) for i in range(size)
        }  # fmt: skip
        shared = {(layer, group): int(groups[layer][group]) for layer in range(known.n_layers) for group in range(known.n_kv_heads)}
        new = _changed(hypothesis, partial(_moved, heads, shared))
        if _written(new) not in seen:
            seen.add(_written(new))
            found.append(new)
    return found


def _exchanged(matters: Mapping[Place, Any], place: Place, node: Node) -> Node:
    return replace(node, matters=matters.get(place, node.matters))


def _moved(heads: Mapping[tuple[int, int], int], shared: Mapping[tuple[int, int], int], _: Place, node: Node) -> Node:
    """The node, with its heads and those that read it replaced."""

    def reader(one: Receiver | None) -> Receiver | None:
        if one is None or one.index is None:
            return one
        return replace(one, index=(heads if one.kind == "q" else shared)[one.layer, one.index])

    def edge(one: Site) -> Site:
        index = heads[one.layer, one.index] if one.kind == "head" and one.index is not None else one.index
        return replace(one, index=index, to=reader(one.to))

    return node if node.edges is None else replace(node, edges=Sites(map(edge, node.along)))


def _places(root: Node) -> dict[Place, Node]:
    """Every node but the first, by its place: which of its reader's nodes it is, of the reader's reader's, ..."""
    found: dict[Place, Node] = {}
    for number, child in enumerate(root.reads):
        found |= {(number,): child} | {(number, *place): node for place, node in _places(child).items()}
    return found


def _changed(node: Node, change: Callable[[Place, Node], Node], place: Place = ()) -> Node:
    """The tree with every node changed."""
    reads = tuple(_changed(child, change, (*place, number)) for number, child in enumerate(node.reads))
    return replace(change(place, node), reads=reads)


def _written(root: Node) -> tuple[str, ...]:
    return tuple(path for path, _ in root.every)
