"""What a small change along each edge does to a metric, from one backward pass for all edges at once."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from mechcheck.base.device import usual_torch
from mechcheck.engine.along import arithmetic_of
from mechcheck.engine.arithmetic.layer import Norm
from mechcheck.engine.arithmetic.model import Arithmetic
from mechcheck.engine.arithmetic.rotary import rotate
from mechcheck.engine.arithmetic.work import attended
from mechcheck.engine.graphs.relevance import FrozenNorm, relevance_of
from mechcheck.engine.graphs.senders import Changes, changes, elsewhere
from mechcheck.engine.kept.layers import Kept, Layers
from mechcheck.engine.memory import free_bytes
from mechcheck.engine.reading import Reading, read_by
from mechcheck.engine.untouched import Tables, Untouched, first_stream, seen_by_all
from mechcheck.engine.untouched_cache import remember, untouched_run
from mechcheck.notation.graph import Graph, graph
from mechcheck.notation.interventions import Ablate, Patch
from mechcheck.notation.metrics import Metric
from mechcheck.prompts.prompt_set import PromptSet

if TYPE_CHECKING:
    from transformer_lens.model_bridge import TransformerBridge

Scores = Float[Tensor, "prompt receiver sender"]
Method = Literal["eap", "eap-ig-inputs", "eap-ig-activations", "relp"]
Part = tuple[Literal["input", "attn", "mlp"], int]
"""What is put between its two values while gradients are taken: the input, a layer's heads, or its MLP."""
Put = Mapping[Part, Float[Tensor, "prompt pos d_model"]]
"""What is added to such parts, whose sum is then a constant."""


@usual_torch()
def gradient_scores(
    model: "TransformerBridge", prompts: PromptSet, instead: Ablate | Patch, metric: Metric, method: Method, steps: int
) -> Scores:
    """First-order estimates of what each edge's exchange does to the metric, in float64, 0 where there is no edge.

    The change of the sender, times the gradient of the metric at what the receiver reads, summed over positions and components; the
    gradient is that of the untouched run ("eap"), its coefficients by rules of relevance propagation (`relevance_of`, "relp"), or the mean
    over runs in which the input, or each part in turn, stands at `steps` points between what it is elsewhere and what it is here.

    Args:
        model, prompts, metric: as in `run`.
        instead: what edges carry in place of what they do: a `Patch` or an `Ablate` of all senders at every position.
        method: where gradients are taken.
        steps: how many points; 1 for "eap" and "relp".
    """
    known, whole = arithmetic_of(model), graph(model)
    ruled = relevance_of(known) if method == "relp" else known
    read = read_by([metric], prompts)
    parts: list[Scores] = []
    with torch.no_grad():
        replaced = elsewhere(model, known, prompts, instead)
        size = max(1, free_bytes(known.w_u.device) // _bytes_per_prompt(known, whole, prompts))
        for start in range(0, len(prompts), size):
            rows = list(range(start, min(start + size, len(prompts))))
            some, here = (prompts, read) if len(rows) == len(prompts) else (prompts[rows], read.on(rows))
            runs = Gradients(ruled, whole, some, Reading(metric, some, here), *first_stream(model, some))
            if method == "eap":
                taken = runs.forward({})
                remember(model, known, some, taken.untouched)
                found = runs.scores(taken, changes(known, taken.untouched, replaced(some, rows)))
            else:
                base = untouched_run(model, known, some)
                apart = changes(known, base, replaced(some, rows))
                points = list(_points(whole, method, steps, apart))
                found = torch.stack([runs.scores(runs.forward(put, base.last), apart) for put in points]).mean(0)
            parts.append(found)
    return torch.cat(parts)


def _points(whole: Graph, method: Method, steps: int, apart: Changes) -> Iterator[Put]:
    """What is put where in each run that gradients are taken of."""
    if method == "relp":
        yield {}
        return
    if method == "eap-ig-inputs":
        for step in range(steps):
            yield {("input", 0): (1 - step / steps) * apart.whole(slice(0, 1))}
        return
    first = 1
    groups: list[tuple[Part, slice]] = [(("input", 0), slice(0, 1))]
    for layer in range(whole.n_layers):
        groups.append((("attn", layer), slice(first, first + whole.n_heads)))
        first += whole.n_heads
        if whole.has_mlps:
            groups.append((("mlp", layer), slice(first, first + 1)))
            first += 1
    for part, where in groups:
        for step in range(1, steps + 1):
            yield {part: (1 - step / steps) * apart.whole(where)}


def _bytes_per_prompt(known: Arithmetic, whole: Graph, prompts: PromptSet) -> int:
    """What one prompt takes: each sender's change, and what is kept for the backward pass."""
    layer, d_model = known.layers[0], known.w_u.shape[0]
    mlp = 0 if layer.mlp is None else 4 * layer.mlp.into.weight.shape[1]
    kept = len(known.layers) * (8 * d_model + mlp + 3 * known.n_heads * prompts.tokens.shape[1])
    return prompts.tokens.shape[1] * (2 * len(whole.senders) * d_model + kept) * known.w_u.element_size()


class _Read(NamedTuple):
    """What some receivers of a layer read, and its gradient."""

    norm: Norm | None
    stream: Float[Tensor, "prompt pos d_model"]
    gradient: Float[Tensor, "prompt receiver pos d_model"]
    """Of what the norm gives, or of the stream where there is none."""


class Taken(NamedTuple):
    """A run that remembers where its metric comes from."""

    places: list[Tensor | None]
    """Of each layer what attention and the MLP make of the stream, and the last stream: what gradients are taken at. None: nobody reads."""
    streams: list[Float[Tensor, "prompt pos d_model"]]
    """The streams that these read."""
    untouched: Untouched
    """The run itself, without memory."""
    total: Float[Tensor, ""]
    """The sum of all prompts' metrics."""


@dataclass(eq=False)
class Gradients:
    """Runs of some prompts in which no edge is cut, and the gradients of what receivers read in them.

    All receivers of a layer then read one stream, so that its gradient is needed at queries, keys and values alone; `GraphRun.slopes`, in
    whose runs each receiver reads a stream of its own, has to keep one for each of them.
    """

    known: Arithmetic
    graph: Graph
    prompts: PromptSet
    reading: Reading
    input: Float[Tensor, "prompt pos d_model"]
    """What enters the first layer."""
    tables: Tables | None

    def scores(self, taken: Taken, apart: Changes) -> Scores:
        """Each edge's first-order effect in a run, by what its sender would say less what it says in the untouched one."""
        real = self.graph.real
        found = torch.zeros(len(self.prompts), *real.shape, dtype=torch.float64)
        row = 0
        for read in self._reads(taken, apart.first):
            end, senders = row + read.gradient.shape[1], int(real[row].sum())  # those before it come first
            gradient = read.gradient if read.norm is None else _through(read.norm, read.stream, read.gradient)
            along = gradient.flatten(2) @ apart.values[:, :senders].flatten(2).transpose(1, 2)
            found[:, row:end, :senders] = along.cpu().double()
            row = end
        return found

    def _reads(self, taken: Taken, first: int) -> Iterator[_Read]:
        """What receivers read and its gradient, from a position on, in the order of the graph's receivers."""
        leaves = [place for place in taken.places if place is not None]
        found = iter(torch.autograd.grad(taken.total, leaves, materialize_grads=True))
        gradients = [None if place is None else next(found)[:, first:] for place in taken.places]
        streams = [stream[:, first:] for stream in taken.streams]
        for number, layer in enumerate(self.known.layers):
            qkv, read = gradients[2 * number : 2 * number + 2]
            assert qkv is not None
            heads = qkv.unflatten(-1, (-1, self.known.d_head))  # [prompt, pos, receiver, d_head]
            back = layer.qkv.weight.unflatten(1, (-1, self.known.d_head))  # [d_model, receiver, d_head]
            yield _Read(layer.ln1, streams[2 * number], torch.einsum("pnrc,drc->prnd", heads, back))
            if read is not None:
                yield _Read(layer.ln2, streams[2 * number + 1], read[:, None])
        last = gradients[-1]
        assert last is not None
        yield _Read(None, streams[-1], last[:, None])

    def forward(self, put: Put, clean: Float[Tensor, "prompt pos d_model"] | None = None) -> Taken:
        """A run in which some parts say something else.

        Args:
            put: what is added to them.
            clean: the last stream of the untouched run; by default of this one.
        """
        with torch.enable_grad():
            places, streams, kept = self._layers(put)
            last = streams[-1].detach()
            total = self._measured(streams[-1], last if clean is None else clean).sum()
        own = Untouched(self.prompts, self.tables, Layers.whole(kept), last, {}, self.known)
        return Taken(places, [stream.detach() for stream in streams], own, total)

    def _layers(self, put: Put) -> tuple[list[Tensor | None], list[Tensor], list[Kept]]:
        known = self.known
        x = (self.input + put[("input", 0)] if ("input", 0) in put else self.input).detach().requires_grad_()
        around = None if self.tables is None else (self.tables[0][:, None], self.tables[1][:, None])
        sees = seen_by_all(known, self.prompts)
        places: list[Tensor | None] = []
        streams: list[Tensor] = []
        kept: list[Kept] = []
        for number, layer in enumerate(known.layers):
            qkv = layer.qkv(known.attention_input(layer, x))
            q, k, v = known.split(qkv)
            q, k = (rotate(part, around, neighbours=known.neighbours) for part in (q, k))
            q, k, v = (part.transpose(1, 2) for part in (q, k, v))
            grouped = q.shape[1] != k.shape[1]
            attended(q, k)
            z = F.scaled_dot_product_attention(q, k, v, attn_mask=sees, is_causal=sees is None, scale=known.scale, enable_gqa=grouped)
            z = z.transpose(1, 2).flatten(2)
            attn_out = _put(layer.o(z), put.get(("attn", number)))
            entered, x = x, x + attn_out
            places.append(qkv)
            streams += [entered, entered if known.parallel else x]
            mlp_out = size = None
            if layer.mlp is None:
                places.append(None)
            else:
                read = streams[-1] + 0 if layer.ln2 is None else layer.ln2(streams[-1])  # a tensor of its own, that nobody else reads
                places.append(read)
                neurons = layer.mlp.neurons(read)
                mlp_out, size = _put(layer.mlp.out(neurons), put.get(("mlp", number))), neurons.detach().norm(dim=-1)
                x = x + mlp_out
            parts = (entered, k, v, z, attn_out, mlp_out, size)
            kept.append(Kept(*(None if part is None else part.detach() for part in parts)))  # type: ignore[arg-type]
        return [*places, x], [*streams, x], kept

    def _measured(self, last: Tensor, clean: Tensor) -> Float[Tensor, " prompt"]:
        """The metric of each prompt, which remembers where it comes from."""
        reading, prompt = self.reading, torch.arange(len(last))[:, None]
        logits = self.known.logits(last[prompt, reading.read.positions])
        before = self.known.logits(clean[prompt, reading.read.positions]) if reading.metric.needs_clean else None
        values = reading.metric(reading.of(logits), reading.rows, None if before is None else reading.of(before))
        return reading.reduced(values)


def _put(said: Tensor, more: Tensor | None) -> Tensor:
    """What a part says; with something added it is a constant, as what is put there does not depend on what it reads."""
    return said if more is None else said.detach() + more


def _through(
    norm: Norm, stream: Float[Tensor, "prompt pos d_model"], gradient: Float[Tensor, "prompt receiver pos d_model"]
) -> Float[Tensor, "prompt receiver pos d_model"]:
    """The gradients at what a norm reads, of several gradients at what it gives.

    For y = (x - mean(x)) / size * w it is (g*w - mean(g*w) - y' mean(g*w*y')) / size, with y' = (x - mean(x)) / size; of an RMSNorm
    the same without its means, and where the size is a constant without the last term.
    """
    centred = stream if norm.rms else stream - stream.mean(-1, keepdim=True)
    size = (centred.square().mean(-1, keepdim=True) + norm.eps).sqrt()
    unit = (centred / size)[:, None]
    weighted = gradient / size[:, None] if norm.weight is None else gradient * (norm.weight / size)[:, None]
    found = weighted if isinstance(norm, FrozenNorm) else weighted - unit * (weighted * unit).mean(-1, keepdim=True)
    return found if norm.rms else found - weighted.mean(-1, keepdim=True)
