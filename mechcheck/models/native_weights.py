"""A native model's weights under the names that files give them: those of TransformerLens' network, of its bridge, of HookedTransformer."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from mechcheck.base.errors import ModelError
from mechcheck.base.reading import check_file
from mechcheck.models.native_config import NativeConfig

Weights = dict[str, Tensor]
"""By the bridge's names: "embed.weight", "blocks.0.attn.q.weight", "blocks.0.mlp.in.weight", "unembed.bias"."""

# The names of the network in the bridge, and the bridge's.
_NETWORK = (
    (r"^tok_embed\.", "embed."),
    (r"^pos\.", "pos_embed."),
    (r"^layers\.", "blocks."),
    (r"^ln_out\.", "ln_final."),
    (r"^head\.", "unembed."),
    (r"\.mlp\.fc_(in|out)\.", r".mlp.\1."),
)
_HOOKED = re.compile(r".*\.(_?[Wb]_[A-Za-z]+|ln\w*\.[wb]|w|b)")
_NO_WEIGHTS = (".mask", ".IGNORE", ".rotary_sin", ".rotary_cos", ".causal_mask")
# What torch.compile and DataParallel put in front of every name.
_WRAPPERS = ("_orig_mod.", "module.")
_SHOWN = 6


def read_weights(path: Path) -> Any:
    """What a .pt or .safetensors file holds; of a pickle nothing but tensors and plain containers is read.

    Raises:
        ModelError: there is no such file, or it holds objects, which would run code when they are loaded.
    """
    try:
        check_file(path)
    except FileNotFoundError:
        raise ModelError(f"there is no file {path}") from None
    except (OSError, ValueError) as error:
        raise ModelError(f"{path} cannot be read as weights: {error}") from error
    if path.suffix == ".safetensors":
        from safetensors.torch import load_file

        return load_file(path)
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch raises UnpicklingError, RuntimeError, EOFError and others for a damaged file
        raise ModelError(
            f"{path} cannot be read as tensors alone: {str(error).splitlines()[0]} A file with other objects in it could run code; "
            "where it was written, keep the weights alone: torch.save(model.state_dict(), path)"
        ) from error


def named_tensors(given: object) -> Weights:
    """The state dict, without what a wrapper puts in front of every name.

    Raises:
        ModelError: it is none.
    """
    if not isinstance(given, Mapping) or not given or not all(isinstance(name, str) for name in given):
        raise ModelError(f"expected a state dict (name -> tensor), got {type(given).__name__}{' that is empty' if given == {} else ''}")
    weights = dict(given)
    for wrapper in _WRAPPERS:
        if all(name.startswith(wrapper) for name in weights):
            weights = {name.removeprefix(wrapper): value for name, value in weights.items()}
    if others := [name for name, value in weights.items() if not isinstance(value, Tensor)]:
        inside = next((name for name in others if isinstance(weights[name], Mapping)), others[0])
        raise ModelError(
            f"expected a state dict (name -> tensor), but {', '.join(sorted(others)[:_SHOWN])} are no tensors; give the part that is one, "
            f"for example torch.load(path, weights_only=True)[{inside!r}]"
        )
    return {name: value.detach() for name, value in weights.items() if not name.endswith(_NO_WEIGHTS)}


def is_hooked(weights: Mapping[str, Tensor]) -> bool:
    """Whether the names are those of HookedTransformer ("blocks.0.attn.W_Q")."""
    return any(_HOOKED.fullmatch(name) for name in weights)


def native_weights(weights: Weights, config: NativeConfig, *, halves: bool) -> Weights:
    """The weights by the bridge's names.

    Args:
        weights: by any of the three kinds of names.
        config: what they are weights of.
        halves: rotary positions turn the first half of the components with the second, as HookedTransformer did unless it was told
            otherwise; they are put beside each other, as the network has them.

    Raises:
        ModelError: weights that are missing, unexpected or misshapen.
    """
    if is_hooked(weights):
        weights = _from_hooked(weights, config)
        if config.rotary_dim is not None and halves:
            weights = _side_by_side(weights, config)
    return _fitting({_renamed(name): value for name, value in weights.items()}, config)


def _from_hooked(weights: Weights, config: NativeConfig) -> Weights:
    from transformer_lens.conversion_utils import convert_tl_checkpoint

    try:
        return convert_tl_checkpoint(weights, config.bridge_config())
    except ValueError as error:
        raise ModelError(str(error).removeprefix("convert_tl_checkpoint: ")) from error


def _side_by_side(weights: Weights, config: NativeConfig) -> Weights:
    """Queries and keys with component i + rotary_dim / 2 put behind component i: their products are the same."""
    turned = config.rotary_dim
    assert turned is not None
    order = torch.arange(config.d_head)
    order[:turned] = torch.arange(turned).view(2, -1).T.flatten()
    found = dict(weights)
    for name, value in weights.items():
        if re.search(r"\.attn\.[qk]\.(weight|bias)$", name):
            found[name] = value.unflatten(0, (-1, config.d_head))[:, order].flatten(0, 1)
    return found


def _fitting(weights: Weights, config: NativeConfig) -> Weights:
    """Every weight that the network has, in its shape, contiguous and by itself; a head without a bias has one of zeros."""
    shapes = expected_shapes(config)
    extra = {name: value for name, value in weights.items() if name not in shapes}
    # A bias where the network has none adds nothing if it is zero (HookedTransformer's gated MLPs).
    unexpected = [name for name, value in extra.items() if not (name.endswith("bias") and not value.any())]
    weights = {"unembed.bias": torch.zeros(config.d_vocab_out), **weights}
    missing = [name for name in shapes if name not in weights]
    misshapen = [
        f"{name} {tuple(weights[name].shape)} instead of {shape}"
        for name, shape in shapes.items()
        if name in weights and tuple(weights[name].shape) != shape
    ]
    integers = [name for name in shapes if name in weights and not weights[name].is_floating_point()]
    told = {"missing": missing, "unexpected": unexpected, "misshapen": misshapen, "no floating-point numbers": integers}
    if problems := [f"{what}: {_some(names)}" for what, names in told.items() if names]:
        raise ModelError(f"the weights do not fit the configuration ({'; '.join(problems)}), so nothing was made up for them")
    if broken := [name for name in shapes if not weights[name].isfinite().all()]:
        raise ModelError(f"weights that are NaN or infinite: {_some(broken)}")
    dtype = weights["embed.weight"].dtype
    given = {name: weights[name] for name in shapes}
    given["unembed.bias"] = given["unembed.bias"].to(dtype)
    return {name: value.cpu().clone(memory_format=torch.contiguous_format) for name, value in given.items()}


def expected_shapes(config: NativeConfig) -> dict[str, tuple[int, ...]]:
    """Name -> shape of every weight that the network has."""
    from transformer_lens.model_bridge.sources.native import NativeModel

    with torch.device("meta"):
        network = NativeModel(config.bridge_config())
    return {_renamed(name): tuple(value.shape) for name, value in network.state_dict().items()} | {"unembed.bias": (config.d_vocab_out,)}


def _some(names: list[str]) -> str:
    return ", ".join(names[:_SHOWN]) + (f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else "")


def _renamed(name: str) -> str:
    for pattern, new in _NETWORK:
        name = re.sub(pattern, new, name)
    return name
