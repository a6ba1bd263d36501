"""What is run again of a sweep, and what is said where it differs."""

import dataclasses
from functools import partial
from types import SimpleNamespace

import pytest
from tiny import random_prompts

from mechcheck.engine import selfcheck as _selfcheck
from mechcheck.engine.arithmetic.model import arithmetic
from mechcheck.engine.edits import capture_all, edits_of
from mechcheck.engine.selfcheck import disagreement
from mechcheck.engine.sweep import capture_fast, run_sweep
from mechcheck.notation.interventions import Ablate, Patch
from mechcheck.notation.sites import heads, resid

LENGTHS = (7, 7, 10, 10, 8, 8)


@pytest.fixture
def swept(tiny):
    """A sweep of four variants, and what was captured for it of two other sets of prompts."""
    model, prompts = tiny("gpt2"), random_prompts(3, LENGTHS)
    prompts = dataclasses.replace(prompts, reference=random_prompts(8, (9, 9, 9, 12, 12)))
    variants = [[Patch(heads("0.1"))], [Ablate(heads("0.0@END"), "mean")], [Patch(resid("1@A"))], [Ablate(heads("1.0@END"), "mean")]]
    known = arithmetic(model)
    captures = capture_all(model, prompts, variants, partial(capture_fast, known, prompts))
    edits = [edits_of(model, prompts, variant, captures) for variant in variants]
    return run_sweep(model, known, prompts, edits), captures


def test_the_same_cells_each_time(swept, monkeypatch):
    found, captures = swept
    cells = _selfcheck._cells(found)
    assert cells == _selfcheck._cells(found)
    assert [cell.again for cell in cells] == [0, 1, 2]
    assert [cell.variant for cell in cells] == sorted({cell.variant for cell in cells})
    assert disagreement(found, captures) is None
    monkeypatch.setattr(_selfcheck, "CELLS", 9)
    assert [cell.variant for cell in _selfcheck._cells(found)] == [0, 1, 2, 3]
    assert disagreement(found, captures) is None


@pytest.mark.parametrize("which", [0, 1, 2])
def test_a_wrong_cell_is_named(swept, which):
    found, captures = swept
    cell = _selfcheck._cells(found)[which]
    streams = found.streams.clone()
    streams[cell.variant, cell.prompt, 0, 0] += 1.0
    where = found.edits[cell.variant][0].site
    message = disagreement(dataclasses.replace(found, streams=streams), captures)
    assert message.startswith(f"variant {cell.variant} ({where}) on prompt {cell.prompt}: logits differ by ")


@pytest.mark.parametrize("which", [0, 1])
def test_a_wrong_activation_is_named(swept, which):
    """The sets have other lengths than the sweep's prompts, and stand in one forward pass with them."""
    found, captures = swept
    source = _selfcheck._sources(found, captures, _selfcheck._cells(found))[which]
    site = next(iter(source.sites))

    def wrong_on(rows):
        changed = source.captured[site].clone()
        changed[rows] += 0.5
        sets = [(prompts, {**known, site: changed} if prompts is source.prompts else known) for prompts, known in captures.sets()]
        return SimpleNamespace(sets=lambda: sets)

    others = [row for row in range(len(source.prompts)) if row != source.prompt]
    assert disagreement(found, wrong_on(others)) is None
    assert disagreement(found, wrong_on([source.prompt])) == f"the activation of {site.named} differs by 0.5"
