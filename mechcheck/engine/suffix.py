"""The suffix runner: many interventions at once, computing only what each of them can change.

A row is one variant on one prompt. It joins the batch at the first place that its interventions touch, with the untouched
run's activations (prefix reuse); from there on it has only the positions from the first one that can change up to END, and
sees earlier ones through the untouched run's keys and values (position reuse). In the last layer only END is computed.
"""

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from mechcheck.engine.arithmetic import Arithmetic, Layer, rotate
from mechcheck.engine.hooks import Edit, part_of
from mechcheck.engine.untouched import Kept, Untouched
from mechcheck.notation.sites import Kind
from mechcheck.prompts.prompt_set import END, PromptSet

Rows = Float[Tensor, "prompt variant pos d"]
Positions = Int[Tensor, "prompt pos"]

# Where in a block a row can join: at its input, at the heads' output, between attention and MLP, after the MLP, at its output.
_INPUT, _Z, _BETWEEN, _MLP_OUT, _OUTPUT = range(5)
_JOINS: dict[Kind, int] = {
    **dict.fromkeys(("resid_pre", "q", "k", "v"), _INPUT),
    **dict.fromkeys(("head", "attn_out"), _Z),
    "neuron": _BETWEEN,
    "mlp_out": _MLP_OUT,
    "resid_post": _OUTPUT,
}


class Variant(NamedTuple):
    """One set of edits, and where it begins."""

    number: int
    """Which of the sweep's variants this is."""
    edits: tuple[Edit, ...]
    layer: int
    stage: int
    start: Int[Tensor, " prompt"]
    """The first position in each prompt that can change."""


def serves(arithmetic: Arithmetic, edits: Sequence[Edit]) -> bool:
    """Whether this runner can do the edits: none that exchanges positions, none of a place that an encoder's blocks do not have."""
    missing = ("attn_out", "mlp_out", "neuron") if arithmetic.post_norm else ()
    return all(edit.order is None and edit.site.kind not in missing for edit in edits)


def variant(arithmetic: Arithmetic, prompts: PromptSet, number: int, edits: Sequence[Edit]) -> Variant:
    """Where the edits begin."""
    layer = min(edit.site.layer for edit in edits)
    kinds = {edit.site.kind for edit in edits if edit.site.layer == layer}
    stage = min(_JOINS[kind] for kind in kinds)
    if arithmetic.parallel and "neuron" in kinds:
        stage = _INPUT  # the MLP reads the block's input there
    starts = torch.stack([_start(arithmetic, prompts, edit) for edit in edits])
    return Variant(number, tuple(edits), layer, stage, starts.amin(0))


def _start(arithmetic: Arithmetic, prompts: PromptSet, edit: Edit) -> Int[Tensor, " prompt"]:
    if not arithmetic.causal:
        return torch.zeros_like(prompts.lengths)
    if edit.site.at is not None:
        return prompts.position(edit.site.at)
    return torch.zeros_like(prompts.lengths) if edit.start is None else edit.start


class Window(NamedTuple):
    """The positions that are computed: from each prompt's start to its END."""

    positions: Int[Tensor, "prompt pos"]
    """Absolute; what lies beyond a prompt's END is computed too, and never seen from END."""
    end: Int[Tensor, " prompt"]
    """Where in the window END is."""
    past: int
    """How many earlier positions the longest prompt has."""
    sees_past: Bool[Tensor, "prompt 1 1 1 1 past"] | None
    """None: all of them."""
    sees: Bool[Tensor, "prompt 1 1 1 pos pos"]
    """[query, key] within the window."""


def window(arithmetic: Arithmetic, prompts: PromptSet, start: Int[Tensor, " prompt"], device: torch.device) -> Window:
    """The window of the rows that begin at `start`."""
    end, width = prompts.position(END), prompts.tokens.shape[1]
    if not arithmetic.causal:
        positions = torch.arange(width).expand(len(prompts), -1)
        sees = (positions < prompts.lengths[:, None])[:, None].expand(-1, width, -1)
        return Window(positions.to(device), end.to(device), 0, None, sees[:, None, None, None].to(device))
    start = torch.minimum(start, end)
    steps = torch.arange(int((end - start).max()) + 1)
    past = int(start.max())
    earlier = torch.arange(past) < start[:, None]
    return Window(
        (start[:, None] + steps).to(device),
        (end - start).to(device),
        past,
        None if bool(earlier.all()) else earlier[:, None, None, None, None].to(device),
        (steps[None, :] <= steps[:, None])[None, None, None, None].to(device),
    )


@dataclass(eq=False)
class Batch:
    """Variants that share a window, sorted by where they join; the rows of variant i are [:, i]."""

    base: Untouched
    variants: Sequence[Variant]
    window: Window

    def __post_init__(self) -> None:
        self._edits: dict[tuple[Kind, int], list[tuple[int, Edit]]] = defaultdict(list)
        for row, one in enumerate(self.variants):
            for edit in one.edits:
                self._edits[edit.site.kind, edit.site.layer].append((row, edit))

    def run(self) -> Float[Tensor, "variant prompt d_model"]:
        """The stream at END after the last layer, under each variant."""
        resid_pre = self.base.layers[0].resid_pre
        x = resid_pre.new_empty(len(resid_pre), 0, self.window.positions.shape[1], resid_pre.shape[-1])
        for number in range(self.variants[0].layer, len(self.base.layers)):
            x = self._block(number, x)
        return x[:, :, 0].transpose(0, 1)

    def _block(self, number: int, x: Rows) -> Rows:
        """One layer: [prompt, variant, pos, d_model], with END as the only position after the last layer."""
        arithmetic, layer, kept = self.base.arithmetic, self.base.arithmetic.layers[number], self.base.layers[number]
        last = number == len(self.base.layers) - 1
        end = self.window.end[:, None]
        at = self.window.positions.gather(1, end) if last else self.window.positions

        def join(rows: Rows, stage: int, base: Callable[[], Tensor]) -> Rows:
            return self._join(rows, number, stage, base, at)

        x = self._join(x, number, _INPUT, lambda: kept.resid_pre, self.window.positions)
        self._edit(x, "resid_pre", number, self.window.positions)
        z = self._attention(number, layer, kept, x, at)
        x = pick(x, end) if last else x
        entered = x
        z, x = join(z, _Z, lambda: kept.z), join(x, _Z, lambda: kept.resid_pre)
        self._edit(z.unflatten(-1, (-1, arithmetic.d_head)), "head", number, at)
        attn_out = layer.o(z)
        self._edit(attn_out, "attn_out", number, at)
        between = arithmetic.after_attention(layer, x, attn_out)
        if not arithmetic.parallel:
            entered = between = join(between, _BETWEEN, lambda: kept.resid_pre + kept.attn_out)
        neurons = arithmetic.neurons(layer, entered)
        self._edit(neurons, "neuron", number, at)
        mlp_out = layer.mlp.out(neurons)
        if arithmetic.parallel:  # the MLP does not see what a row that joined at z changes in this layer
            mlp_out = join(mlp_out, _Z, lambda: kept.mlp_out)
        between, mlp_out = join(between, _MLP_OUT, lambda: kept.resid_pre + kept.attn_out), join(mlp_out, _MLP_OUT, lambda: kept.mlp_out)
        self._edit(mlp_out, "mlp_out", number, at)
        out = join(arithmetic.after_mlp(layer, between, mlp_out), _OUTPUT, lambda: self.base.of("resid_post", number))
        self._edit(out, "resid_post", number, at)
        return out

    def _attention(self, number: int, layer: Layer, kept: Kept, x: Rows, at: Positions) -> Rows:
        """The heads' output z at `at` (all positions of the window, or END), for rows that hold all positions."""
        arithmetic, everywhere = self.base.arithmetic, self.window.positions
        n_queries = arithmetic.n_heads * arithmetic.d_head
        if not x.shape[1]:
            return x.new_empty(len(x), 0, at.shape[1], n_queries)
        normed = arithmetic.attention_input(layer, x)
        if at is everywhere:
            sees, (q, k, v) = self.window.sees, arithmetic.split(layer.qkv(normed))
        else:
            row = torch.arange(len(x), device=x.device) if len(self.window.sees) > 1 else torch.zeros_like(self.window.end)
            sees = self.window.sees[row, :, :, :, self.window.end][:, :, :, :, None]
            q = layer.qkv.columns(0, n_queries)(pick(normed, self.window.end[:, None]))
            q = q.unflatten(-1, (arithmetic.n_heads, -1))
            k, v = layer.qkv.columns(n_queries, None)(normed).unflatten(-1, (2, arithmetic.n_kv_heads, -1)).unbind(-3)
        self._edit(q, "q", number, at)
        self._edit(k, "k", number, everywhere)
        self._edit(v, "v", number, everywhere)
        past = (kept.k[:, :, : self.window.past], kept.v[:, :, : self.window.past])
        q, k = rotate(q, self._tables(at)), rotate(k, self._tables(everywhere))
        return attend(q * arithmetic.scale, k, v, past, sees, self.window.sees_past)

    def _tables(self, at: Positions) -> tuple[Tensor, Tensor] | None:
        """Rotary tables at the positions: [prompt, 1, pos, 1, rotary]."""
        if self.base.tables is None:
            return None
        cos, sin = self.base.tables
        at = at.clamp(max=len(cos) - 1)
        return cos[at][:, None, :, None], sin[at][:, None, :, None]

    def _join(self, rows: Rows, number: int, stage: int, base: Callable[[], Tensor], at: Positions) -> Rows:
        """Add the variants that begin here, with the untouched run's activations."""
        new = sum((v.layer, v.stage) == (number, stage) for v in self.variants)
        if not new:
            return rows
        whole = base()
        found = whole[torch.arange(len(whole), device=whole.device)[:, None], at.clamp(max=whole.shape[1] - 1)]
        return torch.cat([rows, found[:, None].expand(-1, new, -1, -1)], dim=1)

    def _edit(self, x: Tensor, kind: Kind, number: int, at: Positions) -> None:
        """Apply the edits of one kind in one layer, in place."""
        for row, edit in self._edits.get((kind, number), ()):
            part = part_of(x[:, row], edit.site)
            new = edit.new_value(part, self._value(edit, at, part))
            if edit.site.at is not None:
                hit = at == self.base.prompts.position(edit.site.at).to(at.device)[:, None]
                new = torch.where(hit[..., None], new, part)
            part.copy_(new)

    def _value(self, edit: Edit, at: Positions, like: Tensor) -> Tensor | None:
        if edit.value is None:
            return None
        if edit.site.at is not None:
            return edit.value[:, None]
        value = edit.value.to(like)
        return value[torch.arange(len(at), device=at.device)[:, None], at.clamp(max=value.shape[1] - 1)]


def pick(rows: Rows, at: Int[Tensor, "prompt one"]) -> Rows:
    """One position of the window per prompt: [prompt, variant, 1, d]."""
    return rows[torch.arange(len(rows), device=rows.device), :, at[:, 0]][:, :, None]


def attend(
    q: Float[Tensor, "prompt variant query head d_head"],
    k: Float[Tensor, "prompt variant pos kv_head d_head"],
    v: Float[Tensor, "prompt variant pos kv_head d_head"],
    past: tuple[Float[Tensor, "prompt kv_head past d_head"], Float[Tensor, "prompt kv_head past d_head"]],
    sees: Tensor,
    sees_past: Tensor | None,
) -> Float[Tensor, "prompt variant query head*d_head"]:
    """Attention of each row to its own positions, and to earlier ones that all variants of a prompt share."""
    n, variants, queries, n_heads, _ = q.shape
    shared = k.shape[3]
    q = q.unflatten(3, (shared, n_heads // shared)).permute(0, 3, 4, 1, 2, 5)  # [prompt, kv_head, head of it, variant, query, d_head]
    scores = q @ k.permute(0, 3, 1, 4, 2)[:, :, None]
    scores = scores.masked_fill(~sees, -torch.inf)
    length = past[0].shape[2]
    if length:
        earlier = (q.reshape(n, shared, -1, q.shape[-1]) @ past[0].transpose(-1, -2)).view(*scores.shape[:-1], length)
        if sees_past is not None:
            earlier = earlier.masked_fill(~sees_past, -torch.inf)
        scores = torch.cat([earlier, scores], dim=-1)
    pattern = scores.softmax(-1, dtype=torch.promote_types(scores.dtype, torch.float32)).to(v.dtype)
    z = pattern[..., length:] @ v.permute(0, 3, 1, 2, 4)[:, :, None]
    if length:
        z += (pattern[..., :length].reshape(n, shared, -1, length) @ past[1]).view_as(z)
    return z.permute(0, 3, 4, 1, 2, 5).reshape(n, variants, queries, -1)
