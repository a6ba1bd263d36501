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
from mechcheck.engine.graphs.relevance import FrozenNorm, relevance_of
from mechcheck.engine.graphs.runs import Sent, sent
from mechcheck.engine.memory import free_bytes
from mechcheck.engine.reading import Reading, read_by
from mechcheck.engine.untouched import Untouched, seen_by_all
from mechcheck.engine.untouched_cache import untouched_run
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
        elsewhere = sent(model, prompts, instead)
        size = max(1, free_bytes(known.w_u.device) // _bytes_per_prompt(known, whole, prompts))
        for start in range(0, len(prompts), size):
            rows = list(range(start, min(start + size, len(prompts))))
            some, here = (prompts, read) if len(rows) == len(prompts) else (prompts[rows], read.on(rows))
            base = untouched_run(model, known, some)
            runs = Gradients(ruled, whole, base, Reading(metric, some, here))
            own = runs.own()
            changes = elsewhere[:, rows] - own
            found = torch.zeros(len(rows), *whole.real.shape, dtype=torch.float64)
            points = list(_points(whole, method, steps, own, elsewhere[:, rows]))
            for put in points:
                found += runs.scores(changes, put)
            parts.append(found / len(points))
    return torch.cat(parts) * whole.real


def _points(whole: Graph, method: Method, steps: int, own: Sent, elsewhere: Sent) -> Iterator[Mapping[Part, Tensor]]:
    """What is put where in each run that gradients are taken of."""
    if method in ("eap", "relp"):
        yield {}
        return
    if method == "eap-ig-inputs":
        for step in range(steps):
            yield {("input", 0): elsewhere[0] + step / steps * (own[0] - elsewhere[0])}
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
            yield {part: (elsewhere[where] + step / steps * (own[where] - elsewhere[where])).sum(0)}


def _bytes_per_prompt(known: Arithmetic, whole: Graph, prompts: PromptSet) -> int:
    """What one prompt takes: each sender's change, and what is kept for the backward pass."""
    layer, d_model = known.layers[0], known.w_u.shape[0]
    mlp = 0 if layer.mlp is None else 4 * layer.mlp.into.weight.shape[1]
    kept = len(known.layers) * (8 * d_model + mlp + 3 * known.n_heads * prompts.tokens.shape[1])
    return prompts.tokens.shape[1] * (3 * len(whole.senders) * d_model + kept) * known.w_u.element_size()


class _Read(NamedTuple):
    """What some receivers of a layer read, and its gradient."""

    norm: Norm | None
    stream: Float[Tensor, "prompt pos d_model"]
    gradient: Float[Tensor, "prompt receiver pos d_model"]
    """Of what the norm gives, or of the stream where there is none."""


@dataclass(eq=False)
class Gradients:
    """Runs of some prompts in which no edge is cut, and the gradients of what receivers read in them.

    All receivers of a layer then read one stream, so that its gradient is needed at queries, keys and values alone; `GraphRun.slopes`, in
    whose runs each receiver reads a stream of its own, has to keep one for each of them.
    """

    known: Arithmetic
    graph: Graph
    base: Untouched
    reading: Reading

    def own(self) -> Sent:
        """What each sender says in the untouched run."""
        known, said = self.known, []
        for kept, layer in zip(self.base.layers, known.layers, strict=True):
            heads = kept.z.unflatten(-1, (known.n_heads, known.d_head)).permute(2, 0, 1, 3).flatten(1, 2)
            said.append((heads @ layer.o.weight.unflatten(0, (known.n_heads, known.d_head))).view(known.n_heads, *kept.resid_pre.shape))
            said += [] if kept.mlp_out is None else [kept.mlp_out[None]]
        return torch.cat([self.base.layers[0].resid_pre[None], *said])

    def scores(self, changes: Sent, put: Mapping[Part, Tensor]) -> Scores:
        """Each edge's first-order effect in the run in which some part is put elsewhere."""
        out: list[Tensor] = []
        by_prompt = changes.transpose(0, 1)  # [prompt, sender, pos, d_model]
        for reads in self._reads(put):
            out.append(_along(reads, by_prompt))
        return torch.cat(out, dim=1)

    def _reads(self, put: Mapping[Part, Tensor]) -> Iterator[_Read]:
        """What receivers read and its gradient, in the order of the graph's receivers."""
        known = self.known
        with torch.enable_grad():
            streams, places = self._forward(put)
            total = self._measured(streams[-1]).sum()
        leaves = [place for place in places if place is not None]
        found = iter(torch.autograd.grad(total, leaves, materialize_grads=True))
        gradients = [None if place is None else next(found) for place in places]
        for number, layer in enumerate(known.layers):
            qkv, read = gradients[2 * number : 2 * number + 2]
            assert qkv is not None
            heads = qkv.unflatten(-1, (-1, known.d_head)).transpose(1, 2)  # [prompt, receiver, pos, d_head]
            back = layer.qkv.weight.T.unflatten(0, (-1, known.d_head))  # [receiver, d_head, d_model]
            yield _Read(layer.ln1, streams[2 * number].detach(), heads @ back)
            if read is not None:
                yield _Read(layer.ln2, streams[2 * number + 1].detach(), read[:, None])
        last = gradients[-1]
        assert last is not None
        yield _Read(None, streams[-1].detach(), last[:, None])

    def _forward(self, put: Mapping[Part, Tensor]) -> tuple[list[Tensor], list[Tensor | None]]:
        """The streams that attention and MLPs read, and the last; and of each what its gradient is taken at, None where nobody reads."""
        known, base = self.known, self.base
        x = put.get(("input", 0), base.layers[0].resid_pre).detach().requires_grad_()
        around = None if base.tables is None else (base.tables[0][:, None], base.tables[1][:, None])
        sees = seen_by_all(known, base.prompts)
        streams: list[Tensor] = []
        places: list[Tensor | None] = []
        for number, layer in enumerate(known.layers):
            qkv = layer.qkv(known.attention_input(layer, x))
            streams.append(x)
            places.append(qkv)
            q, k, v = known.split(qkv)
            q, k = (rotate(part, around, neighbours=known.neighbours) for part in (q, k))
            q, k, v = (part.transpose(1, 2) for part in (q, k, v))
            grouped = q.shape[1] != k.shape[1]
            z = F.scaled_dot_product_attention(q, k, v, attn_mask=sees, is_causal=sees is None, scale=known.scale, enable_gqa=grouped)
            attn_out = layer.o(z.transpose(1, 2).flatten(2))
            instead = put.get(("attn", number))
            if instead is not None:
                attn_out = instead if layer.o.bias is None else instead + layer.o.bias
            entered, x = x, x + attn_out
            streams.append(entered if known.parallel else x)
            if layer.mlp is None:
                places.append(None)
                continue
            read = streams[-1] if layer.ln2 is None else layer.ln2(streams[-1])
            read = read if layer.ln2 is not None else read + 0  # a tensor of its own, whose gradient is that of this reader alone
            places.append(read)
            x = x + put.get(("mlp", number), layer.mlp.out(layer.mlp.neurons(read)))
        streams.append(x)
        places.append(x)
        return streams, places

    def _measured(self, last: Tensor) -> Float[Tensor, " prompt"]:
        """The metric of each prompt, which remembers where it comes from."""
        reading, prompt = self.reading, torch.arange(len(last))[:, None]
        logits = self.known.logits(last[prompt, reading.read.positions])
        clean = self.known.logits(self.base.last[prompt, reading.read.positions]) if reading.metric.needs_clean else None
        values = reading.metric(reading.of(logits), reading.rows, None if clean is None else reading.of(clean))
        return reading.reduced(values)


def _along(read: _Read, changes: Float[Tensor, "prompt sender pos d_model"]) -> Scores:
    """The senders' changes times the gradient at the stream, summed over positions and components: back through the norm by hand.

    For y = (x - mean(x)) / size * w the gradient at x is (g*w - mean(g*w) - y' mean(g*w*y')) / size, with y' = (x - mean(x)) / size, of
    which only the first term needs each receiver's gradient in full; the last is not there where the size is a constant.
    """
    gradient, norm = read.gradient, read.norm
    if norm is None:
        return (gradient.flatten(2) @ changes.flatten(2).transpose(1, 2)).cpu().double()
    centred = read.stream if norm.rms else read.stream - read.stream.mean(-1, keepdim=True)
    size = (centred.square().mean(-1, keepdim=True) + norm.eps).sqrt()
    unit = centred / size
    weighted = gradient / size[:, None] if norm.weight is None else gradient * (norm.weight / size)[:, None]
    found = weighted.flatten(2) @ changes.flatten(2).transpose(1, 2)
    if not isinstance(norm, FrozenNorm):
        found = found - (weighted * unit[:, None]).mean(-1) @ (changes * unit[:, None]).sum(-1).transpose(1, 2)
    if not norm.rms:
        found = found - weighted.mean(-1) @ changes.sum(-1).transpose(1, 2)
    return found.cpu().double()
