"""Floating-point operations, from shapes: of a full forward pass, and of what a job's variants can change at all.

Matrix products only (2 for each multiply-add), by the product that they belong to; norms, activations and softmax are not counted.
"""

from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

from comparison.jobs import Cell, Job

if TYPE_CHECKING:
    from transformer_lens.model_bridge import TransformerBridge

Flops = Counter[str]
"""Product ("qkv", "o", "into", "out", "attention", "unembed") -> operations."""

# Where a variant can join a layer: at its input, at the heads' output, after the MLP.
_INPUT, _Z, _OUTPUT = range(3)
_JOINS = {"resid_pre": _INPUT, "head": _Z, "mlp_out": _OUTPUT}


class Shape(NamedTuple):
    """What the counts depend on."""

    layers: int
    d_model: int
    heads: int
    kv_heads: int
    d_head: int
    d_mlp: int
    gated: bool
    parallel: bool
    vocabulary: int

    @property
    def products(self) -> dict[str, tuple[int, int]]:
        """Product -> the shape of its weights."""
        return {
            "qkv": (self.d_model, (self.heads + 2 * self.kv_heads) * self.d_head),
            "o": (self.heads * self.d_head, self.d_model),
            "into": (self.d_model, self.d_mlp * (2 if self.gated else 1)),
            "out": (self.d_mlp, self.d_model),
            "unembed": (self.d_model, self.vocabulary),
        }


def shape_of(model: "TransformerBridge") -> Shape:
    """A model's shape."""
    cfg = model.cfg
    return Shape(
        cfg.n_layers, cfg.d_model, cfg.n_heads, cfg.n_key_value_heads or cfg.n_heads, cfg.d_head, cfg.d_mlp,
        model.blocks[0].mlp.W_gate is not None, bool(cfg.parallel_attn_mlp), cfg.d_vocab,
    )  # fmt: skip


def full_forward(shape: Shape, prompts: int, width: int, *, last_logits: bool = False) -> Flops:
    """A forward pass with the logits of every position, or of the last one only."""
    total = without_logits(shape, [width] * prompts)
    total["unembed"] = _product(shape, "unembed", prompts * (1 if last_logits else width))
    return total


def without_logits(shape: Shape, lengths: Sequence[int], known: int = 0) -> Flops:
    """A forward pass over prompts of these lengths, up to the last layer's output; the first `known` positions are there already."""
    rows = sum(length - known for length in lengths)
    total = Flops({name: shape.layers * _product(shape, name, rows) for name in ("qkv", "o", "into", "out")})
    total["attention"] = shape.layers * sum(_attention(shape, length - known, length) for length in lengths)
    return total


def needed(shape: Shape, job: Job) -> Flops:
    """What has to be computed: an untouched run, one of the source from where it differs, and of each variant what it can change
    and END can see; for a loss all but the last position are read, and what no variant changes there once."""
    lengths = job.prompts.lengths.tolist()
    total = without_logits(shape, lengths)
    if job.source is not None:
        total += without_logits(shape, job.source.lengths.tolist(), _in_common(job))
    for variant in job.variants:
        total += _suffix(shape, job, variant)
    if job.measure == "loss":
        before = [max(_starts(job, variant)[row] for variant in job.variants) for row in range(len(lengths))]
        total["unembed"] += _product(shape, "unembed", sum(before))
    return total


def _in_common(job: Job) -> int:
    """Tokens at the beginning that are the same in every prompt and its source."""
    assert job.source is not None
    if job.source.tokens.shape != job.prompts.tokens.shape:
        return 0
    differs = (job.source.tokens != job.prompts.tokens).any(0)
    return int(differs.int().argmax())


def rounding(shape: Shape, job: Job) -> int:
    """What it takes to tell small effects from rounding, where there are some: sums of sizes at END, and the neurons that they need."""
    return shape.layers * sum(_product(shape, name, len(job.prompts)) for name in ("o", "into", "out"))


def multiplied(shape: Shape, job: Job) -> int:
    """Of what is needed, that which is no product of matrices: where one position alone can change, its value times its weight."""
    total = 0
    for variant in job.variants:
        first = min(cell.layer for cell in variant)
        stage = min(_JOINS[cell.kind] for cell in variant if cell.layer == first)
        layers = shape.layers - first - (stage != _INPUT)
        ends = [length - (job.measure == "loss") for length in job.prompts.lengths.tolist()]
        alone = sum(end - start == 1 for end, start in zip(ends, _starts(job, variant), strict=True))
        total += 2 * layers * alone * shape.heads * shape.d_head
    return total


def full_forwards(shape: Shape, job: Job, forwards: int, *, last_logits: bool) -> int:
    """`forwards` full forward passes for each variant, at the width that the prompts are padded to."""
    return forwards * len(job.variants) * full_forward(shape, *job.prompts.tokens.shape, last_logits=last_logits).total()


def _starts(job: Job, variant: tuple[Cell, ...]) -> list[int]:
    """The first position that changes in each prompt."""
    return [min(change if cell.at is None else cell.at for cell in variant) for change in job.first_change]


def _suffix(shape: Shape, job: Job, variant: tuple[Cell, ...]) -> Flops:
    """From the first cell on, in depth and in position; of the last layer only what is read, and of the logits two, or all of a loss."""
    everywhere = job.measure == "loss"
    first = min(cell.layer for cell in variant)
    stage = min(_JOINS[cell.kind] for cell in variant if cell.layer == first)
    ends = [length - everywhere for length in job.prompts.lengths.tolist()]  # behind the last position that is read
    windows = [end - start for end, start in zip(ends, _starts(job, variant), strict=True)]
    total = Flops(unembed=_product(shape, "unembed", sum(windows)) if everywhere else 2 * 2 * shape.d_model * len(ends))
    for layer in range(first, shape.layers):
        computed = [1] * len(windows) if layer == shape.layers - 1 and not everywhere else windows
        joined = stage if layer == first else _INPUT
        if joined == _INPUT:
            _, columns = shape.products["qkv"]
            queries = shape.heads * shape.d_head
            total["qkv"] += 2 * shape.d_model * (sum(computed) * queries + sum(windows) * (columns - queries))
            total["attention"] += sum(_attention(shape, here, end) for here, end in zip(computed, ends, strict=True))
        if joined <= _Z:
            total["o"] += _product(shape, "o", sum(computed))
            if joined == _INPUT or not shape.parallel:  # a parallel MLP does not see what its own layer's heads say
                total["into"] += _product(shape, "into", sum(computed))
                total["out"] += _product(shape, "out", sum(computed))
    return total


def _product(shape: Shape, name: str, rows: int) -> int:
    inner, outer = shape.products[name]
    return 2 * rows * inner * outer


def _attention(shape: Shape, queries: int, keys: int) -> int:
    """Scores and weighted values."""
    return 2 * 2 * queries * keys * shape.heads * shape.d_head
