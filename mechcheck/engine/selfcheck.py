"""Some cells of every fast sweep, run again with plain hooks."""

import random
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple

import torch
from jaxtyping import Int
from torch import Tensor
from torch.nn.functional import pad

from mechcheck.base.device import exact
from mechcheck.engine.drawn import fit, fit_site
from mechcheck.engine.edit import Activation, Edit
from mechcheck.engine.edits import Captures
from mechcheck.engine.hooks import record
from mechcheck.engine.site_readers import site_readers
from mechcheck.engine.swept import Swept
from mechcheck.notation.sites import Site, Sites
from mechcheck.prompts.prompt_set import PromptSet

# How far results may lie apart, as a share of the largest one. Rounding errors of a dozen layers are well below it; those of
# a sum in another order are larger the fewer bits there are.
TOLERANCE = {torch.float64: 1e-9, torch.float32: 1e-4, torch.float16: 2e-2, torch.bfloat16: 1e-1}
CELLS = 3
COLUMNS = 4


class Cell(NamedTuple):
    """A variant on a prompt of the sweep, run again."""

    variant: int
    prompt: int
    again: int
    """Which of the prompts that are run again."""


class Source(NamedTuple):
    """A prompt of a set that activations were captured on, run again."""

    prompts: PromptSet
    prompt: int
    again: int
    """Which of the prompts that are run again."""
    captured: Mapping[Site, Activation]
    """On the whole set."""
    sites: Sites
    """What the cells' variants change, of what was captured."""


def disagreement(swept: Swept, captures: Captures) -> str | None:
    """Where the fast runner and plain hooks differ on a few cells (variant, prompt) and on what was put in there; None: nowhere."""
    precision = swept.arithmetic.precision
    cells = _cells(swept)
    sources = _sources(swept, captures, cells)
    together = _stacked([(swept.prompts, cell.prompt) for cell in cells] + [(source.prompts, source.prompt) for source in sources])
    edits = [_for_cell(edit, cell, together) for cell in cells for edit in swept.edits[cell.variant]]
    sites = Sites(site for source in sources for site in source.sites)
    columns = _columns(swept)
    read_at = [swept.read.positions[cell.prompt, columns] for cell in cells]
    read_at += [read_at[0]] * len(sources)  # of which no logits are wanted: where others are made anyway
    plain = record(swept.model, together, site_readers(sites), edits, torch.stack(read_at))
    for cell, found in zip(cells, swept.logits([(cell.variant, cell.prompt) for cell in cells], columns), strict=True):
        expected = plain.logits[cell.again]
        if not _close(found, expected, precision):
            where = " ".join(str(edit.site) for edit in swept.edits[cell.variant])
            return f"variant {cell.variant} ({where}) on prompt {cell.prompt}: logits differ by {_gap(found, expected):.3g}"
    for source in sources:
        length = int(source.prompts.lengths[source.prompt])
        for site in source.sites:
            found, expected = source.captured[site][source.prompt], plain.recorded[site][source.again]
            if source.prompts.several(site.at):
                found, expected = found[:length], expected[:length]
            if site.kind == "pattern":
                found, expected = found[..., :length], expected[..., :length]
            if not _close(found, expected, precision):
                return f"the activation of {site.named} differs by {_gap(found, expected):.3g}"
    return None


def _columns(swept: Swept) -> Int[Tensor, " read"]:
    """The positions that are compared, of those that left the sweep: the first, the last, and some between."""
    return torch.linspace(0, swept.read.positions.shape[1] - 1, min(COLUMNS, swept.read.positions.shape[1])).round().long()


def _cells(swept: Swept) -> list[Cell]:
    """The cells that are run again: the same ones whenever the same sweep is run."""
    rng = random.Random(f"{len(swept.edits)} {swept.prompts.sha256}")
    variants = sorted(rng.sample(range(len(swept.edits)), min(CELLS, len(swept.edits))))
    return [Cell(variant, rng.randrange(len(swept.prompts)), again) for again, variant in enumerate(variants)]


def _sources(swept: Swept, captures: Captures, cells: Sequence[Cell]) -> list[Source]:
    """One prompt of each set that activations were captured on; they are run again behind the cells."""
    wanted = {edit.site for cell in cells for edit in swept.edits[cell.variant]}
    return [
        Source(prompts, cells[0].prompt % len(prompts), again, captured, Sites(wanted & set(captured)))
        for again, (prompts, captured) in enumerate(captures.sets(), start=len(cells))
    ]


def _stacked(rows: Sequence[tuple[PromptSet, int]]) -> PromptSet:
    """Single prompts of several sets as one set, so that one forward pass does; a position that a set lacks is 0, and not used."""
    width = max(prompts.tokens.shape[1] for prompts, _ in rows)
    names = {name for prompts, _ in rows for name in prompts.positions}
    nowhere = torch.tensor(0)

    def filled(row: Tensor) -> Tensor:
        return pad(row, (0, width - len(row)))

    return PromptSet(
        tokens=torch.stack([filled(prompts.tokens[row]) for prompts, row in rows]),
        lengths=torch.stack([prompts.lengths[row] for prompts, row in rows]),
        answers=rows[0][0].answers[:0],  # what is compared is logits
        foils=rows[0][0].foils[:0],
        positions={
            name: torch.stack([prompts.positions[name][row] if name in prompts.positions else nowhere for prompts, row in rows])
            for name in names
        },
        templates=tuple(prompts.templates[row] for prompts, row in rows),
        ids=tuple(prompts.ids[row] for prompts, row in rows),
        spans={
            name: torch.stack(
                [filled(prompts.spans[name][row]) if name in prompts.spans else torch.zeros(width).bool() for prompts, row in rows]
            )
            for name in {name for prompts, _ in rows for name in prompts.spans}
        },
    )


def _for_cell(edit: Edit, cell: Cell, together: PromptSet) -> Edit:
    """The edit on one row of the stacked prompts."""
    value, width = None if edit.value is None else edit.value[[cell.prompt] * len(together)], together.tokens.shape[1]
    if value is not None:
        value = fit_site(value, edit.site, together)
    cut, where = (None if mask is None else fit(mask[[cell.prompt] * len(together)], width) for mask in (edit.cut, edit.where))
    order = edit.order
    if order is not None:  # padding stays where it is
        own = order[cell.prompt, :width]
        order = torch.cat([own, torch.arange(len(own), width)]).expand(len(together), -1)
    return replace(edit, value=value, order=order, cut=cut, where=where, rows=torch.arange(len(together)) == cell.again)


def _gap(found: Tensor, expected: Tensor) -> float:
    return float((exact(found) - exact(expected)).abs().max())


def _close(found: Tensor, expected: Tensor, precision: torch.dtype) -> bool:
    found, expected = exact(found), exact(expected)
    size = float(expected.abs().nan_to_num().max())
    return torch.allclose(found, expected, rtol=0, atol=TOLERANCE[precision] * max(1.0, size), equal_nan=True)
