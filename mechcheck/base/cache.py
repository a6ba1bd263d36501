"""A per-user cache for directories that are built from something else when they are first asked for."""

import atexit
import errno
import hashlib
import logging
import os
import re
import shutil
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from contextlib import suppress
from functools import cache
from pathlib import Path

from mechcheck.base.errors import CacheWarning, MechcheckError

CACHE_VARIABLE = "MECHCHECK_CACHE"
# Who comes back to an older version of the code after a longer time waits a second for its models.
UNUSED_DAYS = 30
BUILDING_DAYS = 1
"""How long something may take to be built or removed: what is hidden for longer was left by a process that is gone."""

_LOG = logging.getLogger(__name__)
# What is kept here, [name-]hash, and what a killed process left of it while it was built or removed: .[name-]hash-...
_OURS = re.compile(r"(.+-)?[0-9a-f]{16}|\.(.+-)?[0-9a-f]{16}-.+")


def built_once(kind: str, name: str, build: Callable[[Path], object]) -> Path:
    """The directory `kind`/`name` of the cache, filled by `build` if it is not there yet, or not as it was when it was built.

    Processes that build at the same time each build a folder of their own and rename it; the first one stays. What was damaged
    since (cut short, edited, a file taken away) is built again: the SHA-256 of each file is written down beside it, and compared once
    in a process, and again whenever a file's size or time is another. Whoever has built one removes those that nobody has asked
    for in `UNUSED_DAYS` days, which belong to other versions of the code, and what processes left that were killed while they built.

    Where the cache cannot be written it is built in a temporary folder, which is removed when the process ends; a folder that
    was chosen by $MECHCHECK_CACHE is warned about.

    Args:
        kind: the folder, for all directories that are built in one way.
        name: ends in 16 hexadecimal digits of a hash of what it is built from, so that it is never out of date.
        build: fills a directory that does not exist yet.

    Raises:
        MechcheckError: it can be built nowhere; or what `build` says of what it is built from.
    """
    folder = _root(kind)
    try:
        return _built(folder / name, build)
    except MechcheckError:
        raise
    except Exception as error:  # of the disk, by whichever library writes to it; one in `build` itself comes again below
        unusable = error
    spare = _temporary(os.getpid()) / kind
    try:
        directory = _built(spare / name, build)
    except OSError as error:
        raise MechcheckError(
            f"{name} can be built neither in the cache {folder} ({unusable}) nor in a temporary folder ({error}); "
            f"name a folder that can be written with ${CACHE_VARIABLE}"
        ) from error
    if folder in _warned_of:
        return directory
    _warned_of.add(folder)
    warnings.warn(
        f"the cache {folder} cannot be used ({unusable}): {name} was built in a temporary folder, for this process alone. "
        f"Name a folder that can be written with ${CACHE_VARIABLE}",
        CacheWarning,
        stacklevel=2,
    )
    return directory


def _built(directory: Path, build: Callable[[Path], object]) -> Path:
    if _in_use(directory) and _whole(directory):
        return directory
    directory.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{directory.name}-", dir=directory.parent, ignore_cleanup_errors=True) as own:
        new = Path(own) / "model"
        build(new)
        (new / SUMS).write_text(_sums(new), encoding="utf-8")
        for _ in range(_TRIES):
            try:
                os.rename(new, directory)
                break
            except OSError as error:
                if not directory.exists():
                    if error.errno in (errno.ENOTEMPTY, errno.EEXIST):
                        continue  # it was there, and another process has taken it out of the way meanwhile
                    raise
                if _whole(directory):  # another process was faster
                    break
                _set_aside(directory)
        else:
            raise OSError(f"{directory} is damaged, and others put it back as fast as it is taken away")
    _prune(directory.parent)
    return directory


SUMS = "built.sha256"
"""The file in a built directory that has the SHA-256 of each other one, as sha256sum prints it."""
_TRIES = 8
_warned_of: set[Path] = set()
# Directories that were found whole, and when their files were last changed then.
_seen_whole: dict[Path, tuple[tuple[str, int, int], ...]] = {}


def _whole(directory: Path) -> bool:
    """Whether every file is there, and as it was when the directory was built."""
    try:
        stamps = tuple((path.name, (stat := path.stat()).st_size, stat.st_mtime_ns) for path in sorted(directory.iterdir()))
        if _seen_whole.get(directory) == stamps:
            return True
        whole = (directory / SUMS).read_text(encoding="utf-8") == _sums(directory)
    except (OSError, UnicodeDecodeError):
        return False
    if whole:
        _seen_whole[directory] = stamps
    else:
        _LOG.warning("%s was damaged since it was built, and is built again", directory)
    return whole


def _sums(directory: Path) -> str:
    lines = []
    for path in sorted(directory.iterdir()):
        if path.name != SUMS:
            with path.open("rb") as stream:
                lines.append(f"{hashlib.file_digest(stream, 'sha256').hexdigest()}  {path.name}\n")
    return "".join(lines)


def _set_aside(directory: Path) -> None:
    """Take what is damaged out of the way, if no other process has done so."""
    hidden = directory.with_name(f".{directory.name}-{os.getpid()}-{time.monotonic_ns()}")
    with suppress(FileNotFoundError):
        os.rename(directory, hidden)
    if hidden.is_dir() and not hidden.is_symlink():
        shutil.rmtree(hidden, ignore_errors=True)
    else:
        hidden.unlink(missing_ok=True)


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
    now = time.time()
    for path in folder.iterdir():
        limit = now - (BUILDING_DAYS if path.name.startswith(".") else UNUSED_DAYS) * 24 * 3600
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
    return _lasting(kind) or _temporary(os.getpid()) / kind


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
def _temporary(process: int) -> Path:
    """A folder that only this process uses, and removes: nobody else could have put anything into it."""
    folder = Path(tempfile.mkdtemp(prefix="mechcheck-"))

    def remove() -> None:
        if os.getpid() == process:  # a fork has a folder of its own
            shutil.rmtree(folder, ignore_errors=True)

    atexit.register(remove)
    return folder
