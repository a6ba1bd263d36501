"""A file of the page's into the folder that was named on the command line, and nowhere else."""

import os
import stat
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from mechcheck.base.errors import MechcheckError
from mechcheck.explorer.bodies import Problem
from mechcheck.explorer.export import FILE


class Exists(Problem):
    """A file of that name is there, with another text."""


def folder_to_save_to(named: str) -> Path:
    """The folder, as it is when the server starts.

    Raises:
        MechcheckError: no folder.
    """
    found = Path(named).resolve()
    if not found.is_dir():
        raise MechcheckError(f"--save-to {named}: there is no such folder")
    return found


def save_all(folder: Path, files: Mapping[str, str], replace: bool) -> list[Path]:
    """Write several files, or, where one of them may not be written, none. Arguments and errors: as `save`, of each."""
    for name, text in files.items():
        _check(folder, name, text, replace)
    return [save(folder, name, text, replace) for name, text in files.items()]


def save(folder: Path, name: str, text: str, replace: bool) -> Path:
    """Write a file.

    Args:
        folder: where; the name is one of a file in it.
        name: as `FILE` has them, or that of the circuit's file beside it.
        text: what it says.
        replace: whether a file of that name may go.

    Returns:
        its path.

    Raises:
        Exists: there is one, of another text, and it may not go.
        Problem: a name that is none, something there that is no file (a link, a folder), or a folder that cannot be written to.
    """
    there = _check(folder, name, text, replace)
    path = folder / name
    try:
        if there is None:
            with open(path, "x", encoding="utf-8", newline="\n") as file:  # where a link is by now, this fails
                file.write(text)
        elif not there.same:
            handle, made = tempfile.mkstemp(dir=folder, prefix=".mechcheck-")
            try:
                with open(handle, "w", encoding="utf-8", newline="\n") as file:
                    file.write(text)
                os.chmod(made, there.mode)
                os.replace(made, path)  # of a link that came between, the link
            except BaseException:
                os.unlink(made)
                raise
    except OSError as error:
        raise Problem("file", f"{name} could not be written: {error.strerror}") from None
    return path


class _There(NamedTuple):
    """A file that is there, and may go."""

    mode: int
    """Who may read it."""
    same: bool
    """Whether it says what is to be written."""


def _check(folder: Path, name: str, text: str, replace: bool) -> _There | None:
    """What is there of that name; errors: as `save`."""
    if FILE.fullmatch(name) is None and FILE.fullmatch(f"{name.removesuffix('.toml')}.py") is None:
        raise Problem("file", f"{name!r:.80} is no name of a file here")
    path = folder / name
    try:
        there = path.lstat()
        if not stat.S_ISREG(there.st_mode):
            raise Problem("file", f"{name} is there and is no file: choose another name")
        same = path.read_text(encoding="utf-8", errors="replace") == text
    except FileNotFoundError:
        return None
    except OSError as error:
        raise Problem("file", f"{name} could not be read: {error.strerror}") from None
    if not (same or replace):
        raise Exists("file", f"{name} is there already, and says something else: choose another name, or replace it")
    return _There(stat.S_IMODE(there.st_mode), same)
