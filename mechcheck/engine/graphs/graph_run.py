"""One forward run of a whole graph: every receiver reads some senders as they are, and others as they are elsewhere."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.nn import functional as F

from mechcheck.engine.arithmetic.layer import Layer
from mechcheck.engine.arithmetic.model import Arithmetic
from mechcheck.engine.arithmetic.rotary import rotate
from mechcheck.engine.arithmetic.work import attended, multiplied
from mechcheck.engine.graphs.senders import Sent
from mechcheck.engine.reading import Read
from mechcheck.engine.untouched import Untouched, seen_by_all

Cuts = Bool[Tensor, "variant receiver sender *kind"]
"""Which edges are cut in each variant; with a last dimension where kinds of positions are told apart."""
Kinds = Int[Tensor, "prompt pos"]


class Said(NamedTuple):
    """What has been said so far, at every position or at some."""

    changes: Float[Tensor, "variant sender prompt pos d_model"]
    """Of each sender, what it would say less what it says."""
    values: Sent
    """What it would say."""
    kinds: Kinds | None
    """Of which kind each position is."""

    def at(self, positions: Int[Tensor, "prompt some"]) -> "Said":
        """The same at these positions of each prompt."""
        kinds = None if self.kinds is None else self.kinds.gather(1, positions)
        return Said(at_positions(self.changes, positions), at_positions(self.values, positions), kinds)


def at_positions(x: Float[Tensor, "... prompt pos d"], positions: Int[Tensor, "prompt some"]) -> Float[Tensor, "... prompt some d"]:
    """Some positions of each prompt."""
    return x[..., torch.arange(len(positions), device=positions.device)[:, None], positions, :]


@dataclass(eq=False)
class GraphRun:
    """Some variants on some prompts; streams are [variant, prompt, pos, d_model]."""

    known: Arithmetic
    base: Untouched
    values: Sent
    cuts: Cuts | Float[Tensor, "variant receiver sender"]
    """Which edges carry the other values, or what share of the way each goes to them."""
    read: Read
    kinds: Kinds | None = None
    """Of which kind each position is, where `cuts` tells kinds apart."""

    def streams(self) -> Float[Tensor, "variant prompt read d_model"]:
        """The stream that the final norm reads, where it is wanted; where `cuts` are shares of a cut, it knows its gradient.

        In the last layer nothing but keys and values is read at other positions than those, so that nothing else is computed there.
        """
        known, n = self.known, len(self.cuts)
        x = self.base.layers.entering(0).expand(n, -1, -1, -1)
        self._cuts = self.cuts.to(x)
        kinds = None if self.kinds is None else self.kinds.to(x.device)
        self._said = Said(x.new_empty(n, 0 if torch.is_grad_enabled() else len(self.values), *x.shape[1:]), self.values, kinds)
        self._sent, self._row = 0, 0
        self._reads: list[Tensor] = []
        self._say(x[:, None])
        wanted = self.read.positions.to(x.device)
        narrowed = not torch.is_grad_enabled() and wanted.shape[1] < x.shape[2]
        for layer in known.layers:
            only = wanted if narrowed and layer is known.layers[-1] else None
            attn_out = self._attention(layer, x, only)
            entered = x = x if only is None else at_positions(x, only)
            x = x + attn_out
            if layer.mlp is not None:
                read = self._changed(entered if known.parallel else x, self._rows(1), self._said)[:, 0]
                mlp_out = layer.mlp.out(known.neurons(layer, read))
                self._say(mlp_out[:, None])
                x = x + mlp_out
        left = self._changed(x, self._rows(1), self._said)[:, 0]
        return left if narrowed else at_positions(left, wanted)

    def slopes(self, measured: Callable[[Tensor], Tensor]) -> Float[Tensor, "variant prompt receiver sender"]:
        """What cutting each edge (further) adds to a measure of each prompt, to first order, in each variant.

        Args:
            measured: from streams, [variant, prompt, read, d_model], to one number for each variant and prompt.
        """
        with torch.enable_grad():
            self.values = self.values.detach().requires_grad_()  # so that there is a graph where no edge is cut
            total = measured(self.streams()).sum()
            found = torch.autograd.grad(total, self._reads, materialize_grads=True)
        gradients = torch.cat([one.detach() for one in found], dim=1)  # [variant, receiver, prompt, pos, d_model]
        changes = self._said.changes.detach()
        return (gradients.transpose(1, 2).flatten(3) @ changes.transpose(1, 2).flatten(3).transpose(2, 3)).cpu().double()

    def _say(self, said: Float[Tensor, "variant sender prompt pos d_model"]) -> None:
        """Note what the next senders say."""
        end, now = self._sent + said.shape[1], self._said
        if torch.is_grad_enabled():
            self._said = now._replace(changes=torch.cat([now.changes, now.values[self._sent : end] - said], dim=1))
        else:
            torch.sub(now.values[self._sent : end], said, out=now.changes[:, self._sent : end])
        self._sent = end

    def _rows(self, count: int) -> slice:
        """The next receivers."""
        self._row += count
        return slice(self._row - count, self._row)

    def _changed(self, x: Tensor, rows: slice, said: Said) -> Float[Tensor, "variant receiver prompt pos d_model"]:
        """What these receivers read: the stream, with what is cut exchanged."""
        cut = self._cuts[:, rows, : self._sent]
        if not (torch.is_grad_enabled() or cut.any()):
            return x[:, None].expand(-1, cut.shape[1], -1, -1, -1)
        changes = said.changes[:, : self._sent].flatten(2)
        if said.kinds is not None:
            read = x[:, None].expand(-1, cut.shape[1], -1, -1, -1)
            for kind, here in enumerate(cut.unbind(-1)):
                if here.any():
                    read = read + (here @ changes).view(len(x), -1, *x.shape[1:]) * (said.kinds == kind)[..., None]
            return read
        read = (cut @ changes).view(len(x), -1, *x.shape[1:]) + x[:, None]
        self._reads.append(read)
        return read

    def _attention(self, layer: Layer, x: Tensor, only: Int[Tensor, "prompt read"] | None) -> Float[Tensor, "variant prompt pos d_model"]:
        """What it adds to the stream: everywhere; or at these positions alone, where all that is said counts from here on."""
        known, (n, prompts, width, _) = self.known, x.shape
        heads, groups = known.n_heads, known.n_kv_heads
        everywhere, there = self._said, self._said if only is None else self._said.at(only)
        q = self._projected(layer, x if only is None else at_positions(x, only), self._rows(heads), 0, there)  # [row, pos, head, d_head]
        k, v = (self._projected(layer, x, self._rows(groups), first, everywhere) for first in (heads, heads + groups))
        self._said = there
        sees = seen_by_all(known, self.base.prompts)
        tables = of_queries = None if self.base.tables is None else (self.base.tables[0][:, None], self.base.tables[1][:, None])
        if only is not None:
            of_queries = None if tables is None else (tables[0][only].repeat(n, 1, 1, 1), tables[1][only].repeat(n, 1, 1, 1))
            if sees is None:
                sees = (torch.arange(width, device=x.device) <= only[..., None])[:, None]  # [prompt, 1, query, key]
        q, k = rotate(q, of_queries, neighbours=known.neighbours), rotate(k, tables, neighbours=known.neighbours)
        q, k, v = (part.transpose(1, 2) for part in (q, k, v))
        sees = None if sees is None else sees.repeat(n, 1, 1, 1)
        attended(q, k)
        grouped = heads != groups
        z = F.scaled_dot_product_attention(q, k, v, attn_mask=sees, is_causal=sees is None, scale=known.scale, enable_gqa=grouped)
        z = z.view(n, prompts, heads, -1, known.d_head).transpose(1, 2).flatten(2, 3)
        multiplied(2 * z.numel() * layer.o.weight.shape[1], z)
        said = (z @ layer.o.weight.unflatten(0, (heads, known.d_head))).view(n, heads, prompts, -1, x.shape[3])
        self._say(said)
        total = said.sum(1)
        return total if layer.o.bias is None else total + layer.o.bias

    def _projected(self, layer: Layer, x: Tensor, rows: slice, first: int, said: Said) -> Float[Tensor, "row pos head d_head"]:
        """Queries, keys or values of what these receivers read; their projections begin with number `first`."""
        known, count = self.known, rows.stop - rows.start
        weights = layer.qkv.weight.T.unflatten(0, (-1, known.d_head)).transpose(1, 2)[first : first + count]  # [head, d_model, d_head]
        read = known.attention_input(layer, self._changed(x, rows, said)).flatten(2, 3)  # [variant, head, row, d_model]
        multiplied(2 * read.numel() * known.d_head, read)
        part = read @ weights
        if layer.qkv.bias is not None:
            part = part + layer.qkv.bias.view(-1, 1, known.d_head)[first : first + count]
        return part.view(len(x), count, *x.shape[1:3], known.d_head).permute(0, 2, 3, 1, 4).flatten(0, 1)
