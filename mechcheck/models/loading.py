"""Loading models through one path, keeping them in memory, and knowing afterwards exactly what was loaded."""

import os
from collections.abc import Mapping
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from mechcheck.base.architectures import is_encoder, is_native
from mechcheck.base.device import usual_torch
from mechcheck.base.errors import ModelError
from mechcheck.base.handed import hand_out
from mechcheck.base.loaded import Processing
from mechcheck.base.paths import data_dir
from mechcheck.base.text import did_you_mean
from mechcheck.models.agreement import Prediction, disagreement, mend_hooks, misplaced, predict, probe_of
from mechcheck.models.booting import boot, boot_twin, watched
from mechcheck.models.directory import Contents, architecture_named, check_faithful, checked, contents, first_line
from mechcheck.models.distilbert import cached_bert
from mechcheck.models.folding import fold
from mechcheck.models.hub import HubError, snapshot
from mechcheck.models.in_memory import twin_in_memory
from mechcheck.models.names import directory_of, embedded_models, unlike_any
from mechcheck.models.native import Booted, boot_directory, described, is_native_directory
from mechcheck.models.native import boot_twin as boot_native_twin
from mechcheck.models.placing import DeviceMap, as_device, check_one_device
from mechcheck.models.provenance import Provenance, hash_parameters, provenance, remember
from mechcheck.models.stored import Stored, stored
from mechcheck.models.weights import Watched
from mechcheck.notation.limits import Limits, limits_of, set_limits

if TYPE_CHECKING:
    from transformer_lens.model_bridge import TransformerBridge

DTYPES = {"float32": torch.float32, "float64": torch.float64, "bfloat16": torch.bfloat16, "float16": torch.float16}
# Models kept in memory at once: one under test, one contrast, and the re-initialised twin of each; of small ones as many as a claim may run
# on one after the other.
KEPT, KEPT_SMALL = 4, 16
# A claim draws several twins by turns, so that keeping fewer of them keeps none; of a large model they take too much room.
KEPT_TWINS = 8
LARGE = 30_000_000  # parameters


def load_model(
    name_or_path: str | Path,
    *,
    device: str = "cpu",
    device_map: DeviceMap | None = None,
    dtype: str = "float32",
    processing: Processing = "folded",
    revision: str | None = None,
    offline: bool = False,
    follow_links: bool = False,
) -> "TransformerBridge":
    """Load an embedded model, a local Hugging Face directory or a hub id as a `TransformerBridge` in evaluation mode.

    All three become a directory first. Only safetensors are read. Models are shared and kept in memory: treat them as read-only.

    Args:
        name_or_path: one of `embedded_models()`, a directory, or a hub id such as "gpt2" or, with a pinned revision, "gpt2@607a30d".
        device: "cpu", "cuda", "cuda:1", "mps".
        device_map: in its place "auto", "balanced", "balanced_low_0", "sequential" as accelerate means them, or {part as transformers
            names it: device}. Weights on several devices are run with plain hooks alone.
        dtype: one of float32, float64, bfloat16, float16.
        processing: "folded" applies TransformerLens' weight processing, which published head-level figures assume (zero ablation then
            leaves value biases in place); "raw" keeps the weights as stored, as encoders always are.
        revision: commit, tag or branch on the hub.
        offline: use only what is already on this machine.
        follow_links: read a directory also where its files are links to files elsewhere, other than those of the hub's own cache.

    Raises:
        ModelError: nothing of that name, no network, no such device, no safetensors, or an architecture that TransformerLens lacks.
    """
    if dtype not in DTYPES:
        raise ModelError(f"unknown dtype {dtype!r}; choose one of {', '.join(DTYPES)}")
    if processing not in ("folded", "raw"):
        raise ModelError(f'unknown processing {processing!r}; choose "folded" or "raw"')
    device = as_device(device, device_map, dtype)
    directory, name, commit = _resolve(str(name_or_path), revision, offline, follow_links)
    load = _load_small if _bytes(directory) < 4 * LARGE else _load
    with usual_torch():
        return hand_out(load(directory, name, commit, device, dtype, processing, contents(directory)))


def stored_model(name_or_path: str | Path) -> Stored:
    """How large a model is, from its files' headers; of a hub model, those on this machine. Errors: as `load_model`."""
    directory, name, _ = _resolve(str(name_or_path), None, offline=True, follow_links=False)
    return stored(directory, name)


def stored_weights(name: str) -> str:
    """The SHA-256 of a model's weights as `Provenance` has it, without loading it.

    Raises:
        ModelError: as `load_model` does where there is no such model.
    """
    return contents(_resolve(name, None, offline=False, follow_links=False)[0]).weights


def fetch_model(name: str, revision: str | None = None) -> str:
    """Bring a hub model ("gpt2", "gpt2@607a30d") into the local cache and return its commit."""
    hub_id, _, pinned = name.partition("@")
    return checked(_download(hub_id, pinned or revision, offline=False), hub_id).name


def reinitialised(model: "TransformerBridge", seed: int) -> "TransformerBridge":
    """The model's twin: same architecture and tokenizer, weights drawn anew by the architecture's own initialisation.

    Raises:
        ModelError: a model that was made in memory, and cannot be made from its configuration alone.
    """
    of = provenance(model)
    with usual_torch():
        twin = _twin(model, of, seed)
    set_limits(twin, limits_of(model))
    return hand_out(twin)


def _twin(model: "TransformerBridge", of: Provenance, seed: int) -> "TransformerBridge":
    if is_native(model):
        return _load_native_twin(described(model), model.tokenizer, of, seed)
    check_one_device(of.device, f"{of.name!r} was placed by a device_map, and its re-initialised twin")
    if of.directory is None:
        name = f"{of.name}#reinitialised-{seed}"
        twin = twin_in_memory(model, name, seed, of.device, DTYPES[of.dtype])
        return _known(twin, replace(of, name=name, weights_sha256=hash_parameters(twin)))
    now = contents(of.directory)
    if "#" not in of.name and now.weights != of.weights_sha256:
        raise ModelError(f"the files of {of.name!r} were overwritten after it was loaded, so its twin cannot be made; load it again")
    return (_load_twin if of.n_params < LARGE else _load_large_twin)(of, seed, now)


def forget_models() -> None:
    """Drop every model kept in memory, so that the next `load_model` reads it anew."""
    _load.cache_clear()
    _load_small.cache_clear()
    _load_twin.cache_clear()
    _load_large_twin.cache_clear()
    _load_native_twin.cache_clear()


def _made(
    directory: Path, name: str, revision: str | None, device: str, dtype: str, processing: Processing, now: Contents
) -> "TransformerBridge":
    source = Provenance(name, directory, revision, now.weights, processing, dtype, device, n_params=0)
    if is_native_directory(directory):
        check_one_device(device, f"{name!r}, a native model that transformers does not load,")
        return _finish_native(boot_directory(directory, name, device, DTYPES[dtype], processing), source)
    model = _boot(source)
    return _finish(model, replace(source, n_params=_count(model)))


_load_small, _load = lru_cache(maxsize=KEPT_SMALL)(_made), lru_cache(maxsize=KEPT)(_made)


def _bytes(directory: Path) -> int:
    """Of the weights as they are stored."""
    return sum(path.stat().st_size for path in directory.glob("*.safetensors"))


@lru_cache(maxsize=KEPT_TWINS)
def _load_native_twin(config: str, tokenizer: Any, of: Provenance, seed: int) -> "TransformerBridge":
    name = f"{of.name}#reinitialised-{seed}"
    booted = boot_native_twin(config, tokenizer, name, seed, of.device, DTYPES[of.dtype], of.processing)
    source = replace(of, name=name, weights_sha256=hash_parameters(booted.model))
    return _finish_native(booted, source)


def _boot(source: Provenance) -> "TransformerBridge":
    """The model as stored."""
    assert source.directory is not None
    check_faithful(source.directory, source.name)
    return boot(_bootable(source), source.name, source.device, DTYPES[source.dtype])


def _bootable(source: Provenance) -> Path:
    """The directory that TransformerLens reads: the model's own, or, as it knows no DistilBERT, that of a BERT that is the same."""
    assert source.directory is not None
    if architecture_named(source.directory) != "DistilBertForMaskedLM":
        return source.directory
    return cached_bert(source.directory, contents(source.directory).sha256)


def _make_twin(of: Provenance, seed: int, now: Contents) -> "TransformerBridge":
    model = boot_twin(_bootable(of), of.name, of.device, DTYPES[of.dtype], seed)
    if of.processing == "folded":
        fold(model)
    mend_hooks(model)
    return _known(model, replace(of, name=f"{of.name}#reinitialised-{seed}", weights_sha256=hash_parameters(model)))


_load_twin, _load_large_twin = lru_cache(maxsize=KEPT_TWINS)(_make_twin), lru_cache(maxsize=2)(_make_twin)


def _finish(model: "TransformerBridge", source: Provenance) -> "TransformerBridge":
    """The model as it was asked for, or raw where folding would change what it computes.

    Raises:
        ModelError: raw, too, it does not compute what transformers computes.
    """
    model.eval()
    seen, encoder = watched(model), is_encoder(model)
    if source.processing == "folded" and (unfit := _unfit_to_fold(encoder, seen)):
        source = replace(source, processing="raw", not_folded=unfit)
    right = (seen and seen.own) or predict(model, probe_of(model), encoder=encoder)
    crash = _fold(model) if source.processing == "folded" else None
    mend_hooks(model)
    off, hooks = (None, {}) if crash else _compared(model, right, DTYPES[source.dtype])
    if source.processing == "folded" and (crash or off):
        why = f"this architecture cannot be folded: {crash}" if crash else f"folded weights do not compute the same: {off}"
        return _finish(_boot(source), replace(source, processing="raw", not_folded=why))
    if off:
        raise ModelError(
            f"{source.name!r}: TransformerLens does not compute this {model.cfg.architecture} as transformers does ({off}), so nothing "
            "that is measured on it would be true of the model"
        )
    set_limits(model, Limits(None if seen is None else seen.no_head, hooks))
    if seen is not None:
        seen.blank_head()
    return _known(model, source)


def _unfit_to_fold(encoder: bool, seen: Watched | None) -> str | None:
    if encoder:
        return "an encoder's norms stand behind the sums, so they cannot be folded"
    return "its last norm would be folded into a head that it does not have" if seen is not None and seen.no_head else None


def _fold(model: "TransformerBridge") -> str | None:
    """Fold norms and biases; why that cannot be done."""
    try:
        fold(model)
    except Exception as error:  # as many kinds as adapters
        return first_line(error)
    return None


def _compared(model: "TransformerBridge", right: Prediction, dtype: torch.dtype) -> tuple[str | None, Mapping[str, str]]:
    """What is wrong with what the bridge computes, and the hooks that hold something else than their sites mean."""
    try:
        found, hooks = misplaced(model, right.tokens)
    except Exception as error:  # the adapter does not fit this configuration
        return first_line(error), {}
    return disagreement(found, right, dtype), hooks


def _known(model: "TransformerBridge", source: Provenance) -> "TransformerBridge":
    model.eval()
    model.requires_grad_(False)
    return remember(model, source)


def _finish_native(booted: Booted, source: Provenance) -> "TransformerBridge":
    """The same for a model whose weights are folded already, if they can be."""
    booted.model.eval().requires_grad_(False)
    return remember(booted.model, replace(source, processing=booted.processing, not_folded=booted.not_folded, n_params=booted.n_params))


def _count(model: torch.nn.Module) -> int:
    return sum(p.numel() for p in model.parameters())


def _resolve(name: str, revision: str | None, offline: bool, follow_links: bool) -> tuple[Path, str, str | None]:
    """Directory, display name and revision of a model."""
    from mechcheck.compiled import compiled_directory, compiled_models

    if name in compiled_models():
        return checked(compiled_directory(name), name, follow_links=True), name, None
    if name in embedded_models():
        return checked(data_dir("fixtures") / "models" / name, name, follow_links=True), name, None
    path = directory_of(name)
    if path is not None:
        return checked(path.resolve(), name, follow_links=follow_links), path.resolve().name, None
    if os.path.isabs(name) or name.startswith((".", "~")) or name.count("/") > 1 or os.path.exists(name):
        raise ModelError(
            f"no model directory at {name!r}; embedded models: {', '.join(embedded_models())}"
            f"{did_you_mean(Path(name).name, embedded_models())}"
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
