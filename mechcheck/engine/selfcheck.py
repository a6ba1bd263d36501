"""Some cells of every fast sweep, run again with plain hooks."""

import random
from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor
from torch.nn.functional import pad

from mechcheck.base.device import exact
from mechcheck.engine.edits import Captures, fit, site_reader
from mechcheck.engine.hooks import Edit, Rows, is_token, record
from mechcheck.engine.sweep import Sweep
from mechcheck.notation.sites import Sites
from mechcheck.prompts.prompt_set import PromptSet

# How far results may lie apart, as a share of the largest one. Rounding errors of a dozen layers are well below it; those of
# a sum in another order are larger the fewer bits there are.
TOLERANCE = {torch.float64: 1e-9, torch.float32: 1e-4, torch.float16: 2e-2, torch.bfloat16: 1e-1}
CELLS = 3


def disagreement(sweep: Sweep, captures: Captures) -> str | None:
    """Where the fast runner and plain hooks differ on a few cells (variant, prompt) and on what was put in there; None: nowhere."""
    precision = sweep.arithmetic.precision
    rng = random.Random(f"{len(sweep.edits)} {sweep.prompts.sha256}")
    numbers = sorted(rng.sample(range(len(sweep.edits)), min(CELLS, len(sweep.edits))))
    rows = [rng.randrange(len(sweep.prompts)) for _ in numbers]
    wanted = {edit.site for number in numbers for edit in sweep.edits[number]}
    sources = [(source, known, Sites(wanted & set(known))) for source, known in captures.sets()]
    chosen = [[rows[0] % len(source)] for source, _, _ in sources]
    together = _stacked([(sweep.prompts, rows), *((source, picked) for (source, _, _), picked in zip(sources, chosen, strict=True))])
    edits = [_for_cell(edit, rows, cell, together) for cell, number in enumerate(numbers) for edit in sweep.edits[number]]
    sites = Sites(site for _, _, some in sources for site in some)
    plain = record(sweep.model, together, {site: site_reader(site) for site in sites}, edits)
    for number, row, expected in zip(numbers, rows, plain.logits, strict=False):
        if not _close(sweep.logits(number, row), expected, precision):
            where = " ".join(str(edit.site) for edit in sweep.edits[number])
            return f"variant {number} ({where}) on prompt {row}: logits differ by {_gap(sweep.logits(number, row), expected):.3g}"
    for block, ((source, known, some), picked) in enumerate(zip(sources, chosen, strict=True)):
        found_at = slice(len(rows) + block, len(rows) + block + 1)
        real = is_token(Rows(source, slice(None)))[picked]
        for site in some:
            found, expected = known[site][picked], plain.recorded[site][found_at]
            if site.at is None:
                found, expected = found[real], expected[:, : real.shape[1]][real]
            if not _close(found, expected, precision):
                return f"the activation of {site.named} differs by {_gap(found, expected):.3g}"
    return None


def _stacked(parts: Sequence[tuple[PromptSet, list[int]]]) -> PromptSet:
    """Some prompts of several sets as one, so that one forward pass does; a position that a set lacks is 0 there, and not used."""
    width = max(one.tokens.shape[1] for one, _ in parts)
    names = {name for one, _ in parts for name in one.positions}
    return PromptSet(
        tokens=torch.cat([pad(one.tokens[rows], (0, width - one.tokens.shape[1])) for one, rows in parts]),
        lengths=torch.cat([one.lengths[rows] for one, rows in parts]),
        answers=torch.cat([one.answers[rows] for one, rows in parts]),
        foils=torch.cat([one.foils[rows] for one, rows in parts]),
        positions={n: torch.cat([one.positions.get(n, torch.zeros_like(one.lengths))[rows] for one, rows in parts]) for n in names},
        templates=tuple(one.templates[row] for one, rows in parts for row in rows),
        ids=tuple(one.ids[row] for one, rows in parts for row in rows),
    )


def _for_cell(edit: Edit, rows: Sequence[int], cell: int, together: PromptSet) -> Edit:
    """The edit on one row of the stacked prompts."""
    own = [rows[cell]] * len(together)
    value = None if edit.value is None else edit.value[own]
    if value is not None and edit.site.at is None:
        value = fit(value, together.tokens.shape[1])
    concerned = torch.arange(len(together)) == cell
    return replace(edit, value=value, rows=concerned)


def _gap(found: Tensor, expected: Tensor) -> float:
    return float((exact(found) - exact(expected)).abs().max())


def _close(found: Tensor, expected: Tensor, precision: torch.dtype) -> bool:
    found, expected = exact(found), exact(expected)
    size = float(expected.abs().nan_to_num().max())
    return torch.allclose(found, expected, rtol=0, atol=TOLERANCE[precision] * max(1.0, size), equal_nan=True)
