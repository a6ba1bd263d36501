"""Files that somebody gives: read where they are files at all, and are no larger, deeper or stranger than such files can be."""

import json
import math
import os
import re
import stat
import tomllib
from pathlib import Path
from typing import Any

MEGABYTE = 1 << 20
LARGEST_TEXT = 4 * MEGABYTE
"""Bytes of a file that people write: a circuit, a configuration."""
LARGEST_DATA = 512 * MEGABYTE
"""Bytes of a file that programs write: evidence, a graph with the scores of its edges, a vocabulary."""
DEEPEST = 64
"""Levels of lists and tables in each other."""

_KINDS = {
    stat.S_IFDIR: "a directory", stat.S_IFIFO: "a named pipe", stat.S_IFSOCK: "a socket", stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}  # fmt: skip
_LARGEST_NUMBER = int(1.7976931348623157e308)
# Texts and comments of a TOML file, to its end where they have none; and in what is left then keys of very many parts, of which
# tomllib takes the square in time.
_QUOTED = re.compile(r'"""(?:\\.|[^\\])*?(?:"""|\Z)|\'\'\'.*?(?:\'\'\'|\Z)|"(?:\\.|[^"\\\n])*"|\'[^\'\n]*\'|#[^\n]*', re.DOTALL)
_LONG_KEY = re.compile(rf"(?<![\w-])(?:[\w-]+[ \t]*\.[ \t]*){{{DEEPEST}}}")


def check_file(path: Path, limit: int | None = None) -> os.stat_result:
    """Raise unless it is a file, wherever links lead to it: what is read from a pipe or a device may never come, or never end.

    Raises:
        OSError: it is not there, is no file, or has more bytes than the limit.
        ValueError: its name cannot be one.
    """
    found = os.stat(path)
    _check_kind(found, limit)
    return found


def _check_kind(found: os.stat_result, limit: int | None) -> None:
    if not stat.S_ISREG(found.st_mode):
        raise OSError(f"it is {_KINDS.get(stat.S_IFMT(found.st_mode), 'something else')}, and no file")
    if limit is not None and found.st_size > limit:
        raise OSError(f"it has {found.st_size:,} bytes, and such a file has {limit:,} at most")


def is_dir(path: Path) -> bool:
    """Whether there is a directory; also where a name is too long, or is none, or must not be looked at."""
    return os.path.isdir(path)


def read_bytes(path: Path, limit: int = LARGEST_DATA) -> bytes:
    """All of a file. Errors: as `check_file`, and a file that goes on while it is read, as some of /proc do."""
    check_file(path, limit)
    # Whatever has been put there since: a pipe would be waited for while it is opened.
    handle = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
    with os.fdopen(handle, "rb") as stream:
        found = os.fstat(handle)
        _check_kind(found, limit)
        data = stream.read(found.st_size + 1)
    if len(data) > found.st_size:
        raise OSError("it holds more than the system says that it does")
    return data


def read_text(path: Path, limit: int = LARGEST_TEXT) -> str:
    """A file in UTF-8. Errors: as `read_bytes`, and a ValueError that says which byte is none of that."""
    return read_bytes(path, limit).decode("utf-8")


def read_json(path: Path, limit: int = LARGEST_DATA) -> Any:
    """The content of a JSON file.

    Raises:
        OSError: as `read_bytes`.
        ValueError: no UTF-8, no JSON, NaN or infinity, a number that no float is, or more than `DEEPEST` levels.
    """
    return parse_json(read_text(path, limit))


def parse_json(text: str) -> Any:
    """What a JSON text says. Errors: as `read_json`."""
    try:
        found = json.loads(text, parse_constant=_no_constant)
    except RecursionError:
        raise ValueError(_TOO_DEEP) from None
    _check_values(found, finite=True)
    return found


def read_toml(path: Path, limit: int = LARGEST_TEXT) -> dict[str, Any]:
    """The content of a TOML file, which may say nan and inf. Errors: as `read_json`."""
    return parse_toml(read_text(path, limit))


def parse_toml(text: str) -> dict[str, Any]:
    """What a TOML text says. Errors: as `read_toml`."""
    if _LONG_KEY.search(_QUOTED.sub("_", text)):
        raise ValueError(f"a key in it has more than {DEEPEST} parts")
    try:
        found = tomllib.loads(text)
    except RecursionError:
        raise ValueError(_TOO_DEEP) from None
    _check_values(found, finite=False)
    return found


_TOO_DEEP = f"lists or tables lie in each other over more than {DEEPEST} levels"


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is no JSON")


def _check_values(found: Any, *, finite: bool) -> None:
    """Level by level, so that no depth is too much for Python itself."""
    level, depth = [found], 0
    while level:
        if depth > DEEPEST:
            raise ValueError(_TOO_DEEP)
        following: list[Any] = []
        for value in level:
            if isinstance(value, dict):
                following.extend(value.values())
            elif isinstance(value, list):
                following.extend(value)
            elif isinstance(value, float):
                if finite and not math.isfinite(value):
                    raise ValueError(f"a number in it is {value}")
            elif isinstance(value, int) and abs(value) > _LARGEST_NUMBER:
                raise ValueError("a number in it is larger than any float")
        level, depth = following, depth + 1
