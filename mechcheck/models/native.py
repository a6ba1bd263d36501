"""TransformerLens' own models as directories: toy models, attention-only models, compiled programs, HookedTransformer checkpoints."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import torch

from mechcheck.base.architectures import NATIVE
from mechcheck.base.errors import ModelError
from mechcheck.base.loaded import Processing
from mechcheck.models.admitted import check_undamaged, read_config
from mechcheck.models.directory import first_line, quiet_loading
from mechcheck.models.native_config import NativeConfig, from_json, native_config
from mechcheck.models.native_fold import folded, why_not_folded
from mechcheck.models.native_weights import Weights, is_hooked, named_tensors, native_weights, read_weights
from mechcheck.models.weights import check_finite

if TYPE_CHECKING:
    from transformer_lens.model_bridge import TransformerBridge
    from transformers import PreTrainedTokenizerBase

MODEL_TYPE = "transformer_lens_native"
WEIGHTS = "model.safetensors"
# On how many random sequences, and how closely, folded weights must predict what the stored ones do. Both are computed in float64.
_SEQUENCES = 4
_SAME = 1e-6


class Booted(NamedTuple):
    """A native model in memory."""

    model: "TransformerBridge"
    processing: Processing
    not_folded: str | None
    """Why its norms are not folded, if that was asked for."""
    n_params: int


def keep_native(
    model_or_state_dict: "TransformerBridge | torch.nn.Module | Mapping[str, torch.Tensor] | str | Path",
    config: object,
    directory: str | Path,
    *,
    tokenizer: "PreTrainedTokenizerBase | None" = None,
) -> Path:
    """Keep a TransformerLens model as a directory (config.json, model.safetensors) for `load_model` and `--mech-model`.

    Args:
        model_or_state_dict: a bridge from `TransformerBridge.boot_native`; a HookedTransformer; a state dict of either, by the network's
            names ("layers.0.attn.q.weight"), the bridge's ("blocks.0.attn.q.weight") or HookedTransformer's ("blocks.0.attn.W_Q"); or the
            path of a file with one (.pt, of which nothing but tensors is read, or .safetensors).
        config: a TransformerBridgeConfig, a HookedTransformerConfig, or a dict of their fields; None for a model that has its own.
        directory: where to; created if need be.
        tokenizer: kept beside it; prompts are given as tokens where there is none.

    Raises:
        ModelError: weights that are missing, unexpected or misshapen, all of them named; a setting that TransformerLens' native network
            does not compute; a bridge of another architecture.
    """
    weights, settings, hooked = _taken(model_or_state_dict, config)
    read = native_config(settings, hooked=hooked)
    halves = hooked and not _setting(settings, "rotary_adjacent_pairs")
    kept = native_weights(weights, read, halves=halves)
    return _written(kept, read, Path(directory), tokenizer)


def is_native_directory(directory: Path) -> bool:
    """Whether `keep_native` wrote it."""
    return bool(read_config(directory / "config.json", directory.name).get("model_type") == MODEL_TYPE)


def boot_directory(directory: Path, name: str, device: str, dtype: torch.dtype, processing: Processing) -> Booted:
    """The model that `keep_native` wrote.

    Raises:
        ModelError: the weights are not those that the configuration says.
    """
    from safetensors.torch import load_file

    config = from_json(read_config(directory / "config.json", name), name)
    try:
        stored = {key: value for path in sorted(directory.glob("*.safetensors")) for key, value in load_file(path).items()}
        tokenizer = _tokenizer(directory)
    except Exception as error:  # of as many kinds as libraries read files
        check_undamaged(directory, name)
        raise ModelError(f"{name!r}: its weights or its tokenizer cannot be read ({first_line(error)})") from error
    check_finite(stored, name)
    weights = native_weights(stored, config, halves=False)
    try:
        return _booted(config, weights, tokenizer, name, device, dtype, processing)
    except ModelError:
        raise
    except Exception as error:  # whatever a library meets in the files
        raise ModelError(f"{name!r}: no model can be made of its files ({first_line(error)})") from error


def described(bridge: "TransformerBridge") -> str:
    """A native bridge's configuration as text."""
    return json.dumps(native_config(_settings_of(bridge), hooked=False).to_json())


def boot_twin(config: str, tokenizer: Any, name: str, seed: int, device: str, dtype: torch.dtype, processing: Processing) -> Booted:
    """A model of a described configuration, with weights drawn by TransformerLens' own initialisation."""
    read = from_json(json.loads(config), name)
    drawn = _bridge(read, None, name, "cpu", torch.float64, seed=seed)
    return _booted(read, native_weights(_weights_of(drawn), read, halves=False), tokenizer, name, device, dtype, processing)


def _taken(given: object, config: object) -> tuple[Weights, object, bool]:
    """Weights, configuration, and whether both are a HookedTransformer's."""
    from transformer_lens.model_bridge import TransformerBridge

    if isinstance(given, TransformerBridge):
        if given.cfg.architecture != NATIVE:
            raise ModelError(f"this bridge is a {given.cfg.architecture}, not a native model: keep its transformers model with keep_model")
        return _weights_of(given), _settings_of(given), False
    own = getattr(given, "cfg", None)
    if isinstance(given, torch.nn.Module) or own is not None:
        config = own if config is None else config
        given = given.state_dict()  # type: ignore[attr-defined]
    if config is None:
        raise ModelError("a state dict does not say what model it is of: give its config, keep_native(state_dict, config, directory)")
    weights = named_tensors(read_weights(Path(given)) if isinstance(given, str | Path) else given)
    return weights, config, is_hooked(weights)


def _weights_of(bridge: "TransformerBridge") -> Weights:
    return {name: value.detach().clone() for name, value in bridge.state_dict().items()}


def _settings_of(bridge: "TransformerBridge") -> dict[str, Any]:
    """A bridge's configuration, with the scale that it really divides scores by."""
    return dict(vars(bridge.cfg)) | {"attn_scale": bridge.blocks[0].attn.original_component.scale}


def _setting(config: object, name: str) -> Any:
    return config.get(name) if isinstance(config, Mapping) else getattr(config, name, None)


def _written(weights: Weights, config: NativeConfig, path: Path, tokenizer: "PreTrainedTokenizerBase | None") -> Path:
    from safetensors.torch import save_file

    path.mkdir(parents=True, exist_ok=True)
    if others := sorted(other.name for other in path.glob("*.safetensors") if other.name != WEIGHTS):
        raise ModelError(f"{path} holds other weights ({', '.join(others)}); choose another directory")
    if tokenizer is not None:
        with quiet_loading():
            tokenizer.save_pretrained(path)
    save_file(weights, path / WEIGHTS, metadata={"format": "pt"})
    told = {"model_type": MODEL_TYPE, "architectures": [NATIVE], **config.to_json()}
    (path / "config.json").write_text(json.dumps(told, indent=2) + "\n", encoding="utf-8")
    return path


def _booted(
    config: NativeConfig, weights: Weights, tokenizer: Any, name: str, device: str, dtype: torch.dtype, processing: Processing
) -> Booted:
    """The model, folded where that was asked for, can be done, and leaves its predictions as they are."""
    used, why = weights, None
    if processing == "folded":
        why = why_not_folded(config, weights)
        if why is None:
            processed = folded(config, weights)
            gap = _largest_change(config, weights, processed)
            if gap <= _SAME:
                used = processed
            else:
                why = f"its predictions differ by up to {gap:.2g} nats once its norms are folded"
    model = _bridge(config, used, name, device, dtype, tokenizer)
    return Booted(model, "folded" if used is not weights else "raw", why, sum(value.numel() for value in weights.values()))


def _bridge(
    config: NativeConfig, weights: Weights | None, name: str, device: str, dtype: torch.dtype, tokenizer: Any = None, seed: int = 0
) -> "TransformerBridge":
    """A bridge around the network; without weights, with those that the seed draws."""
    from transformer_lens.model_bridge import TransformerBridge
    from transformer_lens.model_bridge.generalized_components import RMSNormalizationBridge

    with quiet_loading():
        cfg = config.bridge_config(seed=seed, init_weights=weights is None, device=device, architecture=NATIVE, model_name=name)
        model: Any = TransformerBridge.boot_native(cfg, tokenizer=tokenizer, device=device, dtype=dtype, model_name=name)
        if weights is not None:
            model.load_state_dict(weights)
        model.unembed.to(dtype)
    # The bridge's attribute is told as well, for whoever reads it there.
    model.cfg.attn_scale = config.attn_scale
    for block in model.blocks:
        block.attn.original_component.scale = config.attn_scale
    for module in model.modules():
        if isinstance(module, RMSNormalizationBridge):
            module.use_native_layernorm_autograd = False  # the network's own code rounds to float32, the bridge's in float64 does not
    if dtype == torch.float64 and config.rotary_dim is not None and config.rope_scaling is None:
        _exact_tables(model.original_model.rotary, config)
    return model


def _exact_tables(rotary: Any, config: NativeConfig) -> None:
    """Cosines and sines in float64, as HookedTransformer had them; the network computes them in float32 whatever its dtype."""
    assert config.rotary_dim is not None
    exponents = torch.arange(0, config.rotary_dim, 2, dtype=torch.float64) / config.rotary_dim
    angles = torch.outer(torch.arange(config.n_ctx, dtype=torch.float64), float(config.rotary_base) ** -exponents)
    for name, table in (("cos_cached", angles.cos()), ("sin_cached", angles.sin())):
        setattr(rotary, name, table.repeat_interleave(2, dim=-1).to(getattr(rotary, name).device))


def _largest_change(config: NativeConfig, weights: Weights, processed: Weights) -> float:
    """The largest change of a log-probability on random sequences, in nats."""
    generator = torch.Generator().manual_seed(0)
    tokens = torch.randint(0, config.d_vocab, (_SEQUENCES, min(config.n_ctx, 16)), generator=generator)
    found = []
    with torch.no_grad():
        for some in (weights, processed):
            found.append(_bridge(config, some, "check", "cpu", torch.float64)(tokens).log_softmax(-1))
    return float((found[0] - found[1]).abs().max())


def _tokenizer(directory: Path) -> Any:
    from transformers import AutoTokenizer, PreTrainedTokenizerFast

    if (directory / "tokenizer.json").is_file():
        return PreTrainedTokenizerFast.from_pretrained(directory)
    return AutoTokenizer.from_pretrained(directory, trust_remote_code=False) if (directory / "tokenizer_config.json").is_file() else None
