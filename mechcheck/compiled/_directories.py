"""Where compiled models lie: in the cache, under a name that says what they were built from."""

import hashlib
from functools import cache
from pathlib import Path

from mechcheck.base.cache import built_once
from mechcheck.base.paths import data_dir
from mechcheck.compiled._blueprint import Blueprint
from mechcheck.compiled._compiler import TOKENIZER, save_model, tokenizer_dir


def built(blueprint: Blueprint) -> Path:
    """The directory of a compiled model, built if it is not there yet."""
    return built_once("compiled", f"{blueprint.name}-{_sources()[:16]}", lambda folder: save_model(blueprint, folder))


@cache
def _sources() -> str:
    """Hash of all that a compiled model is made from: this package, the language's words, the tokenizer."""
    package = Path(__file__).parent
    files = [*sorted(package.glob("*.py")), package.parent / "tasks" / "names.py", data_dir("fixtures") / "prompts" / "names.toml"]
    digest = hashlib.sha256()
    for path in [*files, *(tokenizer_dir() / name for name in TOKENIZER)]:
        digest.update(path.name.encode() + b"\0" + path.read_bytes() + b"\0")
    return digest.hexdigest()
