"""Decoys and positive controls of a claim over a grid: in each cell whose verdict they have to vouch for."""

from collections.abc import Iterator, Sequence
from dataclasses import replace

from mechcheck.verdicts.cells.running import sharing_runs
from mechcheck.verdicts.contrast import Contrast, contrast
from mechcheck.verdicts.grids.decision import CellFound
from mechcheck.verdicts.outcome import Outcome
from mechcheck.verdicts.specificity import Specificity
from mechcheck.verdicts.trial import Trial


def contrast_cells(trials: Sequence[Trial], outcome: Outcome) -> Contrast:
    """Run the contrasts of every cell that the claim rests on; it is vacuous where it is in one of them.

    A robust claim rests on all of its cells. So does one that is refuted in all, each of which needs a positive control. Of a
    method-dependent claim the cells in which it is supported must not be satisfied by decoys; those in which it is refuted have
    their positive control in these.

    Args:
        trials: the claim in each cell.
        outcome: what it came to, as expected.
    """
    __tracebackhide__ = True
    assert outcome.grid is not None
    told: list[tuple[Specificity, ...]] = [()] * len(outcome.expectations)
    runs, kinds, vacuous, caveats = [], [], [], []
    for cell, found in _contrasts(trials, outcome):
        for place, one in zip(cell.places, found.specificity, strict=False):  # a positive control tells of none
            told[place] = one
        runs += [replace(run, label=f"[{cell.text}] {run.label}", first=cell.places[0]) for run in found.runs]
        kinds.append(found.kind)
        vacuous += [f"[{cell.text}] {found.vacuous}"] if found.vacuous else []
        caveats += [found.caveat if found.specificity else f"[{cell.text}] {found.caveat}"] if found.caveat else []
    kind = "; ".join(dict.fromkeys(kinds))
    return Contrast(kind, tuple(runs), "; ".join(vacuous) or None, "; ".join(caveats) or None, tuple(told))


def _contrasts(trials: Sequence[Trial], outcome: Outcome) -> Iterator[tuple[CellFound, Contrast]]:
    __tracebackhide__ = True
    assert outcome.grid is not None
    with sharing_runs(trials[0].case):
        for trial, cell in zip(trials, outcome.grid.cells, strict=True):
            if _rests_on(cell, outcome):
                checks, samples = [outcome.expectations[i] for i in cell.places], [outcome.samples[i] for i in cell.places]
                assert trial.cell is not None
                with trial.cell.telling():
                    found = contrast(trial, checks, samples)
                yield cell, found


def _rests_on(cell: CellFound, outcome: Outcome) -> bool:
    return cell.stands == "supported" if outcome.verdict == "method_dependent" else cell.verdict == outcome.verdict
