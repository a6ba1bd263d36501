"""A per-user cache for directories that are built from something else when they are first asked for."""

import logging
import os
import re
import shutil
import sys
import tempfile
import time
from collections.abc import Callable
from functools import cache
from pathlib import Path

CACHE_VARIABLE = "MECHCHECK_CACHE"
# Who comes back to an older version of the code after a longer time waits a second for its models.
UNUSED_DAYS = 30

_LOG = logging.getLogger(__name__)
# What is kept here, [name-]hash, and what a killed process left of it while it was built or removed: .[name-]hash-...
_OURS = re.compile(r"(.+-)?[0-9a-f]{16}|\.(.+-)?[0-9a-f]{16}-.+")


def built_once(kind: str, name: str, build: Callable[[Path], object]) -> Path:
    """The directory `kind`/`name` of the cache, filled by `build` if it is not there yet.

    Processes that build at the same time each build a folder of their own and rename it; the first one stays. Whoever has
    built one removes those that nobody has asked for in `UNUSED_DAYS` days: they belong to other versions of the code.

    Args:
        kind: the folder, for all directories that are built in one way.
        name: ends in 16 hexadecimal digits of a hash of what it is built from, so that it is never out of date.
        build: fills a directory that does not exist yet.
    """
    directory = _root(kind) / name
    if not _in_use(directory):
        directory.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=f".{name}-", dir=directory.parent, ignore_cleanup_errors=True) as own:
            build(Path(own) / "model")
            try:
                os.rename(Path(own) / "model", directory)
            except OSError:
                if not directory.is_dir():  # another process was not faster: it is a real error
                    raise
        _prune(directory.parent)
    return directory


def kept(kind: str) -> Path | None:
    """The folder `kind` of the cache, for files that are made again where they are lost; None where none can be kept."""
    root = _lasting(kind)
    try:
        if root is not None:
            root.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        _LOG.debug("nothing is kept in %s: %s", root, error)
        return None
    return root if root is not None and os.access(root, os.W_OK) else None


def _in_use(directory: Path) -> bool:
    """Whether it is there; if so, its time says from now on that somebody uses it."""
    try:
        os.utime(directory)
    except FileNotFoundError:
        return False
    except OSError as error:  # somebody else's cache, which can be read but not written
        _LOG.debug("%s cannot be marked as used: %s", directory, error)
    return directory.is_dir()


def _prune(folder: Path) -> None:
    """Remove what nobody has used for long. What cannot be removed now will be another time."""
    limit = time.time() - UNUSED_DAYS * 24 * 3600
    for path in folder.iterdir():
        try:
            if _OURS.fullmatch(path.name) and path.is_dir() and not path.is_symlink() and path.stat().st_mtime < limit:
                _remove(path, limit)
        except OSError as error:
            _LOG.debug("%s is out of use and cannot be removed: %s", path, error)


def _remove(path: Path, limit: float) -> None:
    """Take it out of everybody's sight, and then delete it, unless a process has come to use it in that moment.

    Whoever hides it deletes it. What is hidden already may be in another process's hands or a killed one's: it is deleted
    where it lies, by as many as come to it, each of which goes on where another was faster.
    """
    hidden = path
    if not path.name.startswith("."):
        hidden = path.with_name(f".{path.name}-{os.getpid()}")
        os.rename(path, hidden)
        if hidden.stat().st_mtime >= limit:
            os.rename(hidden, path)
            return
    shutil.rmtree(hidden, ignore_errors=True)


def _root(kind: str) -> Path:
    """$MECHCHECK_CACHE, or the platform's folder for caches; a temporary folder where there is no home to write to."""
    return _lasting(kind) or _temporary() / kind


def _lasting(kind: str) -> Path | None:
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
    return None


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
