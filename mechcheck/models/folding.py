"""TransformerLens' weight processing, a layer at a time and in the weights' own memory: a model takes little more room than they.

By itself TransformerLens copies all weights several times over, in float32 whatever the model's dtype. What one layer becomes depends on no
other, so that the same functions, given one layer, make the same numbers.
"""

import copy
import re
from collections.abc import Collection, Iterable, Iterator
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

if TYPE_CHECKING:
    from transformer_lens.model_bridge import TransformerBridge

State = dict[str, Tensor]
"""By the bridge's names: "embed.weight", "blocks.0.attn.q.weight"."""

_EMBEDDINGS = ("embed", "pos_embed")
_LAYER = re.compile(r"blocks\.(\d+)\.")


def fold(model: "TransformerBridge") -> None:
    """Fold norms, centre what writes to the stream, fold value biases: the compatibility mode of TransformerLens, with its numbers.

    Layouts whose layers cannot be taken by themselves (experts, adapters that prepare all weights together) go the way of TransformerLens.
    """
    state = model.state_dict()
    if not _in_layers(model, state):
        del state
        model.enable_compatibility_mode(disable_warnings=True)
        return
    with torch.no_grad():
        for layer in range(model.cfg.n_layers):
            _fold_layer(model, layer, _taken(state, f"blocks.{layer}."))
        _fold_ends(model, state)
    model.adapter.postprocess_weights(model)
    model._weights_processed = True  # what it would set itself: nobody is to process them twice
    model.enable_compatibility_mode(disable_warnings=True, no_processing=True)


def _in_layers(model: "TransformerBridge", state: State) -> bool:
    """Whether each weight belongs to one layer or to the ends, and nothing is done to all of them together."""
    from transformer_lens.model_bridge.architecture_adapter import ArchitectureAdapter
    from transformer_lens.utilities.architectures import POST_NORM_ARCHITECTURES

    cfg, adapter = model.cfg, model.adapter
    if type(adapter).preprocess_weights is not ArchitectureAdapter.preprocess_weights or not adapter.supports_compatibility_mode:
        return False
    if getattr(cfg, "num_experts", None) or getattr(cfg, "original_architecture", None) in POST_NORM_ARCHITECTURES:
        return False
    lists = [name for name, (_, component) in model.real_components.items() if isinstance(component, list)]
    named = all(key.split(".")[0] in model.real_components for key in state)
    blocks = {int(found[1]) for key in state if (found := _LAYER.match(key))}
    return (
        named and lists == ["blocks"] and blocks == set(range(cfg.n_layers)) and all(value.is_floating_point() for value in state.values())
    )


def _fold_layer(model: "TransformerBridge", layer: int, weights: State) -> None:
    first = "blocks.0."
    made = _processed(model, {first + name: value for name, value in weights.items()}, layers=1, unembed=False)
    block = model.blocks[layer]
    with _InPlace([block]):
        _distribute({key: value for key, value in made.items() if key.startswith(first)}, {"blocks": (None, [block])})


def _fold_ends(model: "TransformerBridge", weights: State) -> None:
    """The embeddings after the others, not to hold copies of both at once; an unembedding that is tied to them is made of them as read."""
    ends = {name: part for name, part in model.real_components.items() if name != "blocks"}
    for some in ({name for name in ends if name not in _EMBEDDINGS}, {name for name in ends if name in _EMBEDDINGS}):
        here = {key: weights.pop(key) for key in list(weights) if key.split(".")[0] in some}
        made = _processed(model, here, layers=0, unembed="unembed.weight" in here)
        here.clear()
        with _InPlace([ends[name][1] for name in ends if name in some], {value.data_ptr() for value in weights.values()}):
            _distribute(made, {name: ends[name] for name in ends if name in some})


def _processed(model: "TransformerBridge", weights: State, *, layers: int, unembed: bool) -> State:
    from transformer_lens.utilities.activation_functions import softcap_enabled
    from transformer_lens.weight_processing import ProcessWeights

    beside = {f"{end}.weight": torch.zeros(1, model.cfg.d_model) for end in _EMBEDDINGS}  # centred too; nobody reads them
    cfg = copy.copy(model.cfg)
    cfg.n_layers = layers
    capped = softcap_enabled(getattr(cfg, "output_logits_soft_cap", None))  # a capped logit is not the same with less on all of them
    made = ProcessWeights.process_weights(beside | weights, cfg, center_unembed=unembed and not capped, adapter=model.adapter)
    return {key: value for key, value in made.items() if key in weights or key not in beside}


def _distribute(weights: State, components: Any) -> None:
    from transformer_lens.weight_processing import ProcessWeights

    ProcessWeights.distribute_weights_to_components(state_dict=weights, component_mapping=components)


def _taken(state: State, prefix: str) -> State:
    """The weights of one layer, which `state` holds no longer."""
    return {key.removeprefix(prefix): state.pop(key) for key in list(state) if key.startswith(prefix)}


class _InPlace:
    """Within this context new parameters may be set; behind it they stand where the old ones stood, if they fit there.

    Memory that is mapped from a file is the process's own once it is written to, and the file stays as it is.
    """

    def __init__(self, modules: Iterable[torch.nn.Module], needed: Collection[int] = ()):
        """For the parameters of these modules; what begins at the addresses that are needed stays as it is."""
        self._modules, self._needed = list(modules), needed

    def __enter__(self) -> None:
        self._before = dict(self._parameters())

    def __exit__(self, *_: object) -> None:
        written: set[int] = set(self._needed)
        for key, new in self._parameters():
            old = self._before.pop(key, None)
            if old is None or new is old or new.data_ptr() in written or not _fits(new, old) or old.data_ptr() in written:
                continue
            old.data.copy_(new.data)
            new.data = old.data
            written.add(old.data_ptr())

    def _parameters(self) -> Iterator[tuple[tuple[int, str], torch.nn.Parameter]]:
        for number, module in enumerate(self._modules):
            for name, parameter in module.named_parameters(remove_duplicate=False):
                yield (number, name), parameter


def _fits(new: Tensor, old: Tensor) -> bool:
    """Whether the old memory has the new tensor's form, and holds nothing else, as where queries, keys and values are cut out of one."""
    same = new.shape == old.shape and new.dtype == old.dtype and new.stride() == old.stride()
    return same and old.untyped_storage().nbytes() == old.nbytes
