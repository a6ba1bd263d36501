"""Loading models through one path, keeping them in memory, and knowing afterwards exactly what was loaded."""

import hashlib
import warnings
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Literal
from weakref import WeakKeyDictionary

import torch

from mechcheck.base.device import check_device
from mechcheck.base.errors import ModelError
from mechcheck.base.loaded import check_loaded
from mechcheck.base.paths import data_dir, trained_models
from mechcheck.base.text import did_you_mean
from mechcheck.models.directory import architecture_named, check_faithful, checked, hash_files, quiet_loading, stores
from mechcheck.models.distilbert import cached_bert
from mechcheck.models.hub import HubError, snapshot
from mechcheck.models.names import unlike_any

if TYPE_CHECKING:
    from transformer_lens.model_bridge import TransformerBridge

Processing = Literal["folded", "raw"]

DTYPES = {"float32": torch.float32, "float64": torch.float64, "bfloat16": torch.bfloat16, "float16": torch.float16}
# Models kept in memory at once: one under test, one contrast, and the re-initialised twin of each.
KEPT = 4
# A claim draws several twins by turns, so that keeping fewer of them keeps none; of a large model they take too much room.
KEPT_TWINS = 8
LARGE = 30_000_000
"""Parameters."""


@dataclass(frozen=True)
class Provenance:
    """What a loaded model is."""

    name: str
    """Embedded name, directory name or hub id; a re-initialised twin adds "#reinitialised-<seed>"."""
    directory: Path
    """Where its files lie."""
    revision: str | None
    """Commit of the hub repository; None for local directories."""
    weights_sha256: str
    """Hash of the weights files, or of the parameters for a re-initialised twin."""
    processing: Processing
    """"folded": LayerNorm folded, weights centred, value biases folded (compatibility mode); "raw": as stored."""
    dtype: str
    device: str
    n_params: int
    """Parameters as stored, before processing."""


_PROVENANCE: "WeakKeyDictionary[torch.nn.Module, Provenance]" = WeakKeyDictionary()


def embedded_models() -> tuple[str, ...]:
    """Names of the models that come with mechcheck: trained ones first, then those that are compiled when they are first used."""
    from mechcheck.compiled import compiled_models

    return (*trained_models(), *compiled_models())


def load_model(
    name_or_path: str | Path,
    *,
    device: str = "cpu",
    dtype: str = "float32",
    processing: Processing = "folded",
    revision: str | None = None,
    offline: bool = False,
) -> "TransformerBridge":
    """Load an embedded model, a local Hugging Face directory or a hub id as a `TransformerBridge` in evaluation mode.

    All three become a directory first, so they share one path. Only safetensors are read. Models are shared and kept in
    memory: treat them as read-only.

    Args:
        name_or_path: one of `embedded_models()`, a directory, or a hub id such as "gpt2" or, with a pinned revision, "gpt2@607a30d".
        device: "cpu", "cuda", "cuda:1", "mps".
        dtype: one of float32, float64, bfloat16, float16.
        processing: "folded" applies TransformerLens' weight processing, which published head-level figures assume
            (zero ablation then leaves value biases in place); "raw" keeps the weights as stored, as encoders always are.
        revision: commit, tag or branch on the hub.
        offline: use only what is already on this machine.

    Raises:
        ModelError: nothing of that name, no network, weights that are not safetensors, or an architecture that
            TransformerLens does not have.
    """
    if dtype not in DTYPES:
        raise ModelError(f"unknown dtype {dtype!r}; choose one of {', '.join(DTYPES)}")
    if processing not in ("folded", "raw"):
        raise ModelError(f'unknown processing {processing!r}; choose "folded" or "raw"')
    check_device(device, dtype)
    directory, name, commit = _resolve(str(name_or_path), revision, offline)
    return _load(directory, name, commit, device, dtype, processing)


def fetch_model(name: str, revision: str | None = None) -> str:
    """Bring a hub model ("gpt2", "gpt2@607a30d") into the local cache and return its commit."""
    hub_id, _, pinned = name.partition("@")
    return checked(_download(hub_id, pinned or revision, offline=False), hub_id).name


def reinitialised(model: "TransformerBridge", seed: int) -> "TransformerBridge":
    """The model's twin: same architecture and tokenizer, weights drawn anew by the architecture's own initialisation."""
    of = provenance(model)
    return (_load_twin if of.n_params < LARGE else _load_large_twin)(of, seed)


def forget_models() -> None:
    """Drop every model kept in memory, so that the next `load_model` reads it anew."""
    _load.cache_clear()
    _load_twin.cache_clear()
    _load_large_twin.cache_clear()


def provenance(model: "TransformerBridge") -> Provenance:
    """What `model` is; only for models loaded by `load_model`."""
    check_loaded(model)
    try:
        return _PROVENANCE[model]
    except KeyError:
        raise ModelError("this model was not loaded by mechcheck.load_model, so its weights and processing are unknown") from None


@lru_cache(maxsize=KEPT)
def _load(directory: Path, name: str, revision: str | None, device: str, dtype: str, processing: Processing) -> "TransformerBridge":
    source = Provenance(name, directory, revision, hash_files(directory), processing, dtype, device, n_params=0)
    model = _boot(source)
    return _finish(model, replace(source, n_params=_count(model)))


def _boot(source: Provenance) -> "TransformerBridge":
    from transformer_lens.model_bridge import TransformerBridge

    check_faithful(source.directory, source.name)
    directory = _bootable(source)
    try:
        with quiet_loading():
            model = TransformerBridge.boot_transformers(str(directory), device=source.device, dtype=DTYPES[source.dtype])
    except ValueError as error:
        if "architecture" not in str(error):
            raise
        missing = architecture_named(source.directory)
        raise ModelError(f"{source.name!r}: TransformerLens has no adapter for {missing}; see `mechcheck support`") from error
    if model.cfg.attention_dir != "causal" and not stores(directory, "cls."):
        warnings.warn(
            f"{source.name!r} has no masked-word head: its attention can be read, but what it predicts means nothing", stacklevel=4
        )
    return model


def _bootable(source: Provenance) -> Path:
    """The directory that TransformerLens reads: the model's own, or, as it knows no DistilBERT, that of a BERT that is the same."""
    if architecture_named(source.directory) != "DistilBertForMaskedLM":
        return source.directory
    return cached_bert(source.directory, source.weights_sha256)


def _make_twin(of: Provenance, seed: int) -> "TransformerBridge":
    from transformer_lens.tools.analysis import random_init_bridge

    with quiet_loading():
        model = random_init_bridge(str(_bootable(of)), seed=seed, dtype=DTYPES[of.dtype], device=of.device)
        model.unembed.to(DTYPES[of.dtype])  # its bias is a buffer, which random_init_bridge leaves in float32
    name = f"{of.name}#reinitialised-{seed}"
    source = Provenance(name, of.directory, of.revision, _hash_parameters(model), of.processing, of.dtype, of.device, of.n_params)
    return _finish(model, source)


_load_twin, _load_large_twin = lru_cache(maxsize=KEPT_TWINS)(_make_twin), lru_cache(maxsize=2)(_make_twin)


def _finish(model: "TransformerBridge", source: Provenance) -> "TransformerBridge":
    if model.cfg.attention_dir != "causal":
        source = replace(source, processing="raw")  # norms that stand after the sums cannot be folded into weights
    if source.processing == "folded":
        model.enable_compatibility_mode(disable_warnings=True)
    model.eval()
    for parameter in model.parameters():
        parameter.requires_grad_(False)
    _PROVENANCE[model] = source
    return model


def _count(model: torch.nn.Module) -> int:
    return sum(p.numel() for p in model.parameters())


def _resolve(name: str, revision: str | None, offline: bool) -> tuple[Path, str, str | None]:
    """Directory, display name and revision of a model."""
    from mechcheck.compiled import compiled_directory, compiled_models

    if name in compiled_models():
        return checked(compiled_directory(name), name), name, None
    if name in embedded_models():
        return checked(data_dir("fixtures") / "models" / name, name), name, None
    path = Path(name).expanduser()
    if path.is_dir():
        return checked(path.resolve(), name), path.resolve().name, None
    if path.is_absolute() or name.startswith((".", "~")) or name.count("/") > 1 or path.exists():
        raise ModelError(
            f"no model directory at {name!r}; embedded models: {', '.join(embedded_models())}{did_you_mean(path.name, embedded_models())}"
        )
    if problem := unlike_any(name, embedded_models()):
        raise ModelError(problem)
    hub_id, _, pinned = name.partition("@")
    if pinned and revision and pinned != revision:
        raise ModelError(f"{name!r} names one revision and revision={revision!r} another; give one of them")
    directory = _download(hub_id, pinned or revision, offline)
    return checked(directory, hub_id), hub_id, directory.name


def _download(name: str, revision: str | None, offline: bool) -> Path:
    try:
        return snapshot(name, revision, offline)
    except HubError as error:
        asked = f"{name}@{revision}" if revision else name
        raise ModelError(
            f"cannot load {asked!r}: it is no embedded model ({', '.join(embedded_models())}), no directory, and {error}"
            f"{did_you_mean(name, embedded_models()) or '.'} Fetch it once where there is a network (mechcheck prefetch {asked}), "
            "or give a directory"
        ) from error


def _hash_parameters(model: torch.nn.Module) -> str:
    digest = hashlib.sha256()
    for name, parameter in sorted(model.named_parameters()):
        digest.update(name.encode())
        digest.update(parameter.detach().cpu().contiguous().view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()
