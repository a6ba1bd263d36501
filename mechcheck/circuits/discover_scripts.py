"""`find(model)` of a claims folder's discover.py: called by the folder's name, on any model, its result recorded as a circuit file."""

import ast
import inspect
import runpy
from collections.abc import Callable, Mapping
from concurrent.futures import Executor
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from mechcheck.base.errors import MechcheckError
from mechcheck.base.paths import data_dir
from mechcheck.circuits.discovery import Discovered
from mechcheck.circuits.files import write_circuit
from mechcheck.circuits.recorded import circuit_file
from mechcheck.circuits.roles import Found
from mechcheck.models.loading import provenance

if TYPE_CHECKING:
    from transformer_lens.model_bridge import TransformerBridge

SCRIPT = "discover.py"


class Search(NamedTuple):
    """A search for the circuit that some claims are about."""

    name: str
    """The claims' folder: "ioi", "studies/ioi"."""
    method: str
    """What circuit files give as their source."""
    find: "Callable[..., Found]"

    @property
    def options(self) -> tuple[str, ...]:
        """What the search can be told: the keyword arguments of its `find`, but for its executor."""
        return tuple(name for name in self._keywords if name != "executor")

    @property
    def shares(self) -> bool:
        """Whether it can share its runs out: its `find` has a keyword argument `executor`."""
        return "executor" in self._keywords

    @property
    def _keywords(self) -> tuple[str, ...]:
        given = self.find.keywords if isinstance(self.find, partial) else {}
        parameters = inspect.signature(self.find).parameters.values()
        return tuple(p.name for p in parameters if p.kind is p.KEYWORD_ONLY and p.name not in given)


def searches() -> tuple[str, ...]:
    """Names of the shipped searches."""
    claims = data_dir("claims")
    own = {path.parent for path in claims.glob(f"*/{SCRIPT}")}
    shared = {path.parent for path in claims.glob("*/*/circuits") if (path.parents[1] / SCRIPT).is_file()}
    return tuple(sorted(folder.relative_to(claims).as_posix() for folder in own - {s.parent for s in shared} | shared))


def load_search(name: str) -> Search:
    """A shipped search by its name, or one of the user's by the path of its file.

    The file has `find(model) -> Found`, with keyword arguments for what the search can be told, and `executor` if it can share its runs
    out; where claims of several tasks share
    a file (claims/studies), `find(model, task)`.

    Raises:
        MechcheckError: there is no such search, or the file has no `find`.
    """
    if name.endswith(".py"):
        path = Path(name).resolve()
        if not path.is_file():
            raise MechcheckError(f"there is no file {name}")
        return Search(path.parent.name, name, _find_in(path))
    if name not in searches():
        raise MechcheckError(f"no search is called {name!r}; choose from {', '.join(searches())}, or give the path of a {SCRIPT}")
    path = data_dir("claims") / name / SCRIPT
    if path.is_file():
        return Search(name, f"claims/{name}/{SCRIPT}", _find_in(path))
    folder, _, task = name.rpartition("/")
    return Search(name, f"claims/{folder}/{SCRIPT}", partial(_find_in(path.parents[1] / SCRIPT), task=task))


def _find_in(path: Path) -> "Callable[..., Found]":
    found = runpy.run_path(str(path)).get("find")
    if not callable(found):
        raise MechcheckError(f"{path.name} in {path.parent.name}/ has no function find(model) that returns a mechcheck.Found")
    return found


def read_option(text: str) -> tuple[str, Any]:
    """NAME=VALUE as a name and a value: a number, several of them with commas between, or text."""
    name, sign, value = text.partition("=")
    if not (name.isidentifier() and sign and value):
        raise MechcheckError(f"what a search is told is NAME=VALUE, not {text!r}")
    try:
        return name, ast.literal_eval(value)
    except (SyntaxError, ValueError):
        return name, value


def searched(
    search: Search, model: "TransformerBridge", options: Mapping[str, Any] | None = None, executor: Executor | None = None
) -> Found:
    """What a search finds on a model; an executor shares its runs out where it can.

    Raises:
        MechcheckError: an option that this search does not have; a file whose `find` returns something else.
    """
    if unknown := [name for name in options or {} if name not in search.options]:
        meant = f"it has {', '.join(search.options)}" if search.options else "it has none"
        raise MechcheckError(f"the search {search.name!r} has no option {unknown[0]!r}; {meant}")
    sharing = {"executor": executor} if search.shares else {}
    found = search.find(model, **(options or {}), **sharing)
    if not isinstance(found, Found):
        raise MechcheckError(f"find(model) of {search.method} must return a mechcheck.Found, not {type(found).__name__}")
    return found


def write_found(search: Search, model: "TransformerBridge", folder: Path, found: Found, along: Discovered | None = None) -> Path:
    """Write `<folder>/<name>/<model>.toml`, which `--mech-circuits <folder>` reads, with the edges that were found beside the roles."""
    path = folder / search.name / circuit_file(provenance(model).name)
    write_circuit(
        path, model, found.roles, method=search.method, prompts=found.prompts, split="discover", found=found.facts, options=found.options,
        edges=along and along.edges, record=along and along.record,
    )  # fmt: skip
    return path


def record(search: Search, model: "TransformerBridge", folder: Path, options: Mapping[str, Any] | None = None) -> tuple[Path, Found]:
    """`searched`, and `write_found`."""
    found = searched(search, model, options)
    return write_found(search, model, folder, found), found
