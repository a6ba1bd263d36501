"""The support table: which primitive works on which layout, and how it is served, measured on tiny random models."""

import logging
import warnings
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from multiprocessing import get_context
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Literal, NamedTuple

import numpy as np
import torch

from mechcheck.base.device import to_numpy
from mechcheck.base.errors import HookError, MechcheckError, ModelError, SelfCheckWarning, SiteError
from mechcheck.base.forking import why_no_copy
from mechcheck.base.loaded import Processing
from mechcheck.conformance.layouts import LAYOUTS, Layout, layout_prompts, save_layout
from mechcheck.conformance.native_layouts import NATIVE_LAYOUTS, save_native_layout
from mechcheck.conformance.support_rows import ROWS, Bench, Try
from mechcheck.engine import run
from mechcheck.models.loading import load_model
from mechcheck.models.provenance import provenance

PROCESSINGS: tuple[Processing, ...] = ("folded", "raw")
How = Literal["fast", "hooks", "fast, hooks", "yes", "no", "bug"]
# How a layout may be refused. PromptError says that the table asked for something wrong.
_REFUSALS = (MechcheckError, ModelError, SiteError, HookError)


class Cell(NamedTuple):
    """One primitive on one layout."""

    how: How
    reason: str = ""
    """Of "no" and "bug"."""


Table = dict[str, dict[Processing, dict[str, Cell]]]
"""Layout -> processing -> row -> cell."""


def columns() -> dict[str, Layout]:
    """The layouts of transformers, and behind them TransformerLens' own."""
    return LAYOUTS | NATIVE_LAYOUTS


def support_table(layouts: Iterable[str] | None = None, processes: int = 1) -> Table:
    """Build a tiny random model of each layout in a temporary folder, and try every primitive on it.

    Args:
        layouts: all of them if not given.
        processes: how many work at the same time, each at a layout; 1: this one.
    """
    names = list(layouts or columns())
    if processes == 1:
        return {name: _of_layout(name) for name in names}
    torch.set_num_threads(1)  # for models this small further threads only wait for each other, and a copy would wait for ever
    with ProcessPoolExecutor(processes, get_context("spawn" if why_no_copy() else "fork"), _one_thread) as pool:
        return dict(zip(names, pool.map(_of_layout, names), strict=True))


def bugs(table: Table) -> list[str]:
    """What failed in a way that no layout explains."""
    return [
        f"{row} on {columns()[layout].title}, {processing}: {cell.reason}"
        for layout, both in table.items()
        for processing, cells in both.items()
        for row, cell in cells.items()
        if cell.how == "bug"
    ]


def markdown(table: Table) -> str:
    """The table as a Markdown document."""
    reasons: dict[str, int] = {}
    known = columns()
    parts = [_INTRODUCTION, *(f"- **{known[name].title}**: {known[name].about}." for name in table)]
    for group, rows in ROWS.items():
        titles = [known[name].title for name in table]
        parts += [f"\n## {group}\n", _line(["", *titles]), _line(["---"] * (1 + len(titles)))]
        parts += [_line([row, *(_text(both, row, reasons) for both in table.values())]) for row in rows]
    parts += ["\n## Why not\n", *(f"{number}. {reason}" for reason, number in reasons.items())]
    return "\n".join(parts) + "\n"


_INTRODUCTION = """\
# What works on which architecture

Printed by `mechcheck support`, which tries every primitive on a tiny random model of each layout:

- **fast**: a sweep, computed by the suffix runner and checked by it against plain hooks;
- **hooks**: a sweep, computed by plain hooks, one forward pass for each variant;
- **yes**: it works, and sweeps nothing;
- **no**: it is refused, for the reason of that number below.

Where a cell has two entries, the first is for `processing="folded"` (the default), the second for `processing="raw"`. That
logits, attention and interventions are those of the Hugging Face model is tested in `tests/conformance/test_layouts.py`; that native
models, which `keep_native` writes, compute what HookedTransformer computed, in `tests/engine/test_native_runs.py`.
"""


def _save(name: str, directory: Path) -> Path:
    return (save_native_layout if name in NATIVE_LAYOUTS else save_layout)(name, directory)


def _one_thread() -> None:
    torch.set_num_threads(1)


def _of_layout(name: str) -> dict[Processing, dict[str, Cell]]:
    """Its two columns; they are one where the model cannot be folded, and the same was loaded twice."""
    with TemporaryDirectory() as folder, _quiet():
        directory = _save(name, Path(folder) / name)
        folded = _of_model(name, directory, "folded")
        alike = folded.loaded == "raw"
        return {"folded": folded.cells, "raw": folded.cells if alike else _of_model(name, directory, "raw").cells}


class _Column(NamedTuple):
    cells: dict[str, Cell]
    loaded: Processing | None
    """How the model was really loaded."""


def _of_model(name: str, directory: Path, processing: Processing) -> _Column:
    rows = {row: attempt for group in ROWS.values() for row, attempt in group.items()}
    try:
        model = load_model(directory, processing=processing)
    except ModelError as error:
        return _Column(dict.fromkeys(rows, Cell("no", str(error))), None)
    bench = Bench(model, layout_prompts(model, columns()[name]))
    return _Column({row: _cell(attempt, bench) for row, attempt in rows.items()}, provenance(model).processing)


def _cell(attempt: Try, bench: Bench) -> Cell:
    try:
        # The engine does not say which of its runners it used, so the doors to both are watched.
        with _watched("run_sweep") as fast, _watched("_plain") as plain:
            found = attempt(bench)
    except Exception as error:
        return Cell("no", str(error)) if type(error) in _REFUSALS else Cell("bug", f"{type(error).__name__}: {error}")
    if not all(np.isfinite(array).all() for array in _arrays(found)):
        return Cell("bug", "NaN or infinity")
    served: dict[tuple[bool, bool], How] = {(True, False): "fast", (False, True): "hooks", (True, True): "fast, hooks"}
    return Cell(served.get((bool(fast), bool(plain)), "yes"))


@contextmanager
def _watched(door: str) -> Iterator[list[bool]]:
    """Something is in the list as soon as this function of the engine was called."""
    called: list[bool] = []
    own = getattr(run, door)

    def through(*arguments: Any, **named: Any) -> Any:
        called.append(True)
        return own(*arguments, **named)

    setattr(run, door, through)
    try:
        yield called
    finally:
        setattr(run, door, own)


def _arrays(found: Any) -> Iterator[np.ndarray]:
    if isinstance(found, torch.Tensor):
        yield to_numpy(found)
    elif isinstance(found, (tuple, list)):
        for part in found:
            yield from _arrays(part)
    else:
        yield np.asarray(found, dtype=float)


@contextmanager
def _quiet() -> Iterator[None]:
    """Without the libraries' remarks on single layouts; that the fast runner was wrong is an error."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            warnings.simplefilter("error", SelfCheckWarning)
            yield
    finally:
        logging.disable(before)


def _text(both: Mapping[Processing, dict[str, Cell]], row: str, reasons: dict[str, int]) -> str:
    entries = [_entry(both[processing][row], reasons) for processing in PROCESSINGS]
    return " / ".join(dict.fromkeys(entries))


def _entry(cell: Cell, reasons: dict[str, int]) -> str:
    if not cell.reason:
        return cell.how
    number = reasons.setdefault(cell.reason, len(reasons) + 1)
    return f"{cell.how} [{number}]"


def _line(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cells)} |"
