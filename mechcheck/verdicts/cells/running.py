"""A claim's body in every cell of its grid: the same check collects what each of them comes to."""

import contextlib
import functools
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

from mechcheck.base.errors import ClaimError
from mechcheck.verdicts.case import Case
from mechcheck.verdicts.grids.grid import Cell
from mechcheck.verdicts.supplies import load
from mechcheck.verdicts.trial import Trial
from mechcheck.verdicts.verdict import Expectation


def first_cell(trial: Trial) -> Trial:
    """The same claim in the first cell, where its fixtures have put it already."""
    assert trial.case.spec.over is not None
    return _entered(replace(trial, cell=trial.case.spec.over.cells[0]))


@contextlib.contextmanager
def sharing_runs(case: Case) -> Iterator[None]:
    """Where a claim has a grid, what its cells have in common is run once, and the metrics among its axes are read together."""
    if case.spec.over is None:
        yield
        return
    from mechcheck.engine.together.remembered import shared_runs

    with shared_runs([value for values in case.spec.over.axes.values() for value in values]):
        yield


def other_cells(trial: Trial, body: Callable[..., object]) -> Iterator[Trial]:
    """Run the body in each cell but the first, which has been run; gives the claim as it is in each, before it is run there.

    Args:
        trial: the claim in its first cell.
        body: the test.

    Raises:
        ClaimError: it checks other things in one cell than in another, or prompts or models of a cell cannot be had.
    """
    __tracebackhide__ = True
    assert trial.case.spec.over is not None
    for cell in trial.case.spec.over.cells[1:]:
        with cell.telling():
            another = _entered(_moved(trial, cell))
            yield another
            with trial.guard.untouched(another.arguments):
                body(**another.arguments)
    _check_alike(trial)


def _moved(trial: Trial, cell: Cell) -> Trial:
    """The claim in another cell: other arguments, and another model, other prompts and the circuit for it where the axes say so."""
    __tracebackhide__ = True
    arguments: dict[str, Any] = {**trial.arguments, **cell.arguments}
    moved = replace(trial, cell=cell)
    if "seeds" in cell.values and trial.prompts_for is not None:
        moved = replace(moved, prompts_for=functools.partial(trial.prompts_for, seed=cell.values["seeds"]))
        arguments |= {"prompts_for": moved.prompts_for} if "prompts_for" in arguments else {}
    another = {"models", "dtype"} & set(cell.values)
    if another:
        arguments["model"] = _model(trial, cell)
    if "prompts" in arguments and (another or "seeds" in cell.values):
        if moved.prompts_for is None:
            raise ClaimError(
                f"in another cell [{cell.text}] the claim needs other prompts: write a fixture `make_prompts` in the place of `prompts`, "
                "or register the task's generator with @mechcheck.task"
            )
        arguments["prompts"] = moved.prompts_for(arguments["model"])
    if another and "circuit" in arguments and trial.circuit_for is not None:
        from mechcheck.notation.circuit import traced

        arguments["circuit"] = traced(trial.circuit_for(arguments["model"]))
    return replace(moved, arguments=arguments)


def _model(trial: Trial, cell: Cell) -> Any:
    from mechcheck.models.loading import provenance
    from mechcheck.models.names import place_of

    here = provenance(trial.arguments["model"])
    name = place_of(cell.values.get("models", here.name), trial.case.conditions.models)
    return load(trial.case.conditions, name, cell.values.get("dtype", here.dtype))


def _entered(trial: Trial) -> Trial:
    """The same, whose check knows where it is, and what controls are drawn from there."""
    check = trial.arguments.get("check")
    if check is not None:
        there = trial.check()
        check.cell, check.model, check.outside = there.cell, there.model, there.outside
    return trial


def _check_alike(trial: Trial) -> None:
    """Raise unless each cell has the same checks, by kind and role, and not in another order: labels name what was measured, which a
    metric changes, so that their order tells only where they are the same."""
    check, over = trial.arguments.get("check"), trial.case.spec.over
    if check is None or over is None:
        return
    cells: list[list[Expectation]] = [[e for e in check.expectations if e.cell == cell.number] for cell in over.cells]
    said = [[(e.kind, e.role) for e in some] for some in cells]
    bare = [[e.label.removesuffix(f" [{cell.text}]") for e in some] for cell, some in zip(over.cells, cells, strict=True)]
    for cell, kinds, labels in zip(over.cells, said, bare, strict=True):
        turned = labels != bare[0] and sorted(labels) == sorted(bare[0])
        if kinds != said[0] or turned:
            told = [" and ".join(map(repr, one)) or "nothing" for one in (bare[0], labels)]
            where = f"[{over.cells[0].text}] checks {told[0]}, [{cell.text}] {told[1]}"
            raise ClaimError(f"a claim over a grid must check the same in each cell{', in the same order' * turned}: {where}")
