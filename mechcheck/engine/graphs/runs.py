"""Runs of a whole graph: every receiver reads some senders as they are, and others as they are elsewhere."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.nn import functional as F

from mechcheck.base.cached import cached_property
from mechcheck.base.device import usual_torch
from mechcheck.base.errors import SiteError
from mechcheck.base.progress import heard, progress
from mechcheck.engine.along import arithmetic_of
from mechcheck.engine.arithmetic.layer import Layer
from mechcheck.engine.arithmetic.model import Arithmetic
from mechcheck.engine.arithmetic.rotary import rotate
from mechcheck.engine.arithmetic.work import attended, multiplied
from mechcheck.engine.graphs.senders import Sent, sent
from mechcheck.engine.memory import free_bytes
from mechcheck.engine.reading import Read, Reading, read_by
from mechcheck.engine.rounding import settled
from mechcheck.engine.swept import Swept
from mechcheck.engine.untouched import Untouched, seen_by_all
from mechcheck.engine.untouched_cache import untouched_run
from mechcheck.engine.watch import Ran, tell, watched
from mechcheck.notation.graph import Graph, graph
from mechcheck.notation.interventions import Ablate, Patch
from mechcheck.notation.metrics import Metric
from mechcheck.prompts.prompt_set import PromptSet

if TYPE_CHECKING:
    from transformer_lens.model_bridge import TransformerBridge

Cuts = Bool[Tensor, "variant receiver sender *kind"]
"""Which edges are cut in each variant; with a last dimension where kinds of positions are told apart."""
Kinds = Int[Tensor, "prompt pos"]

# At a time on a CPU where somebody waits for it to advance.
_HEARD_BYTES = 48 * 2**20


@dataclass(frozen=True, eq=False)
class _Done(Sequence[list[Ablate | Patch]]):
    """Variants as interventions, each made when it is looked at: of a large model they are many edges."""

    graph: Graph
    instead: Ablate | Patch
    cuts: Cuts

    def __len__(self) -> int:
        return len(self.cuts)

    def __getitem__(self, at: Any) -> Any:
        """An edge that is cut at some kinds of positions is told without these."""
        cut = self.cuts[at]
        sites = self.graph.chosen(cut if cut.ndim == 2 else cut.any(2))
        return [replace(self.instead, sites=sites)] if sites else []


@dataclass(eq=False)
class Graphs:
    """Prompts, and what edges carry where they are cut: measured under many sets of cut edges at once.

    It is what `sweep` gives for the interventions at these edges, computed for whole graphs: a receiver's input is the stream as it is
    in that run, with each cut sender's own part of it exchanged.
    """

    model: "TransformerBridge"
    prompts: PromptSet
    instead: Ablate | Patch
    """What cut edges carry: a `Patch` or an `Ablate` of all senders (`senders_of`) at every position."""
    metrics: Sequence[Metric]

    @cached_property
    def graph(self) -> Graph:
        """The model's."""
        return graph(self.model)

    @cached_property
    @usual_torch()
    def known(self) -> Arithmetic:
        """The model's arithmetic.

        Raises:
            SiteError: it is not known, or attention does not see all of these prompts.
        """
        known = arithmetic_of(self.model)
        if known.reach is not None and known.reach < self.prompts.tokens.shape[1]:
            raise SiteError(f"attention of this model sees {known.reach} positions, and the prompts have {self.prompts.tokens.shape[1]}")
        return known

    @cached_property
    def read(self) -> Read:
        """Where the metrics read."""
        return read_by(self.metrics, self.prompts)

    @cached_property
    def elsewhere(self) -> Sent:
        """What cut edges carry."""
        with usual_torch(), torch.no_grad():
            return sent(self.model, self.prompts, self.instead)

    def on(self, prompts: PromptSet, rows: Sequence[int]) -> "Graphs":
        """The same on these rows of the prompts; cut edges carry what they carry here."""
        part = Graphs(self.model, prompts, self.instead, self.metrics)
        part.elsewhere = self.elsewhere[:, rows]
        return part

    @usual_torch()
    def measure(self, cuts: Cuts, kinds: Kinds | None = None) -> list[Float[np.ndarray, "variant prompt *pos"]]:
        """Each metric where, in each variant, these edges are cut.

        Args:
            cuts: at every position; or, with a last dimension, at each kind of position.
            kinds: of which kind each position is, where `cuts` tells kinds apart.
        """
        known, read, n = self.known, self.read, len(self.prompts)
        out = known.w_u.new_empty(len(cuts), *read.positions.shape, known.w_u.shape[0])
        clean = known.w_u.new_empty(*read.positions.shape, known.w_u.shape[0])
        with torch.no_grad(), progress(len(cuts) * n, "circuits") as bar:
            for rows, chosen, run in self._runs(cuts, 1, kinds):
                clean[rows] = run.base.last[torch.arange(len(rows))[:, None], run.read.positions]
                out[chosen, rows] = settled(run.streams(), run.base, run.read.positions, 0)
                bar.update(len(rows) * len(run.cuts))
            out = torch.where(cuts.flatten(1).any(1).to(out.device)[:, None, None, None], out, clean)
            values = Swept(self.model, known, self.prompts, read, [[] for _ in cuts], out, clean).values(self.metrics)
        if watched():
            tell(Ran(self.prompts, _Done(self.graph, self.instead, cuts), self.metrics, values))
        return values

    @usual_torch()
    def slopes(self, cuts: Cuts | Float[Tensor, "variant receiver sender"]) -> Float[Tensor, "variant prompt receiver sender"]:
        """What cutting each edge (further) adds to the first metric, to first order around each variant; 0 where there is no edge."""
        (metric, *_), real = self.metrics, self.graph.real
        found = torch.empty(len(cuts), len(self.prompts), *real.shape, dtype=torch.float64)
        with usual_torch(), progress(len(cuts) * len(self.prompts), "slopes of circuits") as bar:
            for rows, chosen, run in self._runs(cuts, 4):
                reading = Reading(metric, run.base.prompts, run.read)
                clean = self._logits(run.base.last[torch.arange(len(rows))[:, None], run.read.positions])

                def measured(streams: Tensor, reading: Reading = reading, clean: Tensor = clean) -> Tensor:
                    values = [reading.metric(reading.of(self._logits(one)), reading.rows, reading.of(clean)) for one in streams]
                    return torch.stack([reading.reduced(one) for one in values])

                found[chosen, rows] = run.slopes(measured) * real
                bar.update(len(rows) * len(run.cuts))
        return found

    def _logits(self, streams: Tensor) -> Tensor:
        return self.known.logits(streams)

    def _runs(
        self, cuts: Cuts | Float[Tensor, "variant receiver sender"], weight: int, kinds: Kinds | None = None
    ) -> Iterator[tuple[list[int], slice, "GraphRun"]]:
        """Some prompts and some variants at a time, as many as there is room for; `weight`: how much more than a forward run each takes."""
        n = len(self.prompts)
        room = free_bytes(self.known.w_u.device)
        if heard() and self.known.w_u.device.type == "cpu":
            room = min(room, _HEARD_BYTES)
        size = max(1, room // (weight * _bytes_per_row(self.known, self.graph, self.prompts)))
        for start in range(0, n, min(size, n)):
            rows = list(range(start, min(start + size, n)))
            some, here = (self.prompts, self.read) if len(rows) == n else (self.prompts[rows], self.read.on(rows))
            base = untouched_run(self.model, self.known, some)
            at_once = max(1, size // len(rows))
            for first in range(0, len(cuts), at_once):
                chosen = slice(first, first + at_once)
                yield (
                    rows,
                    chosen,
                    GraphRun(self.known, base, self.elsewhere[:, rows], cuts[chosen], here, None if kinds is None else kinds[rows]),
                )


def _bytes_per_row(known: Arithmetic, whole: Graph, prompts: PromptSet) -> int:
    """What one variant of one prompt takes: what all senders say, and a layer's inputs."""
    layer = known.layers[0]
    widest = max(known.n_heads + 2 * known.n_kv_heads, 4) * 3 * known.w_u.shape[0]
    mlp = 0 if layer.mlp is None else 3 * layer.mlp.into.weight.shape[1]
    return prompts.tokens.shape[1] * (len(whole.senders) * known.w_u.shape[0] + widest + mlp) * known.w_u.element_size()


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
        x = self.base.layers[0].resid_pre.expand(n, -1, -1, -1)
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
