"""What the dictionaries whose features a claim used are worth, on the prompts that it was measured on: part of its evidence."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from transformer_lens.model_bridge import TransformerBridge

    from mechcheck.notation.codes import CodeUsed
    from mechcheck.notation.dictionaries import Dictionary
    from mechcheck.prompts.prompt_set import PromptSet

Record = dict[str, Any]
ENOUGH = 0.5
"""A reconstruction that keeps less of the prediction than this says little about what the activation does."""
_NAMED = 8
"""Sets of features that a record names."""
_KNOWN = pytest.StashKey[dict[tuple[str, ...], Record]]()


@contextmanager
def noticing() -> Iterator["Mapping[str, CodeUsed]"]:
    """Within it, what sites are looked at through is noticed."""
    from mechcheck.notation.codes import codes_used

    with codes_used() as seen:
        yield seen


def worth(config: pytest.Config, seen: "Mapping[str, CodeUsed]", arguments: Mapping[str, Any]) -> Record:
    """The part of a claim's record: each dictionary that it used, with the loss that its reconstruction recovers.

    Args:
        config: which remembers what was measured for another claim.
        seen: what `noticing` found.
        arguments: the claim's, among them its prompts.
    """
    from mechcheck.notation.features import Features
    from mechcheck.prompts.prompt_set import PromptSet

    used: dict[tuple[str, str], tuple[TransformerBridge, Dictionary, list[str]]] = {}
    for one in seen.values():
        if isinstance(one.code, Features):
            d = one.code.dictionary
            used.setdefault((d.sha256, str(id(one.model))), (one.model, d, []))[2].append(one.code.name)
    prompts, found = arguments.get("prompts"), []
    for model, dictionary, names in used.values():
        facts = _facts(config, model, dictionary, prompts if isinstance(prompts, PromptSet) else None)
        found.append(facts | {"used": sorted(set(names))[:_NAMED]})
    return {"dictionaries": found} if found else {}


def _facts(config: pytest.Config, model: "TransformerBridge", dictionary: "Dictionary", prompts: "PromptSet | None") -> Record:
    from mechcheck.models.loading import provenance

    of = provenance(model)
    known = config.stash.setdefault(_KNOWN, {})
    key = (dictionary.sha256, of.weights_sha256, of.processing, of.dtype, of.device, "" if prompts is None else prompts.sha256)
    if key not in known:
        known[key] = {
            "name": dictionary.name, "sha256": dictionary.sha256, "architecture": dictionary.architecture,
            "kind": "autoencoder" if dictionary.reads is None else "transcoder",
            "hook": dictionary.hook, "features": dictionary.d_sae, "model": of.name, **_measured(model, dictionary, prompts),
        }  # fmt: skip
    return known[key]


def _measured(model: "TransformerBridge", dictionary: "Dictionary", prompts: "PromptSet | None") -> Record:
    """Numbers, and what a reader should know of them; a claim is not lost because these cannot be had."""
    from mechcheck.base.errors import MechcheckError, NonFiniteError
    from mechcheck.measures.stream.loss_recovered import loss_recovered

    nothing = {"loss_recovered": None, "prediction_recovered": None, "explained_variance": None, "features_per_token": None}
    if prompts is None:
        return nothing | {"caveat": "the claim makes its own prompts, so what the dictionary recovers was not measured"}
    try:
        found = loss_recovered(model, prompts, dictionary)
        share, kept = found.estimate(), found.kl_recovered.mean
    except (MechcheckError, NonFiniteError) as error:
        return nothing | {"caveat": f"what the dictionary recovers could not be measured: {error}"}
    caveat = None
    if kept != kept:
        caveat = "zeros in the place of the activation leave these predictions as they are, so there is nothing to recover"
    elif kept < ENOUGH:
        caveat = (
            f"the reconstruction keeps {kept:.2f} of the prediction on these prompts (1 is all of it, 0 what zeros keep), so most of what "
            "the activation does is in the reconstruction error, and not in features"
        )
    return {
        "loss_recovered": {name: _finite(getattr(share, name)) for name in ("value", "low", "high", "level")},
        "prediction_recovered": _finite(kept),
        "explained_variance": _finite(found.fit.explained_variance),
        "features_per_token": found.fit.l0,
        "caveat": caveat,
    }


def _finite(number: float) -> float | None:
    """JSON has no infinity, and no NaN."""
    return number if abs(number) < float("inf") else None
