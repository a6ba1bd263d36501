"""In which order scores take edges into a circuit."""

import heapq
from collections.abc import Mapping, Sequence
from typing import Literal

import numpy as np
from jaxtyping import Float

from mechcheck.base.errors import MechcheckError
from mechcheck.notation.graph import Graph


def ordered(whole: Graph, scores: Float[np.ndarray, "receiver sender"], assemble: Literal["greedy", "top"]) -> list[int]:
    """All edges (numbers in the flat mask) in the order in which scores take them into a circuit."""
    if assemble not in ("greedy", "top"):
        raise MechcheckError(f'unknown assemble={assemble!r}; choose "greedy" or "top"')
    return (from_the_logits_up if assemble == "greedy" else by_size)(whole, scores)


def by_size(whole: Graph, scores: Float[np.ndarray, "receiver sender"]) -> list[int]:
    """All edges (numbers in the flat mask), the largest in size first; of equals the earlier."""
    size = np.where(whole.real.numpy(), np.abs(scores), -np.inf).ravel()
    return np.argsort(-size, kind="stable")[: len(whole)].tolist()


def from_the_logits_up(whole: Graph, scores: Float[np.ndarray, "receiver sender"]) -> list[int]:
    """All edges (numbers in the flat mask): always the largest of those that lead into a node that the ones before have reached."""
    size = np.abs(scores)
    into: Mapping[int, list[int]] = _receivers_of_nodes(whole)
    reached: set[int] = set()
    heap: list[tuple[float, int, int]] = []

    def reach(rows: Sequence[int]) -> None:
        for row in set(rows) - reached:  # heads of a group read the same keys and values
            reached.add(row)
            for column in whole.real[row].nonzero()[:, 0].tolist():
                heapq.heappush(heap, (-float(size[row, column]), row, column))

    reach([len(whole.receivers) - 1])
    order = []
    while heap:
        _, row, column = heapq.heappop(heap)
        order.append(row * len(whole.senders) + column)
        reach(into[column])
    return order


def _receivers_of_nodes(whole: Graph) -> dict[int, list[int]]:
    """Sender -> the receivers through which it reads."""
    group = whole.n_heads // whole.n_kv_heads
    found: dict[int, list[int]] = {column: [] for column in range(len(whole.senders))}
    place = {(site.kind, site.layer, site.index): column for column, site in enumerate(whole.senders)}
    for row, receiver in enumerate(whole.receivers):
        if receiver.kind == "mlp":
            found[place["mlp_out", receiver.layer, None]].append(row)
        elif receiver.index is not None:
            heads = [receiver.index] if receiver.kind == "q" else range(receiver.index * group, (receiver.index + 1) * group)
            for head in heads:
                found[place["head", receiver.layer, head]].append(row)
    return found
