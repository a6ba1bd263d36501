"""A file of the page's into the folder that was named on the command line, and nowhere else."""

import os
import stat
import tempfile
from pathlib import Path

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


def save(folder: Path, name: str, text: str, replace: bool) -> Path:
    """Write a file.

    Args:
        folder: where; the name is one of a file in it.
        name: as `FILE` has them.
        text: what it says.
        replace: whether a file of that name may go.

    Returns:
        its path.

    Raises:
        Exists: there is one, of another text, and it may not go.
        Problem: a name that is none, something there that is no file (a link, a folder), or a folder that cannot be written to.
    """
    if FILE.fullmatch(name) is None:
        raise Problem("file", f"{name!r:.80} is no name of a file here")
    path = folder / name
    try:
        try:
            there = path.lstat()
        except FileNotFoundError:
            with open(path, "x", encoding="utf-8", newline="\n") as file:  # where a link is by now, this fails
                file.write(text)
            return path
        if not stat.S_ISREG(there.st_mode):
            raise Problem("file", f"{name} is there and is no file: choose another name")
        if path.read_text(encoding="utf-8", errors="replace") == text:
            return path
        if not replace:
            raise Exists("file", f"{name} is there already, and says something else: choose another name, or replace it")
        handle, beside = tempfile.mkstemp(dir=folder, prefix=".mechcheck-")
        try:
            with open(handle, "w", encoding="utf-8", newline="\n") as file:
                file.write(text)
            os.chmod(beside, stat.S_IMODE(there.st_mode))
            os.replace(beside, path)  # of a link that came between, the link
        except BaseException:
            os.unlink(beside)
            raise
    except OSError as error:
        raise Problem("file", f"{name} could not be written: {error.strerror}") from None
    return path
