"""What lies in the watched folders, and what has been saved, added or deleted since it was last looked at."""

import os
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

DATA = frozenset({".toml", ".json", ".jsonl", ".csv", ".txt", ".npz", ".safetensors"})
"""What claims read beside code: circuits, and whatever they open themselves."""
SETTLED_S = 0.06
"""An editor may write a file in several steps, or delete it and put another in its place: what does not change for so long is saved."""

State = tuple[int, int, int]
Snapshot = Mapping[Path, State]


class Changes(NamedTuple):
    """What happened to files between two looks."""

    changed: frozenset[Path]
    added: frozenset[Path]
    deleted: frozenset[Path]

    @property
    def every(self) -> frozenset[Path]:
        return self.changed | self.added | self.deleted


def snapshot(roots: Iterable[Path], others: Iterable[Path] = ()) -> Snapshot:
    """Files of code and data under the roots, and the others, with when and as what each was saved; what is not there is left out."""
    found: dict[Path, State] = {}
    for path in {*others, *(path for root in roots for path in _files(root))}:
        try:
            told = path.stat()
        except OSError:  # deleted in this moment
            continue
        found[path] = (told.st_mtime_ns, told.st_size, told.st_ino)
    return found


def changes(before: Snapshot, after: Snapshot) -> Changes:
    """What is different."""
    both = before.keys() & after.keys()
    changed = frozenset(path for path in both if before[path] != after[path])
    return Changes(changed, frozenset(after.keys() - both), frozenset(before.keys() - both))


def settled(look: Callable[[], Snapshot], found: Snapshot) -> Snapshot:
    """The first look that is the same as the one before it."""
    while True:
        time.sleep(SETTLED_S)
        again = look()
        if again == found:
            return found
        found = again


def _files(root: Path) -> Iterator[Path]:
    if root.is_file():
        yield root
        return
    for folder, below, names in os.walk(root):
        # Reports and caches are written by runs; hidden names are editors' own.
        below[:] = [name for name in below if not name.startswith((".", "__pycache__")) and name not in ("reports", "node_modules")]
        yield from (Path(folder, name) for name in names if not name.startswith(".") and _watched(name))


def _watched(name: str) -> bool:
    return os.path.splitext(name)[1] in DATA | {".py"}
