"""Directories of dictionaries, as SAELens writes them (cfg.json and sae_weights.safetensors): read without that package, and written."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, cast

import torch
from torch import Tensor

from mechcheck.base.errors import MechcheckError
from mechcheck.base.json_schema import misfit
from mechcheck.base.paths import embedded_dictionaries
from mechcheck.base.reading import check_file, is_dir, read_json
from mechcheck.notation.dictionaries import TENSORS, Architecture, Dictionary, Normalisation

CONFIG, WEIGHTS, SPARSITY = "cfg.json", "sae_weights.safetensors", "sparsity.safetensors"
_FORMAT = "6.0.0"
"""The version of SAELens since which a configuration looks as it is written here."""
_ARCHITECTURES: dict[str, tuple[Architecture, bool]] = {
    "standard": ("standard", False),
    "topk": ("topk", False),
    "jumprelu": ("jumprelu", False),
    "gated": ("gated", False),
    "transcoder": ("standard", True),
    "skip_transcoder": ("standard", True),
    "jumprelu_transcoder": ("jumprelu", True),
    "jumprelu_skip_transcoder": ("jumprelu", True),
}
"""SAELens' name -> the encoder's architecture, and whether it is a transcoder."""
_OLD_NAMES = {"hook_point": "hook_name", "hook_point_head_index": "hook_head_index", "activation_fn_str": "activation_fn"}
_FOLDS = ("center_writing_weights", "fold_ln", "fold_value_biases")
"""What TransformerLens does to weights that changes a dictionary's activations."""
_TEXT, _TABLE = {"type": ["string", "null"]}, {"type": ["object", "null"]}
_COUNT = {"type": ["integer", "null"], "minimum": 0}
_SAID: dict[str, Any] = {
    **dict.fromkeys(("hook_name", "hook_name_out"), _TEXT), "hook_head_index": _COUNT, "model_from_pretrained_kwargs": _TABLE,
}  # fmt: skip
_SCHEMA: dict[str, Any] = {
    "properties": {
        **_SAID, **dict.fromkeys(("activation_fn", "reshape_activations"), _TEXT), "architecture": {"type": "string"}, "k": _COUNT,
        "metadata": {"type": ["object", "null"], "properties": _SAID}, "normalize_activations": {"type": ["string", "boolean", "null"]},
        "activation_fn_kwargs": {"type": ["object", "null"], "properties": {"k": _COUNT}},
    }
}  # fmt: skip
"""What the settings that are heeded are."""
_SILENT = 1e-9
"""A frequency below this is none: SAELens keeps logarithms, of which that of 0 is -10."""


def load_dictionary(
    directory: str | Path,
    *,
    hook: str | None = None,
    processing: Literal["raw", "folded"] | None = None,
    norm_scaling_factor: float | None = None,
) -> Dictionary:
    """Read a sparse autoencoder or a transcoder from a directory that SAELens, or `keep_dictionary`, wrote.

    Architectures: standard, topk, jumprelu, gated; transcoder, with skip and with jumprelu. What a directory says that is not computed
    here is refused by name. Scales are folded into the weights: a finetuning factor and `norm_scaling_factor`, and of a topk dictionary
    the norms of its decoder, in units of which its activations then are.

    Args:
        directory: one of those that come with mechcheck, "compiled-ioi-stream-seed0", or a directory with cfg.json and
            sae_weights.safetensors; sparsity.safetensors, where it is there, says how often features fire.
        hook: "blocks.5.hook_resid_pre", where the configuration does not say it.
        processing: with which the model was loaded that it was trained on, where the configuration does not say it; a model that is
            loaded otherwise is then refused.
        norm_scaling_factor: by what activations are multiplied before they are encoded, for a directory whose configuration says
            "expected_average_only_in".

    Raises:
        MechcheckError: no such directory, a pickle, a format or an architecture that is not served, weights that are lacking, left over,
            not finite, or of shapes that do not fit.
        SiteError: its hook is no place of mechcheck's.
    """
    if norm_scaling_factor is not None and not (isinstance(norm_scaling_factor, int | float) and 0 < norm_scaling_factor < 1e30):
        raise MechcheckError(f"norm_scaling_factor is a number above 0, not {norm_scaling_factor!r:.60}")
    path = _checked(embedded_dictionaries().get(str(directory), Path(directory)))
    config = _config(path)
    tensors = _tensors(path / WEIGHTS)
    said = _metadata(config)
    named = config.get("architecture", "standard")
    k = config.get("k")
    if config.get("activation_fn") == "topk":
        named, k = "topk", (config.get("activation_fn_kwargs") or {}).get("k")
    if named not in _ARCHITECTURES:
        raise MechcheckError(f"{path.name}: the architecture {named!r} is not served; those that are: {', '.join(_ARCHITECTURES)}")
    architecture, transcoder = _ARCHITECTURES[named]
    at = hook or said.get("hook_name")
    out = said.get("hook_name_out") if transcoder else None
    if not at or (transcoder and not out):
        raise MechcheckError(f"{path.name}: {CONFIG} does not say which activations it is of (hook_name); give hook=...")
    _fold(path, config, tensors, architecture, norm_scaling_factor)
    unknown = sorted(set(tensors) - set(TENSORS))
    if unknown:
        raise MechcheckError(f"{path.name}: {WEIGHTS} holds {', '.join(unknown)}, which a {named} dictionary does not have")
    missing = [name for name in ("W_enc", "W_dec") if name not in tensors]
    if missing:
        raise MechcheckError(f"{path.name}: {WEIGHTS} lacks {', '.join(missing)}")
    _check_sizes(path, config, tensors)
    return Dictionary(
        **tensors,
        hook=out if transcoder and out else at,
        reads=at if transcoder else None,
        architecture=architecture,
        k=k if architecture == "topk" else None,
        head=said.get("hook_head_index"),
        subtract_b_dec=not transcoder and bool(config.get("apply_b_dec_to_input", True)),
        normalise=_normalisation(path, config, norm_scaling_factor),
        processing=processing or _processing(said),
        frequency=_frequency(path / SPARSITY),
        name=str(said.get("name") or path.name),
        about=said,
    )


def keep_dictionary(dictionary: Dictionary, directory: str | Path) -> Path:
    """Write a dictionary as a directory that `load_dictionary` and SAELens read.

    Args:
        dictionary: what is written.
        directory: where to; created if need be.

    Raises:
        MechcheckError: a kind of dictionary that SAELens has no form for.
    """
    from safetensors.torch import save_file

    served = [name for name, kind in _ARCHITECTURES.items() if kind == (dictionary.architecture, dictionary.reads is not None)]
    served = [name for name in served if ("skip" in name) == (dictionary.W_skip is not None)]
    if not served:
        raise MechcheckError(f"SAELens has no form for a {dictionary.architecture} transcoder, so it cannot be kept")
    path = Path(directory)
    path.mkdir(parents=True, exist_ok=True)
    dtype, site = dictionary.W_enc.dtype, dictionary.site
    folded = dictionary.processing == "folded"
    metadata = {
        **dictionary.about,
        "name": dictionary.name,
        "hook_name": dictionary.reads or dictionary.hook,
        **({"hook_name_out": dictionary.hook} if dictionary.reads else {}),
        "hook_head_index": dictionary.head,
        **({} if dictionary.processing is None else {"model_from_pretrained_kwargs": dict.fromkeys(_FOLDS, folded)}),
        "sae_lens_version": _FORMAT,
    }
    config = {
        "architecture": served[0],
        "d_in": dictionary.d_in,
        "d_sae": dictionary.d_sae,
        **({"d_out": dictionary.d_out} if dictionary.reads else {}),
        **({} if dictionary.k is None else {"k": dictionary.k, "rescale_acts_by_decoder_norm": False}),
        "dtype": str(dtype).removeprefix("torch."),
        "device": "cpu",
        "apply_b_dec_to_input": dictionary.subtract_b_dec and dictionary.reads is None,
        "normalize_activations": dictionary.normalise,
        "reshape_activations": "hook_z" if site.kind == "head" and site.together else "none",
        "metadata": metadata,
    }
    tensors = {name: tensor for name in TENSORS if (tensor := getattr(dictionary, name)) is not None}
    save_file({name: tensor.cpu().to(dtype).contiguous() for name, tensor in tensors.items()}, path / WEIGHTS)
    if dictionary.frequency is not None:
        save_file({"sparsity": (dictionary.frequency.cpu().double() + 1e-10).log10()}, path / SPARSITY)
    (path / CONFIG).write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")
    return path


def _checked(path: Path) -> Path:
    """Refuse what is no such directory."""
    pickles = (".pt", ".pth", ".bin", ".ckpt", ".pkl")
    if path.suffix in pickles:
        raise MechcheckError(f"{path.name} is a pickle, which can run code when loaded: save it with SAELens' save_model, as safetensors")
    if not is_dir(path):
        raise MechcheckError(
            f"there is no directory {str(path)!r}; a dictionary is one with {CONFIG} and {WEIGHTS}, or one of those that come with "
            f"mechcheck: {', '.join(embedded_dictionaries())}"
        )
    for name in (CONFIG, WEIGHTS):
        if not (path / name).is_file():
            others = sorted(p.name for p in path.iterdir() if p.suffix in (*pickles, ".npz", ".safetensors"))
            there = f"; there are {', '.join(others)}, which SAELens' save_model writes in that form" if others else ""
            raise MechcheckError(f"{path.name} has no {name}{there}")
    return path


def _config(path: Path) -> dict[str, Any]:
    """The configuration, under the names of SAELens 6."""
    try:
        config = read_json(path / CONFIG)
    except (OSError, ValueError) as error:
        raise MechcheckError(f"{path.name}: {CONFIG} is no JSON: {error}") from error
    if not isinstance(config, dict):
        raise MechcheckError(f"{path.name}: {CONFIG} is no table of settings")
    config = {_OLD_NAMES.get(name, name): value for name, value in config.items()}
    if problem := misfit(config, _SCHEMA):
        raise MechcheckError(f"{path.name}: in {CONFIG} {problem}")
    activation = config.get("activation_fn", "relu")
    if activation not in ("relu", "topk", None):
        raise MechcheckError(f"{path.name}: the activation function {activation!r} is not served; those that are: relu, topk")
    reshaped = config.get("reshape_activations", "none")
    if reshaped not in ("none", "hook_z", None):
        raise MechcheckError(f"{path.name}: reshape_activations {reshaped!r} is not served")
    return config


def _metadata(config: Mapping[str, Any]) -> dict[str, Any]:
    """What is said of the model and its hooks: a table of its own since SAELens 6, among the settings before."""
    flat = ("model_name", "hook_name", "hook_name_out", "hook_head_index", "model_from_pretrained_kwargs", "prepend_bos", "dataset_path")
    return {name: config[name] for name in flat if name in config} | dict(config.get("metadata") or {})


def _tensors(file: Path) -> dict[str, Tensor]:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        check_file(file)
        return load_file(file)
    except (SafetensorError, OSError, ValueError, MemoryError) as error:  # MemoryError: sizes that its header makes up
        raise MechcheckError(f"{file.parent.name}: {file.name} is no safetensors file: {error}") from error


def _fold(path: Path, config: Mapping[str, Any], tensors: dict[str, Tensor], architecture: Architecture, norm: float | None) -> None:
    """Put the scales into the weights, in place."""
    tuned = tensors.pop("scaling_factor", tensors.pop("finetuning_scaling_factor", None))
    if tuned is not None and not torch.allclose(tuned, torch.ones_like(tuned)):
        if not config.get("finetuning_scaling_factor"):
            raise MechcheckError(f"{path.name}: {WEIGHTS} holds a scaling_factor, and {CONFIG} says that there is none")
        tensors["W_dec"] = tensors["W_dec"] * tuned[:, None]
    if architecture == "topk" and config.get("rescale_acts_by_decoder_norm"):
        norms = tensors["W_dec"].norm(dim=-1).clamp(min=1e-8)
        tensors |= {"W_enc": tensors["W_enc"] * norms, "b_enc": tensors["b_enc"] * norms, "W_dec": tensors["W_dec"] / norms[:, None]}
    if norm is not None:
        norm = float(norm)
        tensors |= {"W_enc": tensors["W_enc"] * norm, "W_dec": tensors["W_dec"] / norm, "b_dec": tensors["b_dec"] / norm}


def _normalisation(path: Path, config: Mapping[str, Any], norm: float | None) -> Normalisation:
    said = config.get("normalize_activations") or "none"
    said = "expected_average_only_in" if said is True else said
    if said == "expected_average_only_in":
        if norm is None:
            raise MechcheckError(
                f"{path.name}: activations are to be scaled to their expected norm before they are encoded, by a factor that its files do "
                "not hold: give norm_scaling_factor=sqrt(d_in) / mean norm of the activations, or fold it in with SAELens"
            )
        return "none"
    if norm is not None:
        raise MechcheckError(f"{path.name}: normalize_activations is {said!r}, so there is no norm_scaling_factor")
    if said not in ("none", "constant_norm_rescale", "layer_norm"):
        raise MechcheckError(f"{path.name}: normalize_activations {said!r} is not served")
    return cast(Normalisation, said)


def _processing(said: Mapping[str, Any]) -> Literal["raw", "folded"] | None:
    """SAELens loads a model without any processing but what these settings ask for; None where there are no such settings."""
    settings = said.get("model_from_pretrained_kwargs")
    if not isinstance(settings, Mapping):
        return None
    return "folded" if any(settings.get(name) for name in _FOLDS) else "raw"


def _frequency(file: Path) -> Tensor | None:
    """On which share of tokens each feature fires, of the logarithms to base 10 that SAELens keeps."""
    if not file.is_file():
        return None
    found = _tensors(file).get("sparsity")
    if found is None:
        raise MechcheckError(f"{file.parent.name}: {file.name} holds no sparsity")
    frequency = 10.0 ** found.double()
    return torch.where(frequency > _SILENT, frequency, 0.0).float()


def _check_sizes(path: Path, config: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> None:
    """The configuration's sizes are those of the weights."""
    sizes = {"d_in": tensors["W_enc"].shape[0], "d_sae": tensors["W_enc"].shape[-1], "d_out": tensors["W_dec"].shape[-1]}
    for name, size in sizes.items():
        if name in config and config[name] != size:
            raise MechcheckError(f"{path.name}: {CONFIG} says {name} = {config[name]}, and the weights have {size}")
