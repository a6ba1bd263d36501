"""One sweep over several processes is the sweep of one to the bit."""

import functools
import operator
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from multiprocessing import get_context

import numpy as np
import pytest

from mechcheck import (
    Ablate,
    Patch,
    Permute,
    cluster_executor,
    heads,
    ioi_prompts,
    kl_divergence,
    load_model,
    logit_diff,
    loss,
    resid,
    sweep,
)
from mechcheck.base.errors import ModelError
from mechcheck.engine.arithmetic.model import arithmetic
from mechcheck.engine.run import sweep_metrics
from mechcheck.engine.spreading import spread as spreading

MODEL = "names-gpt2-seed4"


@pytest.fixture(scope="module")
def given():
    model = load_model(MODEL)
    prompts = ioi_prompts(model, n=24, seed=0)
    every = [f"{layer}.{head}" for layer in range(model.cfg.n_layers) for head in range(model.cfg.n_heads)]
    variants = [[]]
    variants += [Patch(heads(f"{one}@END")) for one in every]
    variants += [Ablate(heads(one), "zero") for one in every]
    variants += [Patch(resid(f"{layer}@S2")) for layer in range(model.cfg.n_layers)]
    variants += [[Ablate(heads(every[0]), "zero"), Patch(heads(f"{every[-1]}@END"))]]
    return model, prompts, variants


@pytest.fixture(scope="module")
def processes():
    with ProcessPoolExecutor(2, mp_context=get_context("spawn")) as executor:
        yield executor


def alike(found, expected):
    assert found.dtype == expected.dtype
    assert np.array_equal(found, expected, equal_nan=True)


@pytest.mark.parametrize("batch", [1, 3, None])
def test_two_processes_give_the_bits_of_one(given, processes, batch):
    model, prompts, variants = given
    alike(sweep(model, prompts, variants, batch=batch, executor=processes), sweep(model, prompts, variants, batch=batch))


def test_metrics_that_cannot_be_sent_and_every_position_too(given, processes):
    model, prompts, variants = given
    metrics = [logit_diff, kl_divergence, loss, lambda logits, _: logits.amax(-1)]
    found, expected = (sweep_metrics(model, prompts, variants, metrics, batch=2, executor=one) for one in (processes, None))
    for one, other in zip(found, expected, strict=True):
        alike(one, other)


def test_what_plain_hooks_do_is_done_here(given, processes):
    model, prompts, variants = given
    some = [*variants[:6], Permute(heads("0.1"))]
    alike(sweep(model, prompts, some, batch=2, executor=processes), sweep(model, prompts, some, batch=2))


def test_workers_of_a_cluster_too(given, warm):
    model, prompts, variants = given
    with cluster_executor("local", 2) as executor:
        alike(sweep(model, prompts, variants, batch=2, executor=executor), sweep(model, prompts, variants, batch=2))


def test_each_process_computes_some_and_all_of_them_are_used(given, monkeypatch):
    """Counted where the executor is a thread of this process: every batch once, and none by the one that puts them together."""
    model, prompts, variants = given
    parts = []
    computed = spreading._computed

    def counted(work, wanted):
        found = computed(work, wanted)
        parts.append(sorted(found))
        assert sorted(found) == list(wanted)
        return {number: streams + 1 for number, streams in found.items()}

    monkeypatch.setattr(spreading, "_computed", counted)
    with ThreadPoolExecutor(1) as executor:
        found = sweep(model, prompts, variants, batch=3, executor=executor)
    assert len(parts) == 4
    assert functools.reduce(operator.iadd, parts, []) == list(range(parts[-1][-1] + 1))
    assert not np.array_equal(found, sweep(model, prompts, variants, batch=3))


def test_a_model_in_memory_cannot_be_loaded_elsewhere(given, processes):
    from transformer_lens.model_bridge import TransformerBridge

    model, prompts, _variants = given
    assert isinstance(model, TransformerBridge)
    made = TransformerBridge.boot_native(
        {"n_layers": 1, "d_model": 16, "n_heads": 2, "d_head": 8, "d_mlp": 32, "n_ctx": 16, "d_vocab": 50, "act_fn": "gelu"}
    )
    with pytest.raises(ModelError, match="made in memory"):
        spreading.spread(processes, made, arithmetic(model), spreading.Variants(prompts, [[]], [0], None, None), [[]])
