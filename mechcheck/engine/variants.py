"""Where a variant begins: in which layer, at which place in its block, and from which position on."""

from collections.abc import Sequence
from enum import IntEnum
from typing import Literal, NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor

from mechcheck.engine.arithmetic.model import Arithmetic
from mechcheck.engine.direct import direct
from mechcheck.engine.edit import Edit
from mechcheck.engine.untouched import Untouched
from mechcheck.notation.sites import EMBEDDINGS, Kind
from mechcheck.prompts.prompt_set import PromptSet

Brought = Literal["stream", "z", "mlp_out"]


class Join(IntEnum):
    """The five places in a block at which rows can join it, in the order in which the block comes to them.

        INPUT              HEADS                 BETWEEN               MLP_OUT        OUTPUT
          v                  v                      v                     v              v
        stream -+- q, k, v - z - attn_out - (+) - stream -+- neurons - mlp_out - (+) - stream
                |                            |            |                       |
                +----------------------------+            +-----------------------+

    In a parallel block the MLP reads what the heads read, and nothing joins BETWEEN:

        stream -+- q, k, v - z - attn_out - (+) - (+) - stream
                |                            |     |
                +----------------------------+     |
                +- neurons - mlp_out --------------+
    """

    INPUT = 0
    HEADS = 1
    BETWEEN = 2
    MLP_OUT = 3
    OUTPUT = 4

    @classmethod
    def of(cls, kind: Kind, *, parallel: bool) -> "Join":
        """Where a variant joins whose first edit is of this kind."""
        match kind:
            case "resid_pre" | "q" | "k" | "v" | "pattern" | "embed" | "pos_embed":
                return cls.INPUT
            case "head" | "attn_out":
                return cls.HEADS
            case "resid_mid":
                return cls.BETWEEN
            case "neuron":
                return cls.INPUT if parallel else cls.BETWEEN
            case "mlp_out":
                return cls.MLP_OUT
            case "resid_post":
                return cls.OUTPUT

    def brings(self, what: Brought, base: Untouched, layer: int) -> Float[Tensor, "prompt pos d"] | None:
        """What rows that join here bring of the untouched run, as it is not computed for them; None: they bring nothing of this."""
        match self, what:
            case ((Join.INPUT | Join.HEADS), "stream"):
                return base.layers.entering(layer)
            case ((Join.BETWEEN | Join.MLP_OUT), "stream"):
                return base.of("resid_mid", layer)
            case Join.OUTPUT, "stream":
                return base.of("resid_post", layer)
            case Join.HEADS, "z":
                return base.layers[layer].z
            case Join.HEADS, "mlp_out" if base.arithmetic.parallel:  # the MLP does not see what these rows change
                return base.layers[layer].mlp_out
            case Join.MLP_OUT, "mlp_out":
                return base.layers[layer].mlp_out
        return None


class Variant(NamedTuple):
    """One set of edits, and where it begins."""

    number: int
    """Which of the sweep's variants this is."""
    edits: tuple[Edit, ...]
    layer: int
    join: Join
    start: Int[Tensor, " prompt"]
    """The first position in each prompt that can change."""


def serves(arithmetic: Arithmetic, edits: Sequence[Edit]) -> bool:
    """Whether the suffix runner can do the edits: none that exchanges a node's positions, none before the first block, none of a place that
    an encoder's blocks lack, none that looks at another hook too; edges, where all of them read what no edit has changed."""
    if any(edit.site.to is not None for edit in edits):
        return direct(arithmetic, edits)
    missing = ("attn_out", "mlp_out", "neuron", *EMBEDDINGS) if arithmetic.post_norm else EMBEDDINGS
    return all(edit.order is None and edit.site.kind not in missing and not edit.site.looks_beside for edit in edits)


def variant(arithmetic: Arithmetic, prompts: PromptSet, number: int, edits: Sequence[Edit]) -> Variant:
    """Where the edits begin."""
    layer = min(edit.site.layer for edit in edits)
    join = min(Join.of(edit.site.kind, parallel=arithmetic.parallel) for edit in edits if edit.site.layer == layer)
    starts = torch.stack([_start(arithmetic, prompts, edit) for edit in edits])
    return Variant(number, tuple(edits), layer, join, starts.amin(0))


def _start(arithmetic: Arithmetic, prompts: PromptSet, edit: Edit) -> Int[Tensor, " prompt"]:
    if not arithmetic.causal:
        return torch.zeros_like(prompts.lengths)
    if edit.where is not None:
        return edit.where.int().argmax(1)
    if edit.site.at is not None:
        return prompts.position(edit.site.at)
    return torch.zeros_like(prompts.lengths) if edit.start is None else edit.start
