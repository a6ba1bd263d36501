"""A model as a graph: who adds to the stream, who reads it, and all edges between them."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import torch
from jaxtyping import Bool
from torch import Tensor

from mechcheck.base.cached import cached_property
from mechcheck.base.device import usual_torch
from mechcheck.base.errors import SiteError
from mechcheck.base.loaded import check_loaded
from mechcheck.notation.edges import INPUT, LOGITS
from mechcheck.notation.site_checks import check_sites
from mechcheck.notation.sites import Receiver, Site, Sites

if TYPE_CHECKING:
    from transformer_lens.model_bridge import TransformerBridge


@dataclass(frozen=True)
class Graph:
    """Senders and receivers in the order in which a run comes to them."""

    n_layers: int
    n_heads: int
    n_kv_heads: int
    """Heads of keys and values; fewer than heads where queries are grouped."""
    parallel: bool
    """MLPs read what the heads of their layer read."""
    has_mlps: bool

    @cached_property
    def senders(self) -> tuple[Site, ...]:
        """The input; of each layer the heads, and the MLP."""
        found = [INPUT]
        for layer in range(self.n_layers):
            found += [Site("head", layer, head) for head in range(self.n_heads)]
            found += [Site("mlp_out", layer)] * self.has_mlps
        return tuple(found)

    @cached_property
    def receivers(self) -> tuple[Receiver, ...]:
        """Of each layer all queries, all keys, all values, and the MLP; and the logits."""
        found: list[Receiver] = []
        for layer in range(self.n_layers):
            found += [Receiver("q", layer, head) for head in range(self.n_heads)]
            found += [Receiver("k", layer, head) for head in range(self.n_kv_heads)]
            found += [Receiver("v", layer, head) for head in range(self.n_kv_heads)]
            found += [Receiver("mlp", layer)] * self.has_mlps
        return (*found, LOGITS)

    @cached_property
    @usual_torch()
    def real(self) -> Bool[Tensor, "receiver sender"]:
        """Which receivers come behind which senders: what `reads` says of each pair, for all of them at once."""
        written = torch.tensor([-1, *(site.layer for site in self.senders[1:])])
        read = torch.tensor([self.n_layers if to == LOGITS else to.layer for to in self.receivers])[:, None]
        heads = torch.tensor([site.kind == "head" for site in self.senders])
        mlps = torch.tensor([to.kind == "mlp" for to in self.receivers])[:, None]
        return (written < read) | ((written == read) & heads & mlps & (not self.parallel))

    @cached_property
    def _rows(self) -> Mapping[Receiver, int]:
        return {receiver: row for row, receiver in enumerate(self.receivers)}

    @cached_property
    def _columns(self) -> Mapping[Site, int]:
        return {sender: column for column, sender in enumerate(self.senders)}

    def __len__(self) -> int:
        """How many edges there are."""
        return int(self.real.sum())

    @cached_property
    def in_order(self) -> tuple[Site, ...]:
        """All edges, at every position: those into the first receiver, into the second, ..."""
        return self._of(self.real)

    @cached_property
    def edges(self) -> Sites:
        """All edges."""
        return Sites(self.in_order)

    def chosen(self, mask: Bool[Tensor, "receiver sender"]) -> Sites:
        """The edges of a mask."""
        return Sites(self._of(mask & self.real))

    def _of(self, mask: Bool[Tensor, "receiver sender"]) -> tuple[Site, ...]:
        return tuple(self.edge(row, column) for row, column in mask.nonzero().tolist())

    def edge(self, row: int, column: int) -> Site:
        """The edge from a sender to a receiver, by their numbers."""
        return replace(self.senders[column], to=self.receivers[row])

    def place(self, edge: Site) -> tuple[int, int]:
        """The numbers of an edge's receiver and sender.

        Raises:
            SiteError: a site that is none of this graph's edges: no edge, a part of one, or one at a named position.
        """
        found = self.find(edge)
        if found is None:
            placed = edge.at is not None
            why = "whose edges act at every position" if placed else "which has one from each sender to each receiver behind it"
            raise SiteError(f"{edge.named} is no edge of the whole graph, {why}")
        return found

    def find(self, edge: Site) -> tuple[int, int] | None:
        """As `place`; None where it raises."""
        row, column = self._rows.get(edge.to) if edge.to else None, self._columns.get(replace(edge, to=None))
        return None if row is None or column is None or not self.real[row, column] else (row, column)

    def mask(self, edges: Iterable[Site]) -> Bool[Tensor, "receiver sender"]:
        """Where these edges are.

        Raises:
            SiteError: as for `place`.
        """
        found = torch.zeros_like(self.real)
        for edge in edges:
            found[self.place(edge)] = True
        return found


def graph(model: "TransformerBridge") -> Graph:
    """The model's graph: input, heads and MLPs send; queries, keys, values, MLPs and logits receive.

    Raises:
        SiteError: an encoder, whose stream is normed after every sum.
    """
    check_loaded(model)
    cfg = model.cfg
    found = Graph(
        cfg.n_layers, cfg.n_heads, cfg.n_key_value_heads or cfg.n_heads, bool(cfg.parallel_attn_mlp), not getattr(cfg, "attn_only", False)
    )
    check_sites(model, [replace(INPUT, to=LOGITS)])
    return found
