"""What the senders of a graph say in a run, and what they say instead."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from mechcheck.engine.along import arithmetic_of, written_to_stream
from mechcheck.engine.arithmetic.model import Arithmetic
from mechcheck.engine.edit import Edit
from mechcheck.engine.edits import capture_all, edits_of
from mechcheck.engine.sweep import capture_fast
from mechcheck.engine.untouched import Untouched
from mechcheck.notation.graph import graph
from mechcheck.notation.interventions import Ablate, Patch
from mechcheck.notation.sites import Sites
from mechcheck.prompts.prompt_set import PromptSet

if TYPE_CHECKING:
    from transformer_lens.model_bridge import TransformerBridge

Sent = Float[Tensor, "sender prompt pos d_model"]


def senders_of(model: "TransformerBridge") -> Sites:
    """The senders of the model's graph, to be ablated or patched."""
    return Sites(graph(model).senders)


def said(known: Arithmetic, base: Untouched) -> Sent:
    """What each sender adds to the stream in a run."""
    weights = [layer.o.weight.unflatten(0, (known.n_heads, known.d_head)) for layer in known.layers]
    found = []
    for kept, weight in zip(base.layers, weights, strict=True):
        heads = kept.z.unflatten(-1, (known.n_heads, known.d_head)).permute(2, 0, 1, 3).flatten(1, 2)
        found.append((heads @ weight).view(known.n_heads, *kept.resid_pre.shape))
        found += [] if kept.mlp_out is None else [kept.mlp_out[None]]
    return torch.cat([base.layers.entering(0)[None], *found])


def sent(model: "TransformerBridge", prompts: PromptSet, instead: Ablate | Patch) -> Sent:
    """What each sender says where it is replaced, as it adds to the stream.

    Args:
        model, prompts: as in `run`.
        instead: by what; its sites are those of the graph's senders.
    """
    known = arithmetic_of(model)
    shape = (*prompts.tokens.shape, known.w_u.shape[0])
    return torch.stack([_in_stream(known, edit, shape) for edit in _edits(model, known, prompts, instead)])


def elsewhere(
    model: "TransformerBridge", known: Arithmetic, prompts: PromptSet, instead: Ablate | Patch
) -> Callable[[PromptSet, Sequence[int]], list[Edit]]:
    """What replaces each sender on some of the prompts, given as a set of their own and as rows of the whole.

    What is patched is run with these prompts, from where the two differ; what other prompts decide, as a mean, is asked for once.
    """
    if isinstance(instead, Patch):
        source = instead.source
        return lambda some, rows: _edits(model, known, some, replace(instead, source=None if source is None else source[rows]))
    whole = _edits(model, known, prompts, instead)
    return lambda _, rows: [edit.on(rows) for edit in whole]


def _edits(model: "TransformerBridge", known: Arithmetic, prompts: PromptSet, instead: Ablate | Patch) -> list[Edit]:
    """One for each sender, in the graph's order."""
    captures = capture_all(model, prompts, [[instead]], partial(capture_fast, known, prompts))
    edits = {edit.site: edit for edit in edits_of(model, prompts, [instead], captures)}
    return [edits[sender] for sender in graph(model).senders]


def _in_stream(known: Arithmetic, edit: Edit, shape: tuple[int, ...]) -> Float[Tensor, "prompt pos d_model"]:
    if edit.value is None:
        return known.w_u.new_zeros(shape)
    return written_to_stream(known, edit, edit.value.to(known.w_u)).expand(shape)


class Changes(NamedTuple):
    """What senders say instead, less what they say."""

    values: Float[Tensor, "prompt sender later d_model"]
    first: int
    """The first position at which any sender of any prompt says something else; those before it are left out."""

    def whole(self, senders: slice) -> Float[Tensor, "prompt pos d_model"]:
        """The sum over some senders, at every position."""
        return torch.nn.functional.pad(self.values[:, senders].sum(1), (0, 0, self.first, 0))


def changes(known: Arithmetic, base: Untouched, edits: Sequence[Edit]) -> Changes:
    """What each sender would add to the stream in place of what it adds in a run."""
    n_heads, own = known.n_heads, base.layers.entering(0)
    left = iter(edits)
    # Of one group of senders after the other what is put in, less what is there, and what writes it to the stream.
    apart: list[tuple[Float[Tensor, "prompt pos sender d"], Tensor | None]] = [(_apart(own[:, :, None], [next(left)]), None)]
    for kept, layer in zip(base.layers, known.layers, strict=True):
        z = kept.z.unflatten(-1, (n_heads, known.d_head))
        apart.append((_apart(z, [next(left) for _ in range(n_heads)]), layer.o.weight.unflatten(0, (n_heads, known.d_head))))
        apart += [] if kept.mlp_out is None else [(_apart(kept.mlp_out[:, :, None], [next(left)]), None)]
    somewhere = torch.stack([(part != 0).flatten(2).any(2).any(0) for part, _ in apart]).any(0)
    first = int(somewhere.int().argmax()) if bool(somewhere.any()) else len(somewhere) - 1
    values = own.new_empty(len(own), len(edits), own.shape[1] - first, own.shape[2])
    row = 0
    for part, weight in apart:
        some, end = part[:, first:], row + part.shape[2]
        values[:, row:end] = some.transpose(1, 2) if weight is None else torch.einsum("pnhc,hcd->phnd", some, weight)
        row = end
    return Changes(values, first)


def _apart(own: Float[Tensor, "prompt pos sender d"], edits: Sequence[Edit]) -> Float[Tensor, "prompt pos sender d"]:
    """What is put there, less what is there."""
    if edits[0].value is None:
        return -own
    return torch.stack([edit.value.to(own).expand(own[:, :, 0].shape) for edit in edits if edit.value is not None], 2) - own
