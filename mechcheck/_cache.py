"""A per-user cache for directories that are built from something else when they are first asked for."""

import os
import sys
import tempfile
from collections.abc import Callable
from functools import cache
from pathlib import Path

CACHE_VARIABLE = "MECHCHECK_CACHE"


def built_once(kind: str, name: str, build: Callable[[Path], object]) -> Path:
    """The directory `kind`/`name` of the cache, filled by `build` if it is not there yet.

    Processes that build at the same time each build a folder of their own and rename it; the first one stays.
    """
    directory = _root(kind) / name
    if not directory.is_dir():
        directory.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=f".{name}-", dir=directory.parent, ignore_cleanup_errors=True) as own:
            build(Path(own) / "model")
            try:
                os.rename(Path(own) / "model", directory)
            except OSError:
                if not directory.is_dir():  # another process was not faster: it is a real error
                    raise
    return directory


def _root(kind: str) -> Path:
    """$MECHCHECK_CACHE, or the platform's folder for caches; a temporary folder where there is no home to write to."""
    chosen = os.environ.get(CACHE_VARIABLE)
    if chosen:
        return Path(chosen) / kind
    try:
        root = _user_cache() / "mechcheck" / kind
        root.mkdir(parents=True, exist_ok=True)
        if os.access(root, os.W_OK):
            return root
    except (OSError, RuntimeError):  # RuntimeError: no home directory is known
        pass
    return _temporary() / kind


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
    return Path(tempfile.mkdtemp(prefix="mechcheck-"))
