"""What induction heads do on one's own text: which tokens repeat, and how much each head attends to what followed."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch
from jaxtyping import Float

from mechcheck.base.device import to_numpy
from mechcheck.base.errors import PromptError
from mechcheck.drawing.figure import Pictured
from mechcheck.measures.attention.patterns import attention
from mechcheck.measures.attention.targets import induction_targets
from mechcheck.measures.figures.charts import Heatmap
from mechcheck.notation.sites import Sites, heads
from mechcheck.prompts.labels import token_labels
from mechcheck.prompts.prompt_set import PromptSet
from mechcheck.prompts.tokens import Reader

if TYPE_CHECKING:
    from transformer_lens.model_bridge import TransformerBridge


class Repeat(NamedTuple):
    """A token that stood in the text before."""

    position: int
    earlier: int
    """Where it stood last."""
    followed_by: int
    """The place after that, which an induction head attends to from `position`."""


@dataclass(frozen=True, eq=False)
class SequenceReport(Pictured):
    """Induction on one text."""

    tokens: tuple[str, ...]
    """Labels of the tokens, repeats numbered (John, John_2)."""
    repeats: tuple[Repeat, ...]
    """Empty where nothing is repeated, or only at once."""
    attention: Float[np.ndarray, "layer head repeat"]
    """From each repeated token to what followed its last earlier occurrence."""
    threshold: float

    @property
    def scores(self) -> Float[np.ndarray, "layer head"]:
        """The induction score of each head on this text: the mean over its repeats; NaN where there are none."""
        if not self.repeats:
            return np.full(self.attention.shape[:2], np.nan)
        return self.attention.mean(-1)

    @property
    def flagged(self) -> Sites:
        """Heads whose score is above the threshold; empty where nothing is repeated."""
        return heads([(int(layer), int(head)) for layer, head in np.argwhere(self.scores > self.threshold)])

    def __str__(self) -> str:
        lines = [f"{len(self.tokens)} tokens, {len(self.repeats)} of them repeated"]
        for i, repeat in enumerate(self.repeats):
            layer, head = np.unravel_index(int(self.attention[..., i].argmax()), self.attention.shape[:2])
            lines.append(
                f"  {self.tokens[repeat.position]} (at {repeat.position}) after {self.tokens[repeat.earlier]} (at {repeat.earlier}): "
                f"followed by {self.tokens[repeat.followed_by]}; most attention there: {layer}.{head} {self.attention[layer, head, i]:.3f}"
            )
        found = " ".join(f"{site} {self.scores[site.layer, site.index]:.3f}" for site in self.flagged)
        return "\n".join([*lines, f"heads above {self.threshold:.3g}: {found or 'none'}"])

    def figure(self) -> Heatmap:
        """Attention of every head (rows) at every repeat (columns).

        Raises:
            PromptError: the text repeats nothing, so that there is nothing to show.
        """
        if not self.repeats:
            raise PromptError("this text repeats no token, so no head can be scored on it")
        n_layers, n_heads, _ = self.attention.shape
        rows = [f"{layer}.{head}" for layer in range(n_layers) for head in range(n_heads)]
        columns = [f"{self.tokens[r.position]} to {self.tokens[r.followed_by]}" for r in self.repeats]
        values = self.attention.reshape(len(rows), len(columns))
        return Heatmap("Induction on this text", values, rows, columns, "head", "from a repeated token to what followed", "attention")


def induction_reports(model: "TransformerBridge", texts: str | Sequence[str], threshold: float) -> tuple[SequenceReport, ...]:
    """Score every head on each text by itself.

    Args:
        model: from `load_model`; its tokenizer reads the text, with its own BOS in front.
        texts: one text, or several.
        threshold: the induction score above which a head is flagged, for example that of `detect_heads`.

    Raises:
        PromptError: an empty text, or a word that the tokenizer does not know: unknown words all look alike, and would
            seem to be repeats.
    """
    return tuple(_report(model, text, threshold) for text in ([texts] if isinstance(texts, str) else texts))


def _report(model: "TransformerBridge", text: str, threshold: float) -> SequenceReport:
    prompts = _read(model, text)
    targets = induction_targets(prompts)[0]
    repeats = [Repeat(int(q), int(k) - 1, int(k)) for q, k in targets.nonzero()]
    shape = (model.cfg.n_layers, model.cfg.n_heads)
    if not repeats:
        return SequenceReport(token_labels(prompts, 0), (), np.zeros((*shape, 0)), threshold)
    pattern = attention(model, prompts, heads([(layer, head) for layer in range(shape[0]) for head in range(shape[1])]))[0]
    places = torch.tensor(repeats, device=pattern.device)
    found = to_numpy(pattern[:, places[:, 0], places[:, 2]])
    return SequenceReport(token_labels(prompts, 0), tuple(repeats), found.reshape(*shape, len(repeats)), threshold)


def _read(model: "TransformerBridge", text: str) -> PromptSet:
    if not text.strip():
        raise PromptError("the text is empty")
    reader = Reader(model)
    row = reader.tokens(text)
    return PromptSet.read(reader, [row])
