"""Untouched runs are remembered, for the weights and prompts that they are of, and forgotten when they take too much."""

import dataclasses
import gc

from tiny import random_prompts

from mechcheck.engine import untouched_cache
from mechcheck.engine.arithmetic.model import arithmetic
from mechcheck.models.loading import forget_models, load_model

LENGTHS = (7, 7, 10, 10, 8, 8)


def test_remembered_runs_are_those_of_the_same_weights_and_prompts(tiny, layout):
    model, prompts, others = tiny(layout), random_prompts(3, LENGTHS), random_prompts(4, LENGTHS)
    known = arithmetic(model)
    assert untouched_cache.untouched_run(model, known, prompts) is untouched_cache.untouched_run(model, known, prompts)
    assert untouched_cache.untouched_run(model, known, others) is not untouched_cache.untouched_run(model, known, prompts)
    aligned = dataclasses.replace(others, ids=prompts.ids)  # as a counterfactual has them
    assert untouched_cache.untouched_run(model, known, aligned).prompts is aligned
    extra = frozenset([("q", 1)])
    assert untouched_cache.untouched_run(model, known, prompts, extra).of("q", 1).shape[-1] == model.cfg.d_head
    changed = dataclasses.replace(known)
    assert untouched_cache.untouched_run(model, changed, prompts).arithmetic is changed


def test_runs_are_forgotten_with_their_model(tiny, model_dirs):
    kept, prompts = tiny("gpt2"), random_prompts(3, LENGTHS)
    forget_models()
    gone = load_model(model_dirs["gpt2"], dtype="float64")
    forget_models()
    untouched_cache.forget_runs()
    for model in (kept, gone):
        untouched_cache.untouched_run(model, arithmetic(model), prompts)
    assert len(untouched_cache._runs) == 2
    del gone, model
    gc.collect()
    untouched_cache.untouched_run(kept, arithmetic(kept), prompts)
    assert [known for known, _ in untouched_cache._runs] == [arithmetic(kept)]


def test_runs_are_forgotten_when_they_take_too_much(tiny, monkeypatch):
    model, sets = tiny("gpt2"), [random_prompts(seed, LENGTHS) for seed in range(3)]
    known = arithmetic(model)
    untouched_cache.forget_runs()
    size = untouched_cache._bytes(untouched_cache.untouched_run(model, known, sets[0]))
    monkeypatch.setattr(untouched_cache, "RUN_BYTES", 2 * size)
    for prompts in sets:
        untouched_cache.untouched_run(model, known, prompts)
    assert [prompts for _, prompts in untouched_cache._runs] == sets[1:]
    monkeypatch.setattr(untouched_cache, "RUN_BYTES", 1)
    untouched_cache.untouched_run(model, known, sets[0])
    assert not untouched_cache._runs
