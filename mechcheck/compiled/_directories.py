"""Where compiled models lie: built when first asked for, into a per-user cache, under a name that says what they were built from."""

import hashlib
import os
import sys
import tempfile
from functools import cache
from pathlib import Path

from mechcheck._paths import data_dir
from mechcheck.compiled._blueprint import Blueprint
from mechcheck.compiled._compiler import TOKENIZER, save_model, tokenizer_dir

CACHE_VARIABLE = "MECHCHECK_CACHE"


def built(blueprint: Blueprint) -> Path:
    """The directory of a compiled model, built if it is not there yet.

    Processes that build at the same time each build a folder of their own and rename it; the first one stays.
    """
    directory = _root() / f"{blueprint.name}-{_sources()[:16]}"
    if not directory.is_dir():
        directory.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=f".{blueprint.name}-", dir=directory.parent, ignore_cleanup_errors=True) as own:
            save_model(blueprint, Path(own) / "model")
            try:
                os.rename(Path(own) / "model", directory)
            except OSError:
                if not directory.is_dir():  # another process was not faster: it is a real error
                    raise
    return directory


def _root() -> Path:
    """$MECHCHECK_CACHE, or the platform's folder for caches; a temporary folder where there is no home to write to."""
    chosen = os.environ.get(CACHE_VARIABLE)
    if chosen:
        return Path(chosen) / "compiled"
    try:
        root = _user_cache() / "mechcheck" / "compiled"
        root.mkdir(parents=True, exist_ok=True)
        if os.access(root, os.W_OK):
            return root
    except (OSError, RuntimeError):  # RuntimeError: no home directory is known
        pass
    return _temporary()


def _user_cache() -> Path:
    if os.environ.get("XDG_CACHE_HOME"):
        return Path(os.environ["XDG_CACHE_HOME"])
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches"
    if os.environ.get("LOCALAPPDATA"):
        return Path(os.environ["LOCALAPPDATA"])
    return Path.home() / ".cache"


@cache
def _temporary() -> Path:
    """A folder that only this process uses: nobody else could have put anything into it."""
    return Path(tempfile.mkdtemp(prefix="mechcheck-compiled-"))


@cache
def _sources() -> str:
    """Hash of all that a compiled model is made from: this package, the language's words, the tokenizer."""
    package = Path(__file__).parent
    files = [*sorted(package.glob("*.py")), package.parent / "_language.py", data_dir("fixtures") / "prompts" / "names.toml"]
    digest = hashlib.sha256()
    for path in [*files, *(tokenizer_dir() / name for name in TOKENIZER)]:
        digest.update(path.name.encode() + b"\0" + path.read_bytes() + b"\0")
    return digest.hexdigest()
