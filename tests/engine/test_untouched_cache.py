"""Untouched runs are remembered, for the weights and prompts that they are of, and forgotten when they take too much."""

import dataclasses
import gc

import pytest
import torch
from tiny import random_prompts
from torch.nn import functional

from mechcheck.engine import hooks, untouched_cache
from mechcheck.engine.arithmetic.model import arithmetic
from mechcheck.engine.edit import Edit
from mechcheck.models.loading import forget_models, load_model
from mechcheck.notation.sites import Site

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


@pytest.fixture
def said(monkeypatch):
    """said(model, prompts, hooks): what they say, and how many runs it took; runs with few tokens are remembered too."""
    monkeypatch.setattr(untouched_cache, "_TOKENS", 1)
    untouched_cache.forget_runs()
    runs, forward = [], hooks.forward
    monkeypatch.setattr(hooks, "forward", lambda *given, **named: (runs.append(1), forward(*given, **named))[1])

    def found(model, prompts, names, changes=()):
        before = len(runs)
        values = untouched_cache.read(model, prompts, {name: (name, lambda x, rows: x[:, -1] * 2) for name in names}, changes)
        return values, len(runs) - before

    yield found
    untouched_cache.forget_runs()


EARLY, LATE = "blocks.0.hook_resid_pre", "blocks.1.attn.hook_z"


def test_what_hooks_said_is_not_run_again(tiny, layout, said):
    model, prompts = tiny(layout), random_prompts(3, LENGTHS)
    direct = hooks.read(model, prompts, {name: (name, lambda x, rows: x[:, -1] * 2) for name in (EARLY, LATE)})
    first, ran = said(model, prompts, [EARLY])
    assert ran == 1
    assert torch.equal(first[EARLY], direct[EARLY])
    first[EARLY].zero_()  # whoever is given it may do with it as he likes
    both, ran = said(model, dataclasses.replace(prompts, tokens=prompts.tokens.clone()), [EARLY, LATE])
    assert ran == 1
    assert all(torch.equal(both[name], direct[name]) for name in (EARLY, LATE))
    assert said(model, prompts, [EARLY, LATE])[1] == 0
    assert said(model, random_prompts(4, LENGTHS), [EARLY])[1] == 1


def changed_weights(model):
    model.blocks[0].attn.W_O.data.mul_(2)


def own_forward(model):
    model.blocks[0].mlp.forward = lambda x, *rest: x


def hung_up(model):
    model.blocks[0].register_forward_hook(lambda *given: None)


def own_function(model):
    functional.softmax = lambda x, *rest, softmax=functional.softmax, **named: softmax(x, *rest, **named)


@pytest.mark.parametrize("change", [changed_weights, own_forward, hung_up, own_function])
def test_a_run_is_not_remembered_for_another_model(own_model, said, monkeypatch, change):
    monkeypatch.setattr(functional, "softmax", functional.softmax)  # put back afterwards
    prompts = random_prompts(3, LENGTHS)
    assert [said(own_model, prompts, [LATE])[1] for _ in range(2)] == [1, 0]
    change(own_model)
    assert said(own_model, prompts, [LATE])[1] == 1
    direct = hooks.read(own_model, prompts, {LATE: (LATE, lambda x, rows: x[:, -1] * 2)})
    assert torch.equal(said(own_model, prompts, [LATE])[0][LATE], direct[LATE])


def test_what_hooks_said_has_a_limit(tiny, said, monkeypatch):
    model, sets = tiny("gpt2"), [random_prompts(seed, LENGTHS) for seed in range(3)]
    said(model, sets[0], [EARLY])
    size = sum(kept.nbytes for kept in untouched_cache._said.values())
    monkeypatch.setattr(untouched_cache, "SAID_BYTES", 2 * size)
    said(model, sets[0], [EARLY])
    assert [said(model, prompts, [EARLY])[1] for prompts in (sets[0], sets[1], sets[2], sets[2], sets[0])] == [0, 1, 1, 0, 1]
    monkeypatch.setattr(untouched_cache, "SAID_BYTES", size)
    assert [said(model, sets[0], [EARLY])[1] for _ in range(2)] == [1, 1]  # it would leave no room for others


def test_a_changed_run_is_not_remembered(tiny, said):
    model, prompts = tiny("gpt2"), random_prompts(3, LENGTHS)
    edit = Edit(Site("resid_pre", 1, None, None), keep=2.0)
    assert [said(model, prompts, [LATE], [edit])[1] for _ in range(2)] == [1, 1]
