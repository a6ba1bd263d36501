"""Some cells of every fast sweep, run again with plain hooks."""

import random
from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from mechcheck._edits import Captures, capture_sites
from mechcheck._hooks import Edit, Rows, is_token, record
from mechcheck._prompts import PromptSet
from mechcheck._sites import Site
from mechcheck._sweep import Sweep

if TYPE_CHECKING:
    from transformer_lens.model_bridge import TransformerBridge

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
    plain = _plain_logits(sweep.model, sweep.prompts, [sweep.edits[number] for number in numbers], rows)
    for number, row, expected in zip(numbers, rows, plain, strict=True):
        if not _close(sweep.logits(number, row), expected, precision):
            sites = " ".join(str(edit.site) for edit in sweep.edits[number])
            return f"variant {number} ({sites}) on prompt {row}: logits differ by {_gap(sweep.logits(number, row), expected):.3g}"
    wanted = {edit.site for number in numbers for edit in sweep.edits[number]}
    return _captured_otherwise(sweep.model, captures, wanted, rows, precision)


def _plain_logits(model: "TransformerBridge", prompts: PromptSet, variants: Sequence[Sequence[Edit]], rows: list[int]) -> Tensor:
    """[cell, d_vocab]: each variant's logits on its own prompt, all in one forward pass."""
    cells = torch.eye(len(rows), dtype=torch.bool)
    edits = []
    for listed, cell in zip(variants, cells, strict=True):
        for edit in listed:
            mine = edit.on(rows)
            edits.append(Edit(mine.site, mine.value, mine.keep, mine.change, mine.order, cell))
    return record(model, prompts[rows], changes=edits).logits


def _captured_otherwise(
    model: "TransformerBridge", captures: Captures, wanted: set[Site], rows: list[int], precision: torch.dtype
) -> str | None:
    """Whether plain hooks read other activations than the ones that were put in."""
    for source, known in captures.sets():
        sites = sorted(wanted & set(known))
        chosen = [row % len(source) for row in rows]
        real = is_token(Rows(source[chosen], slice(None)))
        for site, expected in (capture_sites(model, source[chosen], sites) if sites else {}).items():
            found = known[site][chosen]
            if site.at is None:
                found, expected = found[real], expected[real]
            if not _close(found, expected, precision):
                return f"the activation of {site.kind} {site} differs by {_gap(found, expected):.3g}"
    return None


def _gap(found: Tensor, expected: Tensor) -> float:
    return float((found.double() - expected.double()).abs().max())


def _close(found: Tensor, expected: Tensor, precision: torch.dtype) -> bool:
    size = float(expected.double().abs().nan_to_num().max())
    return torch.allclose(found.double(), expected.double(), rtol=0, atol=TOLERANCE[precision] * max(1.0, size), equal_nan=True)
