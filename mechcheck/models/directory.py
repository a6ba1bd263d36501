"""Directories of models: what may be loaded and what may not, what the weights are, and how one is written."""

import hashlib
import json
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from io import StringIO
from pathlib import Path
from typing import TYPE_CHECKING

from mechcheck.base.errors import ModelError
from mechcheck.models.hub import sha256

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase


def checked(directory: Path, name: str) -> Path:
    """Refuse a directory that is no model, or one whose weights are pickles."""
    if not (directory / "config.json").is_file():
        raise ModelError(f"{name!r} is a directory without config.json; expected a Hugging Face model (config.json, *.safetensors)")
    if not list(directory.glob("*.safetensors")):
        pickles = [p.name for pattern in ("*.bin", "*.pt", "*.pth", "*.ckpt") for p in directory.glob(pattern)]
        if pickles:
            raise ModelError(
                f"{name!r} holds only pickled weights ({', '.join(sorted(pickles))}), which can run code when loaded; "
                "convert them with model.save_pretrained(directory), which writes safetensors"
            )
        raise ModelError(f"{name!r} has a config.json but no *.safetensors weights")
    return directory


def check_faithful(directory: Path, name: str) -> None:
    """Refuse the settings with which TransformerLens computes something else than transformers, and says nothing."""
    config = json.loads((directory / "config.json").read_text(encoding="utf-8"))
    wrong = {
        "gpt2": config.get("scale_attn_weights") is False and "attention scores that are not scaled (scale_attn_weights)",
        "opt": (config.get("do_layer_norm_before") is False and "norms behind each part (do_layer_norm_before)")
        or (config.get("word_embed_proj_dim", config.get("hidden_size")) != config.get("hidden_size") and "embeddings of another width"),
    }.get(config.get("model_type"))
    if wrong:
        raise ModelError(
            f"{name!r}: TransformerLens does not compute a {config['model_type']} with {wrong} as transformers does, so nothing "
            "that is measured on it would be true of the model"
        )


def architecture_named(directory: Path) -> str:
    """The architecture that the configuration names: "GPT2LMHeadModel"."""
    named = json.loads((directory / "config.json").read_text(encoding="utf-8"))
    return ", ".join(named.get("architectures") or [named.get("model_type", "a model of unknown type")])


def stores(directory: Path, prefix: str) -> bool:
    """Whether the stored weights hold any of a name that begins so."""
    from safetensors import safe_open

    for path in directory.glob("*.safetensors"):
        with safe_open(path, framework="pt") as stored:
            if any(name.startswith(prefix) for name in stored.keys()):  # noqa: SIM118 (no mapping)
                return True
    return False


def hash_files(directory: Path) -> str:
    """The weights file's SHA-256, as sha256sum prints it; of a sharded model, the SHA-256 over its files' in order."""
    digests = [sha256(path) for path in sorted(directory.glob("*.safetensors"))]
    if len(digests) == 1:
        return digests[0].hexdigest()
    return hashlib.sha256(b"".join(digest.digest() for digest in digests)).hexdigest()


def keep_model(model: "PreTrainedModel", tokenizer: "PreTrainedTokenizerBase | None", directory: str | Path) -> Path:
    """Save a transformers model that is in memory as a directory for `load_model` and `--mech-model`.

    Every model goes the same way, so that its evidence names weights that can be loaded again.

    Args:
        model: any `transformers` model of an architecture that TransformerLens has.
        tokenizer: its tokenizer; prompts can be given as tokens where there is none.
        directory: where to; created if need be.
    """
    path = Path(directory)
    with quiet_loading():
        model.save_pretrained(path)
        if tokenizer is not None:
            tokenizer.save_pretrained(path)
    return path


@contextmanager
def quiet_loading() -> Iterator[None]:
    """Silence progress bars and messages on stdout while a model loads."""
    from transformers.utils import logging as hf_logging

    was_on = hf_logging.is_progress_bar_enabled()
    hf_logging.disable_progress_bar()
    try:
        with redirect_stdout(StringIO()):
            yield
    finally:
        if was_on:
            hf_logging.enable_progress_bar()
