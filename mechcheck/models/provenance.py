"""Knowing exactly what a model is: what was loaded, or, of a model that somebody made otherwise, what its parameters are."""

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

import torch

from mechcheck.base.errors import ModelError
from mechcheck.base.loaded import Processing, Source, check_loaded, set_processing, set_source

if TYPE_CHECKING:
    from transformer_lens.model_bridge import TransformerBridge


@dataclass(frozen=True)
class Provenance:
    """What a model is."""

    name: str
    """Embedded name, directory name or hub id; a re-initialised twin adds "#reinitialised-<seed>". Of a model in memory what its
    configuration calls it."""
    directory: Path | None
    """Where its files lie; None for a model that was made in memory."""
    revision: str | None
    """Commit of the hub repository; None for local directories."""
    weights_sha256: str
    """Hash of the weights files, or of the parameters for a re-initialised twin and for a model in memory."""
    processing: Processing
    """"folded": LayerNorm folded, weights centred, value biases folded (compatibility mode); "raw": as stored."""
    dtype: str
    device: str
    """A device, or what was given as `device_map`, as text."""
    n_params: int
    """Parameters as stored, before processing."""
    not_folded: str | None = None
    """Why the weights are raw although "folded" was asked for; None where they are what was asked for."""


_KNOWN: "WeakKeyDictionary[torch.nn.Module, Provenance]" = WeakKeyDictionary()
# Parameters up to which a model is hashed each time, as changes by way of `.data` leave no trace in torch's counters.
_SMALL = 1_000_000
# What was found out about models that nobody loaded, and the state that they were in.
_FOUND: "WeakKeyDictionary[torch.nn.Module, tuple[Any, Provenance]]" = WeakKeyDictionary()


def remember(model: "TransformerBridge", source: Provenance) -> "TransformerBridge":
    """The model, of which it is known from now on what it is."""
    _KNOWN[model] = source
    set_processing(model, source.processing)
    if source.directory is not None:
        set_source(model, Source("mechcheck.models.again", "load_again", source))
    return model


def provenance(model: "TransformerBridge") -> Provenance:
    """What `model` is: as it was loaded, or, of any other bridge, by the hash of its parameters as they are now.

    Raises:
        ModelError: it is no TransformerBridge.
    """
    check_bridge(model)
    known = _KNOWN.get(model)
    return _found(model) if known is None else known


def check_bridge(model: object) -> None:
    """Raise unless it is a TransformerBridge.

    Raises:
        ModelError: what it is, and how it becomes one.
    """
    from transformer_lens.model_bridge import TransformerBridge

    check_loaded(model)
    if not isinstance(model, TransformerBridge):
        raise ModelError(
            f"expected a TransformerBridge as the model, got {type(model).__name__}: a `model` fixture returns load_model(...), or "
            "TransformerBridge.boot_native(...); weights that you have are kept with keep_native(state_dict, config, directory)"
        )


def _found(model: "TransformerBridge") -> Provenance:
    tensors = [*model.parameters(), *model.buffers()]
    n_params = sum(parameter.numel() for parameter in model.parameters())
    state = (tuple((t.data_ptr(), 0 if t.is_inference() else t._version, t.dtype, t.device) for t in tensors), _processing(model))
    known = _FOUND.get(model)
    if known is None or known[0] != state or n_params < _SMALL:
        dtype, device = (str(tensors[0].dtype).removeprefix("torch."), str(tensors[0].device)) if tensors else ("float32", "cpu")
        name = str(getattr(model.cfg, "model_name", None) or "in memory")
        made = Provenance(name, None, None, hash_parameters(model, buffers=True), _processing(model), dtype, device, n_params)
        known = _FOUND[model] = (state, made)
    return known[1]


def _processing(model: "TransformerBridge") -> Processing:
    """Whether its norms are folded: compatibility mode folds them unless it is told not to, and then they keep their gains."""
    if not getattr(model, "compatibility_mode", False) or getattr(model.cfg, "normalization_type", None) is None:
        return "raw"
    norms = [norm for block in model.blocks for name in ("ln1", "ln2") if (norm := getattr(block, name, None)) is not None]
    gains = [weight for norm in norms if (weight := getattr(norm, "weight", None)) is not None]
    return "folded" if all(bool((gain == 1).all()) for gain in gains) else "raw"


def hash_parameters(model: torch.nn.Module, *, buffers: bool = False) -> str:
    """SHA-256 over the names and bytes of the parameters, and of the buffers too: where W_U has no bias, the bridge's is one."""
    digest = hashlib.sha256()
    tensors = dict(model.named_parameters()) | (dict(model.named_buffers()) if buffers else {})
    for name, parameter in sorted(tensors.items()):
        digest.update(name.encode())
        digest.update(parameter.detach().cpu().reshape(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()
