"""What to run when files have changed, told from what the last runs said of the claims."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from mechcheck.circuits.recorded import circuit_file
from mechcheck.plugin.watch.child import Told
from mechcheck.plugin.watch.files import Changes


class Known:
    """What is known of the claims that are watched; every run adds to it."""

    def __init__(self) -> None:
        self.files: dict[Path, frozenset[Path]] = {}
        """Test file -> what it is made of."""
        self.items: dict[str, dict[str, Any]] = {}
        self.failed: set[str] = set()
        """Node ids."""
        self.broken: set[Path] = set()
        """Files that could not be collected when they were last tried."""
        self.parts: frozenset[Path] = frozenset()
        """Files of which only some tests are watched."""

    def learn(self, told: Told) -> None:
        """Take in what a run said; it knows nothing of files that it did not collect."""
        tried = {Path(name) for name in (*told.files, *told.broken)} | {Path(item["file"]) for item in told.items.values()}
        whole = {
            path for path in tried if not any("::" in text and Path(text.partition("::")[0]).resolve() == path for text in told.arguments)
        }
        self.items = {name: item for name, item in self.items.items() if Path(item["file"]) not in whole} | told.items
        self.files |= {Path(name): frozenset(map(Path, made)) for name, made in told.files.items()}
        self.broken = {path for path in (self.broken - tried) | set(map(Path, told.broken)) if path.exists()}
        self.failed -= {name for name, passed in told.outcomes.items() if passed}
        self.failed |= {name for name, passed in told.outcomes.items() if not passed}
        self.failed &= self.items.keys()

    def forget(self, deleted: Iterable[Path]) -> None:
        """Test files that are no more."""
        gone = set(deleted)
        self.files = {path: made for path, made in self.files.items() if path not in gone}
        self.items = {name: item for name, item in self.items.items() if Path(item["file"]) not in gone}
        self.failed &= self.items.keys()
        self.broken -= gone

    @property
    def watched(self) -> set[Path]:
        """Files that claims are made of, wherever they lie."""
        return {path for made in self.files.values() for path in made}

    @property
    def folders(self) -> set[Path]:
        """Folders that circuits are looked for in."""
        return {Path(folder) for item in self.items.values() for folder in item["circuits"]}

    def affected(self, found: Changes) -> list[str]:
        """What pytest is to run: test files, and single claims where only those are concerned."""
        code = {path for path in found.every if path.suffix == ".py"}
        there = [path for path in self.files if path.exists()]
        files = {path for path in there if self.files[path] & code}
        files |= {path for path in code - found.deleted if path.name.startswith("test_") or path.stem.endswith("_test")}
        if any(path.name == "conftest.py" for path in found.added):
            files |= {path for path in there if any(new.parent in path.parents for new in found.added if new.name == "conftest.py")}
        # What could not be imported may have waited for any of these.
        files |= self.broken if code else set()
        items: set[str] = set()
        for path in found.every - code:
            concerned = self._reading(path)
            if path in found.changed:
                items |= concerned
            else:  # a circuit more or less is a model more or less to run on
                files |= {Path(self.items[name]["file"]) for name in concerned}
        some = {path for path in files if path in self.parts}
        items |= {name for name, item in self.items.items() if Path(item["file"]) in some}
        whole = files - some
        return [str(path) for path in sorted(whole)] + self.arguments(name for name in items if Path(self.items[name]["file"]) not in whole)

    def arguments(self, items: Iterable[str]) -> list[str]:
        """Node ids as pytest takes them in any folder."""
        return [f"{self.items[name]['file']}::{name.partition('::')[2]}" for name in sorted(items)]

    def _reading(self, path: Path) -> set[str]:
        """Claims that a file of data may be for: as a circuit, or, if it is none, as what lies in their folder."""
        folder = str(path.parent)
        if path.parent in self.folders:
            beside = {name: item for name, item in self.items.items() if folder in item["circuits"]}
            named = {name for name, item in beside.items() if circuit_file(_short(item["model"])) in path.name}
            others = {name for name, item in beside.items() if not item["alone"]}
            return named | others
        return {name for name, item in self.items.items() if Path(item["file"]).parent in path.parents}


def _short(model: str | None) -> str:
    from mechcheck.models.names import model_name

    return model_name(model) if model else ""
