"""Attention to and from chosen words (negation words, say), beside what the other words of the sentence get or give."""

from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Literal, NamedTuple

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from mechcheck.base.device import exact, to_numpy
from mechcheck.base.errors import MechcheckError, PromptError
from mechcheck.base.loaded import check_loaded
from mechcheck.engine.edit import Rows
from mechcheck.engine.run import observe
from mechcheck.measures.attention.patterns import broken_rows_as_nan, pattern_hook
from mechcheck.measures.attention.value_weighted import value_weighted_attention
from mechcheck.measures.head_scores import HeadScores
from mechcheck.notation.interventions import Intervention
from mechcheck.notation.sites import heads
from mechcheck.prompts.prompt_set import PromptSet
from mechcheck.prompts.words import NEGATIONS, Word, find_words, words_of

if TYPE_CHECKING:
    from transformer_lens.model_bridge import TransformerBridge

Direction = Literal["to", "from"]
Weighting = Literal["attention", "v", "v_o"]
Interventions = Sequence[Intervention] | Intervention

Weights = Float[Tensor, "side prompt q k"]
"""How much each entry of a pattern counts: for the words (side 0) and for the others (side 1). Most count nothing."""


class WordAttention(NamedTuple):
    """Every head's attention to (or from) some words, and the same of the other words, to measure it by."""

    words: HeadScores
    """The mean over the words' occurrences."""
    others: HeadScores
    """The mean over the other words of the prompt, seen from (or seeing) the same tokens."""


def word_attention(
    model: "TransformerBridge",
    prompts: PromptSet,
    words: Iterable[str] = NEGATIONS,
    direction: Direction = "to",
    *,
    at: str | None = None,
    weighting: Weighting = "attention",
    interventions: Interventions = (),
) -> WordAttention:
    """How much each head attends to (or from) each of some words, and to (or from) the average other word.

    Between two words, attention is the sum over the tokens of the word that is attended to, and the mean over those of the
    word that attends (Clark et al. 2019, arXiv:1906.04341). What a word attends to in itself does not count. Punctuation and
    special tokens are no words, so that a head which rests on [SEP] or a full stop is not taken to attend to other words.

    Args:
        model: from `load_model`; an encoder, or a decoder, in which a word sees only those before it.
        prompts: the prompts, each with one of the words at least.
        words: as in `find_words`: whole words, of which "n't" stands for every contraction with it.
        direction: "to" for what the words receive, "from" for what they give.
        at: a named position at the other end, whose token alone attends to the words ("to"), or is attended to by them
            ("from"). By default that is every other word.
        weighting: "attention"; or "v" for attention times the norm of the value, "v_o" for that behind W_O (Kobayashi et al.
            2020, arXiv:2004.10102). Norms are divided by their sum over the query's keys, so that they are shares too.
        interventions: applied in the same forward pass.

    Returns:
        Shares between 0 and 1, per pair of words.

    Raises:
        PromptError: a prompt without such a word, or without another to compare it with.
        MechcheckError: another direction or weighting.
    """
    if direction not in ("to", "from") or weighting not in ("attention", "v", "v_o"):
        raise MechcheckError(f'unknown {direction!r} or {weighting!r}; choose "to" or "from", and "attention", "v" or "v_o"')
    weights = _weights(model, prompts, words, direction, at)
    if weighting == "attention":
        values = _attention_sums(model, prompts, weights, interventions)
    else:
        values = _norm_sums(model, prompts, weights, weighting, interventions)
    what, unit = ("attention", "share of attention") if weighting == "attention" else (f"attention x |{weighting}|", "share of the norms")
    text = f"{what} {at or 'the others'} to {{}}" if direction == "to" else f"{what} {{}} to {at or 'the others'}"
    sides = zip(values, ("the words", "the average other word"), strict=True)
    return WordAttention(*(HeadScores(side, prompts.ids, prompts.templates, text.format(name), unit) for side, name in sides))


def _weights(model: "TransformerBridge", prompts: PromptSet, words: Iterable[str], direction: Direction, at: str | None) -> Weights:
    """Weights by which a pattern's entries add up to a mean over pairs of words, on each side."""
    check_loaded(model)
    causal, width = model.cfg.attention_dir == "causal", prompts.tokens.shape[1]
    words = [words] if isinstance(words, str) else list(words)
    found, everything = find_words(model, prompts, words), words_of(model, prompts)
    out = np.zeros((2, len(prompts), width, width))

    def sees(query: Word, key: Word) -> bool:
        if causal:
            return key.positions[-1] < query.positions[0]
        return not set(query.positions) & set(key.positions)

    for row, (chosen, every) in enumerate(zip(found, everything, strict=True)):
        shown = f"prompt {row} ({' '.join(word.text for word in every)})"
        if not chosen:
            raise PromptError(f"{shown} has none of the words {', '.join(words)}; leave it out")
        others = [word for word in every if word not in chosen]
        ends = others if at is None else [Word("", (int(prompts.position(at)[row]),))]
        _add_means(out[:, row], (chosen, others), ends, direction, sees)
        if not out[:, row].any():
            end, verb = at or "some other word", "attend to" if direction == "to" else "be attended to by"
            raise PromptError(f"{shown} gives nothing to compare: {end} must {verb} one of the words and a further word; leave it out")
    return torch.from_numpy(out)


def _add_means(
    out: Float[np.ndarray, "side q k"],
    sides: tuple[list[Word], list[Word]],
    ends: list[Word],
    direction: Direction,
    sees: Callable[[Word, Word], bool],
) -> None:
    """The weights of one prompt: a mean over the ends that have partners on both sides, of the mean over these partners."""
    pairs = [[[(end, word) if direction == "to" else (word, end) for word in side] for side in sides] for end in ends]
    visible = [[[pair for pair in side if sees(*pair)] for side in of_end] for of_end in pairs]
    whole = [of_end for of_end in visible if all(of_end)]
    for of_end in whole:
        for weights, side in zip(out, of_end, strict=True):
            for query, key in side:
                weights[np.ix_(query.positions, key.positions)] += 1 / (len(whole) * len(side) * len(query.positions))


def _weighted_sums(pattern: Float[Tensor, "row head q k"], weights: Float[Tensor, "side row q k"]) -> Float[Tensor, "row side head"]:
    """The pattern's weighted sum on each side; what has no weight may be NaN."""
    pattern = exact(pattern)
    weights = weights.to(pattern.device)[:, :, None]
    return (pattern.masked_fill(weights == 0, 0.0) * weights).sum((-2, -1)).transpose(0, 1)


def _attention_sums(
    model: "TransformerBridge", prompts: PromptSet, weights: Weights, interventions: Interventions
) -> Float[np.ndarray, "side layer head prompt"]:
    def keep(pattern: Tensor, rows: Rows) -> Tensor:
        return _weighted_sums(broken_rows_as_nan(pattern), weights[:, rows.where])

    readers: dict = {layer: (pattern_hook(layer), keep) for layer in range(model.cfg.n_layers)}
    recorded = observe(model, prompts, readers, interventions)
    return _stacked([recorded[layer] for layer in range(model.cfg.n_layers)])


def _norm_sums(
    model: "TransformerBridge", prompts: PromptSet, weights: Weights, through: Literal["v", "v_o"], interventions: Interventions
) -> Float[np.ndarray, "side layer head prompt"]:
    """Layer by layer: the whole maps of all layers at once would not fit for a large model."""
    sums = []
    for layer in range(model.cfg.n_layers):
        norms = exact(value_weighted_attention(model, prompts, heads(f"{layer}.0-{model.cfg.n_heads - 1}"), through, interventions))
        sums.append(_weighted_sums(norms / norms.sum(-1, keepdim=True), weights))
    return _stacked(sums)


def _stacked(layers: list[Float[Tensor, "prompt side head"]]) -> Float[np.ndarray, "side layer head prompt"]:
    return to_numpy(torch.stack(layers).permute(2, 0, 3, 1))
