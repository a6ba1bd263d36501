"""Which files of the user's own a test file is made of: what it imports, and what those import, and the conftests above it."""

import ast
import sys
import sysconfig
from collections.abc import Iterator
from functools import cache
from importlib.machinery import PathFinder
from pathlib import Path

import mechcheck

_FOREIGN = {Path(sysconfig.get_path(name)).resolve() for name in ("stdlib", "platstdlib", "purelib", "platlib")}
_INSTALLED = ("site-packages", "dist-packages")
_OWN = Path(mechcheck.__file__).resolve().parent


def made_of(file: Path, root: Path) -> set[Path]:
    """The file, what of the user's own it imports, at whatever depth and wherever in its code, and its conftests.

    Asked where pytest has collected, which knows the paths that modules come from. A file that cannot be parsed imports nothing.

    Args:
        file: of tests.
        root: pytest's root, above which no conftest counts.
    """
    found: set[Path] = set()
    folders = [folder for folder in file.parents if folder == root or root in folder.parents]
    left = [file, *(folder / "conftest.py" for folder in folders)]
    while left:
        path = left.pop()
        if path in found or not path.is_file():
            continue
        found.add(path)
        left += [other for name in _imported(path) for other in _sources(name, path, root)]
    return found


@cache
def _installed_to(folder: Path, root: Path) -> bool:
    """Whether packages were installed to it: a folder of this interpreter's, of another's (a base environment), or one that pip filled."""
    if folder in _FOREIGN or folder.name in _INSTALLED:
        return True
    return folder != root and folder not in root.parents and next(folder.glob("*.dist-info"), None) is not None


def _imported(path: Path) -> Iterator[str]:
    """Names of modules, or of what is in them; those that are relative begin with dots."""
    try:
        tree = ast.parse(path.read_bytes())
    except (OSError, SyntaxError, ValueError):
        return
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = "." * node.level + (node.module or "")
            yield above
            yield from (f"{above}{'' if above.endswith('.') else '.'}{alias.name}" for alias in node.names)


def _sources(name: str, importer: Path, root: Path) -> Iterator[Path]:
    """The user's files that are executed when the module is imported: its own, and those of the packages that it is in."""
    dots = len(name) - len(name.lstrip("."))
    places = [str(importer.parents[dots - 1])] if dots else None
    for part in filter(None, name[dots:].split(".")):
        spec = PathFinder.find_spec(part, places if places is not None else [str(importer.parent), *sys.path])
        if spec is None:
            return
        if spec.origin is not None and spec.has_location:
            path = Path(spec.origin).resolve()
            if path.is_relative_to(_OWN) or any(_installed_to(folder, root) for folder in path.parents):
                return
            if path.suffix == ".py":
                yield path
        places = list(spec.submodule_search_locations or [])
        if not places:
            return
