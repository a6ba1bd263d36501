"""What transformers loads, looked at before TransformerLens takes it apart: are all weights there, and what does it compute by itself?"""

import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from mechcheck.base.errors import ModelError
from mechcheck.models.admitted import check_sizes, stored_shapes
from mechcheck.models.agreement import Prediction, predict, probe
from mechcheck.models.placing import is_mapped

if TYPE_CHECKING:
    from transformers import PretrainedConfig, PreTrainedModel

# What stands in files and is no part of a prediction: masks and tables of older versions, and heads beside the one that predicts tokens.
_UNUSED = re.compile(
    r"\.(attn|attention)\.(masked_)?bias$|\brotary_emb\.inv_freq$|\bposition_ids$|(^|\.)pooler\.|^cls\.seq_relationship\.|^(v_head|value_head)\."
)
_NAMED = 4
"""Weights that a message names; of a model in the wrong format all are missing."""


class Watched:
    """Stands in for transformers' auto class where TransformerLens loads a model."""

    def __init__(self, name: str, device: str):
        """Load for messages about a model of this name, to this device."""
        self._name, self._device = name, device
        self.no_head: str | None = None
        """Why the model cannot predict; None where it can."""
        self._drawn: list[torch.nn.Parameter] = []
        self.own: Prediction | None = None
        """What transformers' own forward pass makes of a few sequences; None before it ran."""

    def from_pretrained(self, directory: str, **settings: Any) -> "PreTrainedModel":
        """Load the weights, refuse what lacks some, and run it.

        Raises:
            ModelError: weights that are missing, left over, or of another shape; a model that does not read text from left to right, or
                predict words in one.
        """
        auto = self._auto_class(settings["config"])
        check_sizes(self._name, auto, settings["config"], stored_shapes(Path(directory), self._name))
        model, info = auto.from_pretrained(
            directory, output_loading_info=True, ignore_mismatched_sizes=True, use_safetensors=True, **settings
        )
        self.no_head = check_weights(self._name, model, info)
        check_finite(dict(model.named_parameters()), self._name)
        self._drawn = [model.get_parameter(key) for key in sorted(info["missing_keys"])]
        with_zero_biases(model)
        model = (model if is_mapped(self._device) else model.to(self._device)).eval()
        self.own = predict(model, probe(model.config.get_text_config()), encoder=_reads_both_ways(auto))
        return model

    def blank_head(self) -> None:
        """Make the head that was drawn at random one of NaN, so that no number can come of it unnoticed."""
        with torch.no_grad():
            for parameter in self._drawn:
                parameter.fill_(torch.nan)

    def from_config(self, config: "PretrainedConfig", **settings: Any) -> "PreTrainedModel":
        """The same architecture with weights drawn anew."""
        return with_zero_biases(self._auto_class(config).from_config(config, **settings))

    def _auto_class(self, config: "PretrainedConfig") -> Any:
        from transformer_lens.model_bridge.sources.transformers import (
            determine_architecture_from_hf_config,
            get_hf_model_class_for_architecture,
        )
        from transformer_lens.utilities.architectures import classify_architecture

        architecture = determine_architecture_from_hf_config(config)
        kind = classify_architecture(architecture)
        if kind == "seq2seq" or config.is_encoder_decoder:
            raise ModelError(
                f"{self._name!r} ({architecture}) reads in an encoder and predicts in a decoder, so a prompt has two places to stand in "
                "and a site two stacks to lie in; mechcheck serves models of one stack (decoders such as GPT-2, encoders such as BERT)"
            )
        if kind in ("audio", "vision"):
            raise ModelError(f"{self._name!r} ({architecture}) reads no text; mechcheck serves models of text")
        return get_hf_model_class_for_architecture(architecture)


def _reads_both_ways(auto: Any) -> bool:
    return "MaskedLM" in auto.__name__


def with_zero_biases(model: "PreTrainedModel") -> "PreTrainedModel":
    """A GPT-NeoX whose attention has no biases, with biases of zero, which are the same: TransformerLens knows it only so."""
    if model.config.model_type == "gpt_neox" and not model.config.attention_bias:
        for module in model.modules():
            for part in ("query_key_value", "dense"):
                linear = getattr(module, part, None)
                if isinstance(linear, torch.nn.Linear) and linear.bias is None:
                    linear.bias = torch.nn.Parameter(linear.weight.new_zeros(linear.out_features))
    return model


def check_weights(name: str, model: "PreTrainedModel", info: Mapping[str, Any]) -> str | None:
    """Refuse a model that is not wholly in its files; why it cannot predict where only the head is not, and nothing stands in its place.

    Args:
        name: of the model, for messages.
        model: as transformers loaded it.
        info: what transformers says of that: missing_keys, unexpected_keys, mismatched_keys. Weights that are tied to others are not
            missing in it, nor are buffers that the model makes itself.

    Raises:
        ModelError: names of the weights.
    """
    missing, unused = set(info["missing_keys"]), sorted(key for key in info["unexpected_keys"] if not _UNUSED.search(key))
    other_shapes = sorted(info["mismatched_keys"])
    if other_shapes:
        shapes = [f"{key} is {list(stored)} and would have to be {list(wanted)}" for key, stored, wanted in other_shapes]
        raise ModelError(
            f"{name!r}: weights in the file have other shapes than its config.json says: {_listed(shapes)}. "
            "Put the configuration there that the weights were saved with"
        )
    if missing and not unused and missing >= _head(model):
        return f"{name!r} has no {_noun(model)} ({_listed(sorted(missing))} not in its files)"
    if missing:
        extra = f"; the file holds weights that {type(model).__name__} has no place for: {_listed(unused)}" if unused else ""
        raise ModelError(
            f"{name!r}: the file lacks weights of {type(model).__name__}, which would be drawn at random: "
            f"{_listed(sorted(missing))}{extra}. {_way_out(missing, unused, model)}"
        )
    if unused:
        raise ModelError(
            f"{name!r}: the file holds weights that {type(model).__name__} has no place for, so it would compute something else than the "
            f"model they belong to: {_listed(unused)}. Save the model anew with save_pretrained, adapters merged, and a config.json that "
            "describes it"
        )
    return None


def check_finite(weights: Mapping[str, torch.Tensor], name: str) -> None:
    """Refuse weights that are no numbers: whatever is measured with them is none either.

    Raises:
        ModelError: names of the weights.
    """
    wrong = {key: value for key, value in weights.items() if value.is_floating_point() and not bool(value.isfinite().all())}
    if wrong:
        kinds = " and ".join(
            kind for kind, has in (("NaN", torch.isnan), ("infinite", torch.isinf)) if any(bool(has(v).any()) for v in wrong.values())
        )
        raise ModelError(
            f"{name!r} has {kinds} weights: {_listed(wrong)}. A training run that diverged leaves such, or a damaged file; "
            "take an earlier checkpoint, or save the model again"
        )


def _way_out(missing: Iterable[str], unused: Iterable[str], model: "PreTrainedModel") -> str:
    wrapped = next((key for key in unused if re.match(r"(_orig_mod|module|model|base_model)\.", key)), None)
    if wrapped and not any(_in_body(key, model) for key in unused):
        prefix = wrapped.partition(".")[0]
        return f"Save the model itself, not what is wrapped around it (a compiled or parallel model keeps it in .{prefix})"
    if not any(_in_body(key, model) for key in missing):
        return (
            "It can predict no token; to ask about its attention, save the body alone: AutoModel.from_pretrained(...).save_pretrained(...)"
        )
    return "Save the whole model with save_pretrained"


def _in_body(key: str, model: "PreTrainedModel") -> bool:
    return key.startswith(f"{model.base_model_prefix}.")


def _head(model: "PreTrainedModel") -> set[str]:
    """Names of the weights that make logits of the last stream, but for those that are tied to others."""
    if not hasattr(model, model.base_model_prefix):
        return {""}  # the prediction is made by the body: nothing can be without it
    tied = {key for pair in model.all_tied_weights_keys.items() for key in pair if _in_body(pair[1], model)}
    return {key for key, _ in model.named_parameters(remove_duplicate=False) if not _in_body(key, model)} - tied or {""}


def _noun(model: "PreTrainedModel") -> str:
    return "masked-word head" if "MaskedLM" in type(model).__name__ else "head that makes logits"


def _listed(names: Iterable[str]) -> str:
    listed = list(names)
    more = len(listed) - _NAMED
    return ", ".join(listed[:_NAMED]) + (f" and {more} more" if more > 0 else "")
