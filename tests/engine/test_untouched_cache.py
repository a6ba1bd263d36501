"""Untouched runs are remembered, for the weights and prompts that they are of, and forgotten when they take too much."""

import dataclasses

from tiny import random_prompts

from mechcheck.engine import untouched_cache as _runs
from mechcheck.engine.arithmetic import arithmetic

LENGTHS = (7, 7, 10, 10, 8, 8)


def test_remembered_runs_are_those_of_the_same_weights_and_prompts(tiny, layout):
    model, prompts, others = tiny(layout), random_prompts(3, LENGTHS), random_prompts(4, LENGTHS)
    known = arithmetic(model)
    assert _runs.untouched_run(model, known, prompts) is _runs.untouched_run(model, known, prompts)
    assert _runs.untouched_run(model, known, others) is not _runs.untouched_run(model, known, prompts)
    extra = frozenset([("q", 1)])
    assert _runs.untouched_run(model, known, prompts, extra).of("q", 1).shape[-1] == model.cfg.d_head
    changed = dataclasses.replace(known)
    assert _runs.untouched_run(model, changed, prompts).arithmetic is changed


def test_runs_are_forgotten_when_they_take_too_much(tiny, monkeypatch):
    model, sets = tiny("gpt2"), [random_prompts(seed, LENGTHS) for seed in range(3)]
    known = arithmetic(model)
    _runs.forget_runs()
    size = _runs._bytes(_runs.untouched_run(model, known, sets[0]))
    monkeypatch.setattr(_runs, "RUN_BYTES", 2 * size)
    for prompts in sets:
        _runs.untouched_run(model, known, prompts)
    assert [prompts for _, prompts in _runs._runs] == sets[1:]
    monkeypatch.setattr(_runs, "RUN_BYTES", 1)
    _runs.untouched_run(model, known, sets[0])
    assert not _runs._runs
