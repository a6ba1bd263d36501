"""The suffix runner: many interventions at once, computing only what each of them can change.

A row is one variant on one prompt. It joins the batch at the first place that its interventions touch, with the untouched
run's activations (prefix reuse); from there on it has only the positions from the first one that can change up to the last one
that is read (END, unless a metric says otherwise), and sees earlier ones through the untouched run's keys and values (position
reuse). In the last layer only what is read is computed.
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from mechcheck.engine.arithmetic.rotary import rotate
from mechcheck.engine.arithmetic.work import multiplied
from mechcheck.engine.edit import Edit, part_of, put_back
from mechcheck.engine.untouched import Untouched
from mechcheck.engine.variants import Brought, Join, Variant
from mechcheck.engine.window import Place, Rows, Window
from mechcheck.notation.sites import Kind


@dataclass(eq=False)
class Batch:
    """Variants that share a window, sorted by where they join; the rows of variant i are [:, i]."""

    base: Untouched
    variants: Sequence[Variant]
    window: Window

    def __post_init__(self) -> None:
        self._joining = Counter((one.layer, one.join) for one in self.variants)
        self._edits: dict[tuple[Kind, int], list[tuple[int, Edit]]] = defaultdict(list)
        for row, one in enumerate(self.variants):
            for edit in one.edits:
                self._edits[edit.site.kind, edit.site.layer].append((row, edit))

    def run(self) -> Float[Tensor, "variant prompt read d_model"]:
        """The stream where it is read, after the last layer, under each variant."""
        resid_pre, everywhere = self.base.layers.entering(0), self.window.everywhere
        stream = resid_pre.new_empty(len(resid_pre), 0, everywhere.positions.shape[1], resid_pre.shape[-1])
        last = len(self.base.layers) - 1
        for layer in range(self.variants[0].layer, last):
            stream = self._block(layer, stream, leaving=everywhere)
        return self._block(last, stream, leaving=self.window.leaving).transpose(0, 1)

    def _block(self, number: int, stream: Rows, leaving: Place) -> Rows:
        """One layer, as `Join` draws it.

        What enters has every position of the window, for the heads read keys and values everywhere; what the heads write, and all
        behind it, has only the positions that leave.
        """
        arithmetic, layer, entering = self.base.arithmetic, self.base.arithmetic.layers[number], self.window.everywhere
        stream = self._joined(number, entering, Join.INPUT, "stream", stream)
        self._edit(number, entering, "resid_pre", stream)
        z = self._attention(number, stream, leaving)

        joined, edit = partial(self._joined, number, leaving), partial(self._edit, number, leaving)
        stream = entered = leaving.of(stream)  # the turn: in the last layer what is read, before it all that entered
        z, stream = joined(Join.HEADS, "z", z), joined(Join.HEADS, "stream", stream)
        edit("head", z.unflatten(-1, (-1, arithmetic.d_head)))
        attn_out = layer.o(z)
        edit("attn_out", attn_out)
        stream = joined(Join.BETWEEN, "stream", arithmetic.after_attention(layer, stream, attn_out))
        edit("resid_mid", stream)

        if layer.mlp is not None:
            neurons = arithmetic.neurons(layer, entered if arithmetic.parallel else stream)
            edit("neuron", neurons)
            mlp_out = joined(Join.HEADS, "mlp_out", layer.mlp.out(neurons))
            stream, mlp_out = joined(Join.MLP_OUT, "stream", stream), joined(Join.MLP_OUT, "mlp_out", mlp_out)
            edit("mlp_out", mlp_out)
            stream = arithmetic.after_mlp(layer, stream, mlp_out)
        stream = joined(Join.OUTPUT, "stream", stream)
        edit("resid_post", stream)
        return stream

    def _attention(self, number: int, stream: Rows, leaving: Place) -> Rows:
        """The heads' output z at the positions that leave: [prompt, variant, pos, head*d_head]."""
        arithmetic, kept, everywhere = self.base.arithmetic, self.base.layers[number], self.window.everywhere
        if not stream.shape[1]:
            return stream.new_empty(len(stream), 0, leaving.positions.shape[1], arithmetic.n_heads * arithmetic.d_head)
        q, k, v = self._queries_keys_values(number, stream, leaving)
        self._edit(number, leaving, "q", q)
        self._edit(number, everywhere, "k", k)
        self._edit(number, everywhere, "v", v)
        past = (kept.k[:, :, : self.window.past], kept.v[:, :, : self.window.past])
        turned = partial(rotate, neighbours=arithmetic.neighbours)
        q, k = turned(q, self._tables(leaving)), turned(k, self._tables(everywhere))
        patterns = self._edits.get(("pattern", number), ())
        changed = partial(self._change_patterns, patterns, leaving) if patterns else None
        return attend(q * arithmetic.scale, k, v, past, leaving.sees, self.window.sees_past, changed)

    def _queries_keys_values(self, number: int, stream: Rows, leaving: Place) -> tuple[Tensor, Tensor, Tensor]:
        """Queries where they leave, keys and values everywhere: [prompt, variant, pos, head or kv_head, d_head]."""
        arithmetic, layer = self.base.arithmetic, self.base.arithmetic.layers[number]
        normed = arithmetic.attention_input(layer, stream)
        if leaving is self.window.everywhere:
            return arithmetic.split(layer.qkv(normed))
        n_queries = arithmetic.n_heads * arithmetic.d_head
        q = layer.qkv.columns(0, n_queries)(leaving.of(normed)).unflatten(-1, (arithmetic.n_heads, -1))
        k, v = layer.qkv.columns(n_queries, None)(normed).unflatten(-1, (2, arithmetic.n_kv_heads, -1)).unbind(-3)
        return q, k, v

    def _tables(self, place: Place) -> tuple[Tensor, Tensor] | None:
        """Rotary tables at the positions: [prompt, 1, pos, 1, rotary]."""
        if self.base.tables is None:
            return None
        cos, sin = self.base.tables
        at = place.positions.clamp(max=len(cos) - 1)
        return cos[at][:, None, :, None], sin[at][:, None, :, None]

    def _joined(self, number: int, place: Place, join: Join, what: Brought, rows: Rows) -> Rows:
        """The rows, and behind them those of the variants that begin here, with what they bring of the untouched run."""
        new = self._joining[number, join]
        brought = join.brings(what, self.base, number) if new else None
        if brought is None:
            return rows
        return torch.cat([rows, place.read(brought)[:, None].expand(-1, new, -1, -1)], dim=1)

    def _edit(self, number: int, place: Place, kind: Kind, x: Tensor) -> None:
        """Apply the edits of one kind in one layer, in place."""
        for row, edit in self._edits.get((kind, number), ()):
            part = part_of(x[:, row], edit.site)
            new = edit.new_value(part, self._value(edit, place, part))
            part.copy_(self._where_it_is(edit, place, new, part))
            if edit.site.together:
                put_back(x[:, row], part)

    def _where_it_is(self, edit: Edit, place: Place, new: Tensor, old: Tensor) -> Tensor:
        """The new values at the positions that an edit names, the old ones elsewhere."""
        if edit.site.at is None:
            return new
        if edit.where is not None:
            hit = place.read(edit.where[..., None].to(old.device))[..., 0]
        else:
            hit = place.positions == self.base.prompts.position(edit.site.at).to(old.device)[:, None]
        return torch.where(hit[..., None], new, old)

    def _change_patterns(self, edits: Sequence[tuple[int, Edit]], place: Place, pattern: Tensor) -> None:
        """Apply edits of patterns, [prompt, kv_head, head of it, variant, query, key], in place."""
        past, every = torch.arange(self.window.past, device=pattern.device), self.window.everywhere.positions
        keys = torch.cat([past.expand(len(every), -1), every], dim=1)  # [prompt, key], absolute
        for row, edit in edits:
            assert edit.site.index is not None
            group = pattern.shape[2]
            part = pattern[:, edit.site.index // group, edit.site.index % group, row]  # [prompt, query, key]
            width = self.base.prompts.tokens.shape[1]
            at = keys.clamp(max=width - 1)
            value = cut = None
            if edit.value is not None:
                whole = edit.value.to(part)
                rows = whole[:, None] if edit.single else place.read(whole)
                # A key that stands twice, among earlier ones and in the window, or not at all, is attended to once, or not.
                value = rows.gather(-1, at[:, None].expand(-1, rows.shape[1], -1)) * self._seen(place, keys, width)
            if edit.cut is not None:
                cut = edit.cut.to(part.device).gather(1, at)[:, None]
            part.copy_(self._where_it_is(edit, place, edit.new_value(part, value, cut), part))

    def _seen(self, place: Place, keys: Tensor, width: int) -> Bool[Tensor, "prompt query key"]:
        """Which keys a query has, among the earlier ones and in the window."""
        sees = place.sees[:, 0, 0, 0].expand(len(keys), place.positions.shape[1], -1)
        earlier = keys.new_ones(len(keys), 1, self.window.past, dtype=torch.bool)
        if self.window.sees_past is not None:
            earlier = self.window.sees_past[:, 0, 0, 0]
        return torch.cat([earlier.expand(-1, sees.shape[1], -1), sees], dim=-1)

    def _value(self, edit: Edit, place: Place, like: Tensor) -> Tensor | None:
        """What the edit puts in at the place: [prompt, pos, d], or [prompt, 1, d] where it names a position; None: zero."""
        if edit.value is None:
            return None
        return edit.value[:, None] if edit.single else place.read(edit.value.to(like))


def attend(
    q: Float[Tensor, "prompt variant query head d_head"],
    k: Float[Tensor, "prompt variant pos kv_head d_head"],
    v: Float[Tensor, "prompt variant pos kv_head d_head"],
    past: tuple[Float[Tensor, "prompt kv_head past d_head"], Float[Tensor, "prompt kv_head past d_head"]],
    sees: Bool[Tensor, "prompt 1 1 1 query pos"],
    sees_past: Bool[Tensor, "prompt 1 1 1 1 past"] | None,
    change: Callable[[Tensor], None] | None = None,
) -> Float[Tensor, "prompt variant query head*d_head"]:
    """Attention of each row to its own positions, and to earlier ones that all variants of a prompt share; `change` edits the pattern."""
    n, variants, queries, n_heads, _ = q.shape
    shared = k.shape[3]
    multiplied(4 * q.numel() * (k.shape[2] + past[0].shape[2]), q)
    q = q.unflatten(3, (shared, n_heads // shared)).permute(0, 3, 4, 1, 2, 5)  # [prompt, kv_head, head of it, variant, query, d_head]
    scores = q @ k.permute(0, 3, 1, 4, 2)[:, :, None]
    scores = scores.masked_fill(~sees, -torch.inf)
    length = past[0].shape[2]
    if length:
        earlier = (q.reshape(n, shared, -1, q.shape[-1]) @ past[0].transpose(-1, -2)).view(*scores.shape[:-1], length)
        if sees_past is not None:
            earlier = earlier.masked_fill(~sees_past, -torch.inf)
        scores = torch.cat([earlier, scores], dim=-1)
    pattern = scores.softmax(-1, dtype=torch.promote_types(scores.dtype, torch.float32))
    if change is not None:
        change(pattern)
    pattern = pattern.to(v.dtype)
    own, v = pattern[..., length:], v.permute(0, 3, 1, 2, 4)[:, :, None]
    z = own * v if v.shape[-2] == 1 else own @ v  # with one position there is nothing to sum up, and a product of matrices is slow
    if length:
        z += (pattern[..., :length].reshape(n, shared, -1, length) @ past[1]).view_as(z)
    return z.permute(0, 3, 4, 1, 2, 5).reshape(n, variants, queries, -1)
