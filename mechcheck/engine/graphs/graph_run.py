"""One forward run of a whole graph: every receiver reads some senders as they are, and others as they are elsewhere."""

from collections.abc import Callable
from dataclasses import dataclass

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
        """The stream that the final norm reads, where it is wanted; where `cuts` are shares of a cut, it knows its gradient."""
        known, n = self.known, len(self.cuts)
        x = self.base.layers.entering(0).expand(n, -1, -1, -1)
        self._cuts = self.cuts.to(x)
        self._kinds = None if self.kinds is None else self.kinds.to(x.device)
        # Of each sender, what it would say less what it says.
        self._changes = x.new_empty(n, 0 if torch.is_grad_enabled() else len(self.values), *x.shape[1:])
        self._sent, self._row = 0, 0
        self._reads: list[Tensor] = []
        self._say(x[:, None])
        for layer in known.layers:
            entered = x
            x = x + self._attention(layer, x)
            if layer.mlp is not None:
                read = self._changed(entered if known.parallel else x, 1)[:, 0]
                mlp_out = layer.mlp.out(known.neurons(layer, read))
                self._say(mlp_out[:, None])
                x = x + mlp_out
        prompt = torch.arange(x.shape[1])[:, None]
        return self._changed(x, 1)[:, 0, prompt, self.read.positions]

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
        changes = self._changes.detach()
        return (gradients.transpose(1, 2).flatten(3) @ changes.transpose(1, 2).flatten(3).transpose(2, 3)).cpu().double()

    def _say(self, said: Float[Tensor, "variant sender prompt pos d_model"]) -> None:
        """Note what the next senders say."""
        end = self._sent + said.shape[1]
        if torch.is_grad_enabled():
            self._changes = torch.cat([self._changes, self.values[self._sent : end] - said], dim=1)
        else:
            torch.sub(self.values[self._sent : end], said, out=self._changes[:, self._sent : end])
        self._sent = end

    def _changed(self, x: Tensor, count: int) -> Float[Tensor, "variant receiver prompt pos d_model"]:
        """What the next receivers read: the stream, with what is cut exchanged."""
        cut = self._cuts[:, self._row : self._row + count, : self._sent]
        self._row += count
        if not (torch.is_grad_enabled() or cut.any()):
            return x[:, None].expand(-1, count, -1, -1, -1)
        changes = self._changes[:, : self._sent].flatten(2)
        if self._kinds is not None:
            read = x[:, None].expand(-1, count, -1, -1, -1)
            for kind, here in enumerate(cut.unbind(-1)):
                if here.any():
                    read = read + (here @ changes).view(len(x), count, *x.shape[1:]) * (self._kinds == kind)[..., None]
            return read
        read = (cut @ changes).view(len(x), count, *x.shape[1:]) + x[:, None]
        self._reads.append(read)
        return read

    def _attention(self, layer: Layer, x: Tensor) -> Float[Tensor, "variant prompt pos d_model"]:
        known, (n, prompts, width, _) = self.known, x.shape
        groups = (known.n_heads, known.n_kv_heads, known.n_kv_heads)
        weights = layer.qkv.weight.T.unflatten(0, (sum(groups), known.d_head)).transpose(1, 2)  # [head, d_model, d_head]
        biases = None if layer.qkv.bias is None else layer.qkv.bias.view(-1, 1, known.d_head)
        first, parts = 0, []
        for count in groups:
            read = known.attention_input(layer, self._changed(x, count)).flatten(2, 3)  # [variant, head, row, d_model]
            multiplied(2 * read.numel() * known.d_head, read)
            part = read @ weights[first : first + count]
            part = part if biases is None else part + biases[first : first + count]
            parts.append(part.view(n, count, prompts, width, known.d_head).permute(0, 2, 3, 1, 4).flatten(0, 1))
            first += count
        q, k, v = parts  # [row, pos, head, d_head]
        tables = None if self.base.tables is None else (self.base.tables[0][:, None], self.base.tables[1][:, None])
        q, k = (rotate(part, tables, neighbours=known.neighbours) for part in (q, k))
        q, k, v = (part.transpose(1, 2) for part in (q, k, v))
        sees = seen_by_all(known, self.base.prompts)
        sees = None if sees is None else sees.repeat(n, 1, 1, 1)
        grouped = q.shape[1] != k.shape[1]
        attended(q, k)
        z = F.scaled_dot_product_attention(q, k, v, attn_mask=sees, is_causal=sees is None, scale=known.scale, enable_gqa=grouped)
        z = z.view(n, prompts, known.n_heads, width, known.d_head).transpose(1, 2).flatten(2, 3)
        multiplied(2 * z.numel() * layer.o.weight.shape[1], z)
        said = (z @ layer.o.weight.unflatten(0, (known.n_heads, known.d_head))).view(n, known.n_heads, prompts, width, -1)
        self._say(said)
        total = said.sum(1)
        return total if layer.o.bias is None else total + layer.o.bias
