"""What a dictionary's reconstruction is worth: the model's loss with it in the place of the activation, and without either."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from mechcheck.base.device import exact
from mechcheck.base.errors import MechcheckError
from mechcheck.base.loaded import check_loaded
from mechcheck.engine.run import AnyMetric, capture, sweep_metrics
from mechcheck.notation.dictionaries import Dictionary
from mechcheck.notation.features import features, reconstruction_error
from mechcheck.notation.interventions import Ablate
from mechcheck.notation.metrics import as_metric, kl_divergence, loss
from mechcheck.notation.sites import Sites
from mechcheck.prompts.prompt_set import PromptSet
from mechcheck.prompts.spans import ALL
from mechcheck.stats.estimates import Confidence, Estimate, estimate_mean
from mechcheck.stats.measurement import Measurement

if TYPE_CHECKING:
    from transformer_lens.model_bridge import TransformerBridge

CAPTURED = 2**22
"""Numbers that are captured at once."""


class Fit(NamedTuple):
    """How well a dictionary describes the activations themselves, over all tokens of the prompts."""

    explained_variance: float
    """1 minus the squared error over the squared distance from the mean activation; 1 is perfect, below 0 worse than that mean."""
    l0: float
    """Features that fire on a token, on average."""
    frequency: Float[Tensor, " d_sae"]
    """On which share of the tokens each feature fires."""


@dataclass(frozen=True, eq=False)
class LossRecovered:
    """The model untouched, with the reconstruction in the place of the activation, and with zeros there."""

    dictionary: Dictionary
    clean: Measurement
    """The metric of the untouched model, by prompt: the loss, in nats per token, unless another was asked for."""
    spliced: Measurement
    """With the reconstruction alone: the reconstruction error is ablated."""
    removed: Measurement
    """With the activation ablated to zero."""
    kl_spliced: Measurement
    """KL(untouched || spliced), in nats per token."""
    kl_removed: Measurement
    """KL(untouched || removed), in nats per token."""
    fit: Fit

    @property
    def recovered(self) -> Measurement:
        """(removed - spliced) / (removed - clean), a ratio of means: 1 where nothing is lost, 0 where it is worth no more than zeros."""
        return ((self.removed - self.spliced) / (self.removed - self.clean)).named(f"share of {self.clean.name} recovered")

    @property
    def kl_recovered(self) -> Measurement:
        """1 - KL(untouched || spliced) / KL(untouched || removed), a ratio of means: how much of the prediction itself is kept."""
        return ((self.kl_removed - self.kl_spliced) / self.kl_removed).named("share of the prediction recovered")

    def estimate(self, confidence: Confidence | None = None) -> Estimate:
        """`recovered` with its interval, clustered by template; not valid where removing the activation costs nothing."""
        return estimate_mean(self.recovered, confidence or Confidence()).estimate

    def __repr__(self) -> str:
        found = self.estimate()
        return (
            f"{self.dictionary.name}: {found.value:.3f} [{found.low:.3f}, {found.high:.3f}] of {self.clean.name} recovered, "
            f"{self.kl_recovered.mean:.3f} of the prediction; variance explained {self.fit.explained_variance:.3f}, "
            f"{self.fit.l0:.1f} features a token"
        )


def loss_recovered(
    model: "TransformerBridge", prompts: PromptSet, dictionary: Dictionary, metric: AnyMetric | None = None, *, at: str | None = None
) -> LossRecovered:
    """Put a dictionary's reconstruction in the place of the activation, without the error, and see what the model loses.

    Args:
        model: from `load_model`.
        prompts: what it is measured on; they need no answers for the loss.
        dictionary: from `load_dictionary`, or made of arrays.
        metric: what is to be recovered; the loss by default, and of a model that reads both ways, whose loss means nothing, the KL
            divergence from the untouched model.
        at: a named position at which alone it is done; every position where None.

    Raises:
        SiteError: a dictionary of another place, size or processing than this model has.
    """
    check_loaded(model)
    if not isinstance(dictionary, Dictionary):
        raise MechcheckError(f"expected a Dictionary, from load_dictionary or Dictionary(...), got {type(dictionary).__name__}")
    divergence = kl_divergence.over(ALL)
    if metric is None:
        metric = loss if model.cfg.attention_dir == "causal" else divergence
    chosen, whole = as_metric(metric), Sites([dictionary.site]).at(at)
    variants = [[], [Ablate(reconstruction_error(dictionary, at=at))], [Ablate(whole)]]
    own, kl = sweep_metrics(model, prompts, variants, [chosen, divergence])

    def measured(values: Float[np.ndarray, " prompt"], name: str, unit: str) -> Measurement:
        return Measurement(values, prompts.ids, prompts.templates, name, unit)

    clean, spliced, removed = (measured(values, chosen.name, chosen.unit) for values in own)
    _, kl_spliced, kl_removed = (measured(values, divergence.name, divergence.unit) for values in kl)
    return LossRecovered(dictionary, clean, spliced, removed, kl_spliced, kl_removed, _fit(model, prompts, dictionary, at))


def _fit(model: "TransformerBridge", prompts: PromptSet, dictionary: Dictionary, at: str | None) -> Fit:
    """Sums over tokens, some prompts at a time."""
    (whole,) = Sites([dictionary.site]).at(at)
    (coded,) = features(dictionary, f"0-{dictionary.d_sae - 1} error", at=at)
    several = prompts.several(at)
    per_prompt = (prompts.tokens.shape[1] if several else 1) * (dictionary.d_sae + 2 * dictionary.d_out)
    size = max(1, CAPTURED // per_prompt)
    tokens, squares, errors = 0, 0.0, 0.0
    total = torch.zeros(dictionary.d_out, dtype=torch.float64)
    fired = torch.zeros(dictionary.d_sae, dtype=torch.float64)
    for start in range(0, len(prompts), size):
        some = prompts if size >= len(prompts) else prompts[slice(start, start + size)]
        seen = capture(model, some, Sites([whole, coded]))
        rows = some.span(ALL if at is None else at)
        x, numbers = (exact(seen[site][rows.to(seen[site].device)] if several else seen[site]).cpu() for site in (whole, coded))
        active, error = numbers[:, : dictionary.d_sae], numbers[:, dictionary.d_sae :]
        tokens, total, fired = tokens + len(x), total + x.sum(0), fired + (active > 0).sum(0)
        squares, errors = squares + float(x.square().sum()), errors + float(error.square().sum())
    spread = squares - float(total.square().sum()) / tokens
    explained = 1.0 - errors / spread if spread > 0 else float("nan")
    return Fit(explained, float(fired.sum()) / tokens, (fired / tokens).float())
