"""Activation patching against TransformerLens' own, and against plain hooks."""

import numpy as np
import plain
import pytest
import torch
from tiny import HUGGING_FACE, SAME_FORWARD, random_prompts
from transformer_lens import patching

from mechcheck.base.errors import MechcheckError, PromptError
from mechcheck.engine.run import run
from mechcheck.measures.causal.patching import head_patching, recovery, residual_patching
from mechcheck.notation.metrics import probability
from mechcheck.notation.sites import Site

EQUAL = (9,) * 5


def by_transformer_lens(model, prompts, source, sweep, axis: int) -> np.ndarray:
    """[layer, `axis` values, prompt]: the logit difference in each cell of a sweep of TransformerLens.

    The metric keeps its values by itself, since the sweep would store them in float32.
    """
    rows, seen = range(len(prompts)), []

    def metric(logits):
        end = logits[rows, prompts.positions["END"]]
        seen.append(end[rows, prompts.answers] - end[rows, prompts.foils])
        return seen[-1].mean()

    _, cache = model.run_with_cache(source.tokens)
    sweep(model, prompts.tokens, cache, metric)
    return torch.stack(seen).numpy().reshape(model.cfg.n_layers, axis, len(prompts))


@pytest.fixture
def oracle(tiny, layout) -> np.ndarray:
    """[layer, head, prompt] as TransformerLens measures it: z of the counterfactual in the run on the prompts."""
    model, prompts = tiny(layout), random_prompts(4, EQUAL)
    sweep = patching.get_act_patch_attn_head_out_all_pos
    return by_transformer_lens(model, prompts, prompts.counterfactual, sweep, model.cfg.n_heads)


def test_head_patching_is_that_of_transformer_lens(tiny, layout, oracle):
    patched = head_patching(tiny(layout), random_prompts(4, EQUAL))
    np.testing.assert_allclose(patched.values, oracle, rtol=0, atol=SAME_FORWARD[layout])


def test_the_oracle_tells_wrong_patching_apart(tiny, layout, oracle):
    """An effect that is the same constant for every head, one of the wrong direction, one of shifted heads."""
    prompts = random_prompts(4, EQUAL)
    base = run(tiny(layout), prompts).values
    right = head_patching(tiny(layout), prompts)
    mutants = {
        "constant effect": np.broadcast_to(base + 0.1, oracle.shape),
        "no effect": np.broadcast_to(base, oracle.shape),
        "the other way round": head_patching(tiny(layout), prompts.counterfactual, source=prompts).values,
        "next head": np.roll(right.values, 1, axis=1),
        "next layer": np.roll(right.values, 1, axis=0),
    }
    for mutant in mutants.values():
        assert np.abs(mutant - oracle).max() > 1e3 * SAME_FORWARD[layout]


@pytest.mark.parametrize(
    ("kind", "sweep"),
    [
        ("resid_pre", patching.get_act_patch_resid_pre),
        ("attn_out", patching.get_act_patch_attn_out),
        ("mlp_out", patching.get_act_patch_mlp_out),
    ],
)
def test_residual_patching_is_that_of_transformer_lens(tiny, layout, kind, sweep):
    model, prompts = tiny(layout), random_prompts(4, EQUAL)
    prompts = type(prompts)(**{**vars(prompts), "positions": {**prompts.positions, "THIRD": 0 * prompts.lengths + 3}})
    source = type(prompts)(**{**vars(prompts.counterfactual), "positions": prompts.positions})
    oracle = by_transformer_lens(model, prompts, source, sweep, 9)
    patched = residual_patching(model, prompts, ["END", "THIRD"], kind=kind, source=source)
    assert patched.shape == (2, 2, len(prompts))
    np.testing.assert_allclose(patched, oracle[:, [8, 3]], rtol=0, atol=SAME_FORWARD[layout])


def test_named_positions_match_plain_hooks(tiny, hugging_face, layout):
    prompts, oracle = random_prompts(4, (7, 9, 12)), hugging_face(layout)
    patched = head_patching(tiny(layout, processing="raw"), prompts, positions=["A", "END"])
    for layer in range(2):
        for head in range(oracle.config.num_attention_heads):
            sites = [Site("head", layer, head, at) for at in ("A", "END")]
            values = {site: plain.value_for(oracle, prompts, site, "patch") for site in sites}
            expected = plain.logit_diff_with(oracle, prompts, values).numpy()
            np.testing.assert_allclose(patched.values[layer, head], expected, rtol=0, atol=HUGGING_FACE[layout])


def test_metric_and_source(tiny, layout):
    model, prompts = tiny(layout), random_prompts(4, (7, 9))
    patched = head_patching(model, prompts, source=prompts, positions="END", metric=probability)
    base = run(model, prompts, metric=probability)
    np.testing.assert_allclose(patched.values, np.broadcast_to(base.values, patched.values.shape), rtol=0, atol=SAME_FORWARD[layout])
    assert (patched.name, patched.unit) == ("p(answer) after patching the head", "probability")
    assert patched.of("0.1").ids == prompts.ids


def test_recovery_is_the_share_of_the_way(tiny, layout):
    model, prompts = tiny(layout), random_prompts(4, EQUAL)
    patched = head_patching(model, prompts)
    base, other = run(model, prompts), run(model, prompts.counterfactual)
    expected = (patched.mean - base.mean) / (other.mean - base.mean)
    np.testing.assert_allclose(recovery(patched, base, other), expected, rtol=0, atol=1e-9)
    nothing = head_patching(model, prompts, source=prompts)
    np.testing.assert_allclose(recovery(nothing, base, other), 0, rtol=0, atol=1e-4)


def test_errors(tiny):
    model, prompts = tiny("gpt2"), random_prompts(4, (7, 9))
    base = run(model, prompts)
    with pytest.raises(PromptError, match="Patch needs prompts to patch from"):
        head_patching(model, prompts.counterfactual)
    with pytest.raises(PromptError, match="1 source prompts for 2"):
        head_patching(model, prompts, source=prompts[:1])
    with pytest.raises(MechcheckError, match="positions is empty"):
        head_patching(model, prompts, positions=[])
    with pytest.raises(MechcheckError, match="the same mean"):
        recovery(head_patching(model, prompts), base, base)
    with pytest.raises(MechcheckError, match="needs patched and base on the same prompts"):
        recovery(head_patching(model, prompts), base, run(model, prompts[:1]))
