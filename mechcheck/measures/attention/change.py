"""Two aligned statements side by side: how much a head's attention, and what it fetches, changes from one to the other."""

from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import numpy as np
from jaxtyping import Float

from mechcheck.base.device import to_numpy
from mechcheck.base.errors import MechcheckError, PromptError
from mechcheck.base.loaded import check_loaded
from mechcheck.engine.hooks import Reader
from mechcheck.engine.run import observe
from mechcheck.measures.attention.patterns import attention, head_pairs, pattern_readers, visible_keys
from mechcheck.measures.attention.value_weighted import row_cosines, value_weighted_attention
from mechcheck.measures.figures.charts import Heatmap
from mechcheck.measures.figures.compared import Compared
from mechcheck.measures.head_scores import HeadScores
from mechcheck.notation.sites import Sites
from mechcheck.prompts.labels import token_labels
from mechcheck.prompts.prompt_set import PromptSet

if TYPE_CHECKING:
    from transformer_lens.model_bridge import TransformerBridge

Weighted = Literal["norm", "cosine"]


class AttentionChange(NamedTuple):
    """What changes in each head between two aligned statements, prompt by prompt."""

    max_difference: HeadScores
    """Largest absolute difference of a share of attention."""
    mean_difference: HeadScores
    """Mean absolute difference over all queries and the keys that they can see."""
    pattern_correlation: HeadScores
    """Pearson's r between the two patterns, over the same entries; NaN where a pattern has no spread."""
    value_correlation: HeadScores
    """Pearson's r between the heads' outputs z, over all positions and components; NaN where z has no spread."""


class AttentionMaps(NamedTuple):
    """A head's four maps on one prompt."""

    original: Heatmap
    counterfactual: Heatmap
    original_weighted: Heatmap
    counterfactual_weighted: Heatmap

    def compared(self) -> tuple[Compared, Compared]:
        """Each pair as one figure on one scale: the attention on both statements, and what is weighted on both."""
        pairs = (self.original, self.counterfactual), (self.original_weighted, self.counterfactual_weighted)
        one, other = (Compared(a.title.removesuffix(", original"), {"original": a, "counterfactual": b}) for a, b in pairs)
        return one, other


def attention_change(model: "TransformerBridge", prompts: PromptSet, source: PromptSet | None = None) -> AttentionChange:
    """Compare every head's attention and output on two aligned sets of statements.

    In a causal model everything before the first token that differs is the same in both and counts as unchanged; entries
    that a query cannot see do not count at all.

    Args:
        model: from `load_model`.
        prompts: the statements.
        source: the statements they are compared with, token for token as long; the prompts' counterfactual by default.

    Raises:
        PromptError: nothing to compare with, or statements that are not aligned.
    """
    other = aligned_source(prompts, source)
    check_loaded(model)
    layers, n_heads = range(model.cfg.n_layers), model.cfg.n_heads
    pairs = [(layer, head) for layer in layers for head in range(n_heads)]
    readers: dict[Any, Reader] = pattern_readers(pairs)
    for layer in layers:
        readers["z", layer] = (f"blocks.{layer}.attn.hook_z", lambda z, rows: z)
    one, two = (observe(model, some, readers) for some in (prompts, other))
    lengths = prompts.lengths.tolist()
    shape = (len(layers), n_heads, len(prompts))
    largest, mean, alike, fetched = (np.full(shape, np.nan) for _ in range(4))
    for layer, head in pairs:
        patterns = [to_numpy(run[layer, head]) for run in (one, two)]
        visible = visible_keys(model, prompts, layer).numpy()  # a tensor of one element would be read as an index
        outputs = [to_numpy(run["z", layer][:, :, head]) for run in (one, two)]
        for row, n in enumerate(lengths):
            a, b = (pattern[row, :n, :n][visible[row, :n, :n]] for pattern in patterns)
            largest[layer, head, row], mean[layer, head, row] = np.abs(a - b).max(), np.abs(a - b).mean()
            alike[layer, head, row] = _correlation(a, b)
            fetched[layer, head, row] = _correlation(*(z[row, :n].ravel() for z in outputs))

    def scores(values: np.ndarray, name: str, unit: str) -> HeadScores:
        return HeadScores(values, prompts.ids, prompts.templates, name, unit)

    return AttentionChange(
        scores(largest, "largest change of attention", "share of attention"),
        scores(mean, "mean change of attention", "share of attention"),
        scores(alike, "correlation of patterns", "r"),
        scores(fetched, "correlation of value outputs", "r"),
    )


def counterfactual_maps(
    model: "TransformerBridge",
    prompts: PromptSet,
    sites: Sites | str,
    row: int = 0,
    source: PromptSet | None = None,
    weighted: Weighted = "norm",
) -> dict[tuple[int, int], AttentionMaps]:
    """Four figures for each head: its attention on a statement and on the counterfactual one, and both weighted by values.

    Args:
        model: from `load_model`.
        prompts: the statements.
        sites: heads.
        row: which statement is shown.
        source: as for `attention_change`.
        weighted: "norm" for attention times the norm of the value (`value_weighted_attention`), "cosine" for how alike two
            positions are in what they fetch (`row_cosines` of z).

    Raises:
        PromptError: no such prompt, nothing to compare with, or statements that are not aligned.
        SiteError: no heads, or heads the model does not have.
        MechcheckError: another `weighted`.
    """
    if weighted not in ("norm", "cosine"):
        raise MechcheckError(f'unknown weighted={weighted!r}; choose "norm" or "cosine"')
    other, pairs = aligned_source(prompts, source), head_pairs(model, sites)
    measure = value_weighted_attention if weighted == "norm" else row_cosines
    unit, second = ("attention x |v|", "key") if weighted == "norm" else ("cosine of z", "position")
    maps: list[list[Heatmap]] = [[] for _ in pairs]
    for what, columns, scale in ((attention, "key", "share of attention"), (measure, second, unit)):
        for name, statements in (("original", prompts), ("counterfactual", other)):
            labels = token_labels(statements, row)
            found = what(model, statements[[row]], sites)[0]
            for i, (layer, head) in enumerate(pairs):
                values = to_numpy(found[i, : len(labels), : len(labels)])
                maps[i].append(Heatmap(f"{layer}.{head} {scale}, {name}", values, labels, labels, "query", columns, scale))
    return {pair: AttentionMaps(*four) for pair, four in zip(pairs, maps, strict=True)}


def aligned_source(prompts: PromptSet, source: PromptSet | None) -> PromptSet:
    """The statements that these are compared with, checked to stand one for one and token for token."""
    other = prompts.counterfactual if source is None else source
    if other is None:
        raise PromptError("nothing to compare with: give source=..., or prompts with a counterfactual")
    if len(other) != len(prompts):
        raise PromptError(f"{len(other)} statements to compare with {len(prompts)}; they must stand one for one")
    lengths = zip(prompts.lengths.tolist(), other.lengths.tolist(), strict=True)
    uneven = [(row, a, b) for row, (a, b) in enumerate(lengths) if a != b]
    if uneven:
        row, a, b = uneven[0]
        raise PromptError(
            f"prompt {row} has {a} tokens and the one to compare it with {b}: positions cannot be compared unless both are equally "
            "long; reword one of them"
        )
    return other


def _correlation(a: Float[np.ndarray, " entry"], b: Float[np.ndarray, " entry"]) -> float:
    if len(a) < 2:
        return float("nan")
    a, b = a - a.mean(), b - b.mean()
    spread = np.sqrt((a @ a) * (b @ b))
    return float(a @ b / spread) if spread > 0 else float("nan")
