"""Detecting heads by their scores: fixed and variance-based thresholds, and how well they find the heads that are known."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, NamedTuple

import numpy as np
import scipy
from jaxtyping import Bool, Float

from mechcheck.base.errors import MechcheckError, NonFiniteError, PromptError
from mechcheck.drawing.figure import Pictured
from mechcheck.measures.attention.patterns import head_pairs
from mechcheck.measures.attention.targets import induction_targets, target_scores
from mechcheck.measures.figures.charts import Heatmap, Table
from mechcheck.measures.head_scores import HeadScores
from mechcheck.notation.sites import Sites, heads
from mechcheck.prompts.prompt_set import PromptSet
from mechcheck.stats.measurement import Measurement

if TYPE_CHECKING:
    from transformer_lens.model_bridge import TransformerBridge

Method = Literal["fixed", "variance", "otsu"]
# Cantelli's inequality: whatever their distribution, at most 1 in 10 of the null scores lie this many deviations above their mean.
SDS = 3.0


class HeadSetQuality(NamedTuple):
    """How one set of heads agrees with the true ones: that of a model, whose scores are means over prompts."""

    precision: float
    """The share of its heads that are true; NaN of a set without heads."""
    recall: float
    """The share of the true heads that are in it."""
    f1: float
    """Harmonic mean of the two; 0 where no head of it is true."""
    hits: Sites
    """True heads in it."""
    extra: Sites
    """Its other heads."""
    missed: Sites
    """True heads that it lacks."""


class DetectionQuality(NamedTuple):
    """How the flagged heads agree with the true ones: pooled over prompts, with the heads flagged on each, and as one set of heads.

    The measurements can be put before `check`. Pooled, a head that is flagged on half of the prompts counts half; in the set it is, or not.
    """

    precision: Measurement
    """Flagged heads that are true, of all that were flagged, over all prompts."""
    recall: Measurement
    """True heads that were flagged, of all true ones."""
    f1: Measurement
    """Harmonic mean of the two."""
    auroc: Measurement
    """Chance that a true head scores above another one, per prompt; it depends on no threshold."""
    heads: HeadSetQuality
    """Of the set that the mean scores pick (`Detection.sites`)."""

    def table(self, title: str = "The flagged heads beside the true ones") -> Table:
        """Precision, recall and F1, pooled over prompts and of the set of heads."""
        pooled = [self.precision.mean, self.recall.mean, self.f1.mean]
        of_set = [self.heads.precision, self.heads.recall, self.heads.f1]
        return Table(title, ["", "precision", "recall", "F1"], [["pooled over prompts", *pooled], ["the set of heads", *of_set]])


@dataclass(frozen=True, eq=False)
class Detection(Pictured):
    """The heads that a threshold picks."""

    scores: HeadScores
    method: Method
    threshold: float
    reason: str
    """Where the threshold comes from."""

    def figure(self, title: str | None = None) -> Heatmap:
        """The scores as a heatmap; its title says where the threshold lies."""
        return self.scores.figure(f"{self.scores.name}; threshold {self.threshold:.3g}" if title is None else title)

    @property
    def flagged(self) -> Bool[np.ndarray, "layer head"]:
        """Heads whose mean score is above the threshold."""
        return self.scores.mean > self.threshold

    @property
    def sites(self) -> Sites:
        """The flagged heads; empty if there are none."""
        return _sites(self.flagged)

    def quality(self, model: "TransformerBridge", truth: Sites | str) -> DetectionQuality:
        """Precision, recall, F1 and AUROC against the true heads, with the heads flagged prompt by prompt, and those of the flagged set.

        The first three are ratios of sums over prompts. Precision is not finite where nothing was flagged at all, nor is AUROC
        where every head is true. Over several models or circuits, the mean of the sets' values is the macro average, and counts each alike.

        Raises:
            SiteError: no true heads, or heads the model does not have.
        """
        true = np.zeros(self.scores.values.shape[:2], dtype=bool)
        for pair in head_pairs(model, truth):
            true[pair] = True
        flagged = self.scores.values > self.threshold
        hits = self._counted((flagged & true[..., None]).sum((0, 1)), "hits")
        found, actual = self._counted(flagged.sum((0, 1)), "flagged"), self._counted(np.full(len(hits), true.sum()), "true")
        return DetectionQuality(
            (hits / found).named("precision", "share of heads"),
            (hits / actual).named("recall", "share of heads"),
            ((2 * hits) / (found + actual)).named("F1", "F1"),
            Measurement(_auroc(self.scores.values, true), self.scores.ids, self.scores.templates, "AUROC", "chance"),
            _of_set(self.flagged, true),
        )

    def _counted(self, values: Float[np.ndarray, " prompt"], name: str) -> Measurement:
        return Measurement(values.astype(float), self.scores.ids, self.scores.templates, name, "heads")


def _of_set(flagged: Bool[np.ndarray, "layer head"], true: Bool[np.ndarray, "layer head"]) -> HeadSetQuality:
    hits, extra, missed = (_sites(which) for which in (flagged & true, flagged & ~true, ~flagged & true))
    n, found, actual = len(hits), int(flagged.sum()), int(true.sum())
    return HeadSetQuality(n / found if found else float("nan"), n / actual, 2 * n / (found + actual), hits, extra, missed)


def _sites(which: Bool[np.ndarray, "layer head"]) -> Sites:
    return heads([(int(layer), int(head)) for layer, head in np.argwhere(which)])


def detect_heads(
    scores: HeadScores,
    method: Method = "otsu",
    *,
    null: HeadScores | None = None,
    threshold: float | None = None,
    sds: float = SDS,
) -> Detection:
    """Flag the heads whose score is high, and none where none is.

    - "fixed": above `threshold`.
    - "variance": above what the same heads show where there is nothing to find, mean + `sds` standard deviations of the null
      scores (all heads and prompts). By Cantelli's inequality at most 1 / (1 + sds^2) of the null scores lie there.
    - "otsu": above the cut that splits the heads' mean scores into two classes with the largest variance between them (Otsu
      1979, 10.1109/TSMC.1979.4310076), but never below the "variance" threshold: a cut alone always finds somebody. It does not
      depend on how many heads there are to find, as mean + k standard deviations of the scores themselves does: where half of
      the heads score high, none of them lies more than one deviation above the mean.

    Args:
        scores: of every head.
        method: see above.
        null: scores of the same heads where there is nothing to find (`induction_null_scores`); for the last two.
        threshold: for "fixed".
        sds: standard deviations, for the last two.

    Raises:
        MechcheckError: a threshold or a null that the method needs or does not take.
        NonFiniteError: scores that are not finite.
    """
    _check_arguments(scores, method, null, threshold)
    if method == "fixed":
        assert threshold is not None
        return Detection(scores, method, float(threshold), "given")
    assert null is not None
    bound = float(null.values.mean() + sds * null.values.std())
    from_null = f"mean + {sds:g} sd of {null.name or 'the null'}: {bound:.3g}"
    if method == "variance":
        return Detection(scores, method, bound, from_null)
    cut = _otsu(scores.mean.ravel())
    return Detection(scores, method, max(cut, bound), f"largest variance between two classes at {cut:.3g}, at least {from_null}")


def induction_null_scores(model: "TransformerBridge", prompts: PromptSet, reference: PromptSet | None = None) -> HeadScores:
    """Attention to the places that the induction score looks at, on aligned prompts in which nothing is repeated.

    Args:
        model: from `load_model`.
        prompts: the prompts whose repeats say where to look.
        reference: prompts of the same lengths without these repeats; the prompts' own reference (fresh random tokens) by default.

    Raises:
        PromptError: no reference, or one of other lengths.
    """
    other = prompts.reference if reference is None else reference
    if other is None:
        raise PromptError("no prompts without repeats: give reference=..., or prompts with a reference")
    if other.lengths.tolist() != prompts.lengths.tolist():
        raise PromptError("the reference has prompts of other lengths, so the places to look at are not the same")
    width = other.tokens.shape[1]
    targets = induction_targets(prompts)[:, :width, :width]
    return target_scores(model, other, targets, name="induction score without repeats")


def _check_arguments(scores: HeadScores, method: str, null: HeadScores | None, threshold: float | None) -> None:
    if method not in ("fixed", "variance", "otsu"):
        raise MechcheckError(f'unknown method {method!r}; choose "fixed", "variance" or "otsu"')
    if (method == "fixed") != (threshold is not None):
        raise MechcheckError('threshold=... goes with the method "fixed", and with no other')
    if (method == "fixed") == (null is not None):
        raise MechcheckError(
            'null=... goes with the methods "variance" and "otsu", and they need it: without scores of prompts in which there is '
            "nothing to find, a threshold made from the scores themselves always finds something"
        )
    for what in filter(None, (scores, null)):
        if not np.isfinite(what.values).all():
            layer, head, prompt = np.argwhere(~np.isfinite(what.values))[0]
            raise NonFiniteError(f"{what.name or 'the score'} is not finite for head {layer}.{head} on prompt {what.ids[prompt]}")


def _otsu(values: Float[np.ndarray, " head"]) -> float:
    """The middle of the gap between the two classes; the common value where all are equal."""
    ordered = np.sort(values)
    if ordered[0] == ordered[-1]:
        return float(ordered[0])
    below = np.arange(1, len(ordered))
    sums = ordered.cumsum()[:-1]
    apart = sums / below - (ordered.sum() - sums) / (len(ordered) - below)
    cut = int(np.argmax(below * (len(ordered) - below) * apart**2))
    return float((ordered[cut] + ordered[cut + 1]) / 2)


def _auroc(scores: Float[np.ndarray, "layer head prompt"], true: Bool[np.ndarray, "layer head"]) -> Float[np.ndarray, " prompt"]:
    """Mann and Whitney's U as a share of all pairs, ties counting half."""
    n_true, n_other = int(true.sum()), int((~true).sum())
    ranks = scipy.stats.rankdata(scores.reshape(true.size, -1), axis=0)[true.ravel()].sum(0)
    if n_other == 0:
        return np.full(scores.shape[-1], np.nan)
    return (ranks - n_true * (n_true + 1) / 2) / (n_true * n_other)
