"""Activation patching against TransformerLens' own, and against plain hooks."""

import numpy as np
import plain
import pytest
from tiny import HUGGING_FACE, SAME_FORWARD, random_prompts
from transformer_lens import patching

from mechcheck._engine import run
from mechcheck._errors import MechcheckError, PromptError
from mechcheck._metrics import probability
from mechcheck._patching import head_patching, recovery, residual_patching
from mechcheck._sites import Site

EQUAL = (9,) * 5


def mean_logit_diff(prompts):
    """TransformerLens' metric: the mean over prompts, from the logits at every position."""
    rows = range(len(prompts))

    def metric(logits):
        end = logits[rows, prompts.positions["END"]]
        return (end[rows, prompts.answers] - end[rows, prompts.foils]).mean()

    return metric


@pytest.fixture
def oracle(tiny, layout):
    """[layer, head] as TransformerLens measures it: z of the counterfactual in the run on the prompts."""
    model, prompts = tiny(layout), random_prompts(4, EQUAL)
    _, cache = model.run_with_cache(prompts.counterfactual.tokens)
    return patching.get_act_patch_attn_head_out_all_pos(model, prompts.tokens, cache, mean_logit_diff(prompts)).numpy()


def test_head_patching_is_that_of_transformer_lens(tiny, layout, oracle):
    prompts = random_prompts(4, EQUAL)
    patched = head_patching(tiny(layout), prompts)
    assert patched.values.shape == (2, tiny(layout).cfg.n_heads, len(prompts))
    np.testing.assert_allclose(patched.mean, oracle, rtol=0, atol=SAME_FORWARD[layout])


@pytest.mark.parametrize("constant", [0.1, 0.0])
def test_the_oracle_tells_wrong_patching_apart(tiny, layout, oracle, constant):
    """An effect that is the same constant for every head, one of the wrong direction, one of shifted heads."""
    prompts = random_prompts(4, EQUAL)
    base = run(tiny(layout), prompts).mean
    right = head_patching(tiny(layout), prompts)
    mutants = {
        "constant effect": np.full_like(oracle, base + constant),
        "the other way round": head_patching(tiny(layout), prompts.counterfactual, source=prompts).mean,
        "next head": np.roll(right.mean, 1, axis=1),
        "next layer": np.roll(right.mean, 1, axis=0),
    }
    for mutant in mutants.values():
        assert np.abs(mutant - oracle).max() > 1e3 * SAME_FORWARD[layout]


def test_residual_patching_is_that_of_transformer_lens(tiny, layout):
    model, prompts = tiny(layout), random_prompts(4, EQUAL)
    prompts = type(prompts)(**{**vars(prompts), "positions": {**prompts.positions, "THIRD": 0 * prompts.lengths + 3}})
    source = type(prompts)(**{**vars(prompts.counterfactual), "positions": prompts.positions})
    _, cache = model.run_with_cache(source.tokens)
    oracle = patching.get_act_patch_resid_pre(model, prompts.tokens, cache, mean_logit_diff(prompts)).numpy()
    patched = residual_patching(model, prompts, ["END", "THIRD"], source=source)
    assert patched.shape == (2, 2, len(prompts))
    np.testing.assert_allclose(patched.mean(-1), oracle[:, [8, 3]], rtol=0, atol=SAME_FORWARD[layout])


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
