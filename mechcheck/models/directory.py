"""Directories of models: what may be loaded and what may not, what the weights are, and how one is written."""

import hashlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, redirect_stdout
from functools import lru_cache
from io import StringIO
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from mechcheck.base.errors import ModelError
from mechcheck.models.admitted import check_config, check_entries, read_config, stored_shapes
from mechcheck.models.hub import sha256

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase


def checked(directory: Path, name: str, *, follow_links: bool = False) -> Path:
    """Refuse a directory that is no model, one whose weights are pickles, one with an adapter that would have to be put in first, and
    what `check_entries` and `check_config` refuse."""
    check_entries(directory, name, follow_links=follow_links)
    _check_no_adapter(directory, name)
    if not (directory / "config.json").is_file():
        raise ModelError(f"{name!r} is a directory without config.json; expected a Hugging Face model (config.json, *.safetensors)")
    config = read_config(directory / "config.json", name)
    if not list(directory.glob("*.safetensors")):
        pickles = [p.name for pattern in ("*.bin", "*.pt", "*.pth", "*.ckpt") for p in directory.glob(pattern)]
        if pickles:
            raise ModelError(
                f"{name!r} holds only pickled weights ({', '.join(sorted(pickles))}), which can run code when loaded; "
                "convert them with model.save_pretrained(directory), which writes safetensors"
            )
        raise ModelError(f"{name!r} has a config.json but no *.safetensors weights")
    check_config(config, name, len(stored_shapes(directory, name)))
    return directory


def _check_no_adapter(directory: Path, name: str) -> None:
    """Refuse an adapter: alone it is no model, and beside whole weights it would be left out in silence."""
    config = directory / "adapter_config.json"
    found = [path.name for path in (config, directory / "adapter_model.safetensors", directory / "adapter_model.bin") if path.is_file()]
    if not found:
        return
    known = read_config(config, name) if config.is_file() else {}
    base = known.get("base_model_name_or_path") or "BASE"
    raise ModelError(
        f"{name!r} holds an adapter ({found[0]}), and what is measured would have to be the model with the adapter in it. Merge it first: "
        f"PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained({base!r}), {str(directory)!r}).merge_and_unload()"
        '.save_pretrained("merged") (with the peft package), and load that directory'
    )


def check_faithful(directory: Path, name: str) -> None:
    """Refuse the settings with which TransformerLens computes something else than transformers, and says nothing."""
    config = read_config(directory / "config.json", name)
    wrong = {
        "gpt2": config.get("scale_attn_weights") is False and "attention scores that are not scaled (scale_attn_weights)",
        "opt": (config.get("do_layer_norm_before") is False and "norms behind each part (do_layer_norm_before)")
        or (config.get("word_embed_proj_dim", config.get("hidden_size")) != config.get("hidden_size") and "embeddings of another width"),
    }.get(str(config.get("model_type")))
    if wrong:
        raise ModelError(
            f"{name!r}: TransformerLens does not compute a {config['model_type']} with {wrong} as transformers does, so nothing "
            "that is measured on it would be true of the model"
        )


def architecture_named(directory: Path) -> str:
    """The architecture that the configuration names: "GPT2LMHeadModel"."""
    named = read_config(directory / "config.json", directory.name)
    return ", ".join(named.get("architectures") or [named.get("model_type", "a model of unknown type")])


def has_tokenizer(directory: Path) -> bool:
    """Whether any file there says how text becomes tokens; without one transformers may make up an empty vocabulary."""
    return any(path.is_file() for pattern in _TOKENIZERS for path in directory.glob(pattern))


_TOKENIZERS = ("tokenizer.json", "tokenizer_config.json", "vocab.*", "*.model", "*.tiktoken")


class Contents(NamedTuple):
    """What lies in a directory, by hashes."""

    weights: str
    """SHA-256 of the weights file, as sha256sum prints it; of a sharded model, over its files' in order."""
    others: str
    """Of configuration and tokenizer."""

    @property
    def sha256(self) -> str:
        """Of all of it."""
        return hashlib.sha256("".join(self).encode()).hexdigest()


def contents(directory: Path) -> Contents:
    """What lies in the directory now. Files are read again when their size, time or number on the disk is another."""
    files = sorted(path for path in directory.iterdir() if path.suffix in _READ and path.is_file())
    stats = ((path, path.stat()) for path in files)
    return _contents(tuple((path, s.st_size, s.st_mtime_ns, s.st_ctime_ns, s.st_ino) for path, s in stats))


_READ = (".safetensors", ".json", ".txt", ".model", ".jinja", ".tiktoken")


@lru_cache(maxsize=64)
def _contents(stamps: tuple[tuple[Path, int, int, int, int], ...]) -> Contents:
    files = [path for path, *_ in stamps]
    others = hashlib.sha256()
    for path in files:
        if path.suffix != ".safetensors":
            others.update(path.name.encode() + sha256(path).digest())
    return Contents(_hash_weights([path for path in files if path.suffix == ".safetensors"]), others.hexdigest())


def _hash_weights(files: Sequence[Path]) -> str:
    digests = [sha256(path) for path in files]
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


def first_line(error: Exception) -> str:
    """What a library's exception says, in short."""
    return f"{type(error).__name__}: {next(iter(str(error).strip().splitlines()), '')}".removesuffix(": ")


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
