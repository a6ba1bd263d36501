"""Ablation studies against plain hooks on the Hugging Face model, with every metric worked out in numpy."""

from contextlib import ExitStack

import numpy as np
import plain
import pytest
import torch
from tiny import HUGGING_FACE, random_prompts

from mechcheck.base.errors import MechcheckError, SiteError
from mechcheck.measures.causal.ablation import STUDY_METRICS, _between, ablation_effects, all_heads, rank_heads, sparsified_to
from mechcheck.measures.head_scores import HeadScores
from mechcheck.notation.interventions import Ablate, Scale
from mechcheck.notation.metrics import logit_diff
from mechcheck.notation.sites import Site, Sites, heads, mlps

LENGTHS = (7, 7, 9, 9, 12, 12, 8, 8)


def logits_with(model, prompts, changes):
    """[prompt, d_vocab] at END after each site's z [prompt, pos, d_head] went through its function."""

    def edit(site, change):
        def inner(x):
            x = x.clone()
            x[..., plain.columns(model, site)] = change(x[..., plain.columns(model, site)])
            return x

        return inner

    with torch.no_grad(), ExitStack() as stack:
        for site, change in changes.items():
            stack.callback(plain.attach(model, site, edit(site, change)).remove)
        logits = model(prompts.tokens).logits
    return logits[torch.arange(len(prompts)), prompts.positions["END"]].double().numpy()


def by_hand(logits, clean, prompts):
    """Every study metric, prompt by prompt."""
    found = {name: [] for name in STUDY_METRICS}
    for row, untouched, answer in zip(logits, clean, prompts.answers.tolist(), strict=True):
        p, q = (np.exp(x - x.max()) / np.exp(x - x.max()).sum() for x in (row, untouched))
        found["kl"].append(sum(b * np.log(b / a) for a, b in zip(p, q, strict=True)))
        found["top_probability"].append(max(p))
        found["entropy"].append(-sum(a * np.log(a) for a in p))
        found["rank"].append(sum(a > p[answer] for a in p))
        found["probability"].append(p[answer])
        best = [set(sorted(range(len(x)), key=lambda i, x=x: -x[i])[:5]) for x in (p, q)]
        found["top_overlap"].append(len(best[0] & best[1]) / 5)
    return {name: np.array(values) for name, values in found.items()}


@pytest.mark.parametrize("method", ["zero", "mean"])
def test_effects_are_those_of_plain_hooks(tiny, hugging_face, layout, method):
    prompts, oracle = random_prompts(5, LENGTHS), hugging_face(layout)
    effects = ablation_effects(tiny(layout, processing="raw"), prompts, intervention=lambda sites: Ablate(sites, method))
    clean = logits_with(oracle, prompts, {})
    untouched = by_hand(clean, clean, prompts)
    assert list(effects) == list(STUDY_METRICS)
    for site in all_heads(oracle_config(oracle)):
        value = plain.value_for(oracle, prompts, site, method)
        real = torch.arange(value.shape[1])[None, :, None] < prompts.lengths[:, None, None]
        changed = logits_with(oracle, prompts, {site: lambda z, value=value, real=real: torch.where(real, value, z)})
        for name, expected in by_hand(changed, clean, prompts).items():
            got = effects[name].values[site.layer, site.index]
            np.testing.assert_allclose(got, expected - untouched[name], rtol=0, atol=HUGGING_FACE[layout], err_msg=f"{name} of {site}")
    moved = {name: np.abs(scores.values).max() for name, scores in effects.items()}
    assert min(moved.values()) > 1e-3, moved


def oracle_config(model):
    """Something with the `cfg` that `all_heads` reads."""
    cfg = type("cfg", (), {"n_layers": 2, "n_heads": model.config.num_attention_heads})
    return type("model", (), {"cfg": cfg})


def test_heads_are_told_apart_and_changed_where_asked(tiny):
    model, prompts = tiny("gpt2"), random_prompts(5, LENGTHS)
    everywhere, at_end = (
        ablation_effects(model, prompts, intervention=lambda sites: Ablate(sites, "zero"), metrics={"mine": logit_diff}, at=at)["mine"]
        for at in (None, "END")
    )
    assert everywhere.values.shape == (2, 3, len(prompts))
    assert len({tuple(row.round(9)) for row in everywhere.values.reshape(6, -1)}) == 6
    np.testing.assert_allclose(at_end.values[1], everywhere.values[1], atol=1e-12)  # what END reads of layer 1 is written at END
    assert np.abs(at_end.values[0] - everywhere.values[0]).max() > 1e-3
    assert (everywhere.name, everywhere.unit, everywhere.ids) == ("change of logit difference", "logits", prompts.ids)


def test_any_intervention(tiny):
    model, prompts = tiny("gpt2"), random_prompts(5, LENGTHS)
    nothing = ablation_effects(model, prompts, intervention=lambda sites: Scale(sites, 1.0))
    for name, scores in nothing.items():
        np.testing.assert_allclose(scores.values, 0, atol=1e-9, err_msg=name)


def test_no_metrics(tiny):
    with pytest.raises(MechcheckError, match="no metrics"):
        ablation_effects(tiny("gpt2"), random_prompts(5, LENGTHS), metrics={})


def scores(means):
    return HeadScores(np.array(means)[..., None] + np.array([-1.0, 1.0]), ("a", "b"), ("t", "t"))


def test_ranking_is_by_size():
    effects = {"x": scores([[0.1, -3.0], [2.0, 0.0]]), "y": scores([[1.0, 2.0], [3.0, 4.0]])}
    ranked = rank_heads(effects, "x")
    assert [(row.layer, row.head) for row in ranked] == [(0, 1), (1, 0), (0, 0), (1, 1)]
    assert ranked[0].changes == pytest.approx({"x": -3.0, "y": 2.0})
    assert [(row.layer, row.head) for row in rank_heads(effects, "y")] == [(1, 1), (1, 0), (0, 1), (0, 0)]


def test_ranking_refuses_what_it_cannot_rank():
    effects = {"x": scores([[0.1, np.nan], [2.0, 0.0]])}
    with pytest.raises(MechcheckError, match=r"not finite for head 0\.1"):
        rank_heads(effects, "x")
    with pytest.raises(MechcheckError, match="choose one of x"):
        rank_heads(effects, "kl")


@pytest.mark.parametrize("share", [0.0, 0.3, 0.9, 1.0])
def test_sparsifying_zeroes_that_share_of_each_heads_components(tiny, hugging_face, share):
    model, oracle, prompts = tiny("gpt2", processing="raw"), hugging_face("gpt2"), random_prompts(5, (12,) * 8)
    change = sparsified_to(model, prompts, share)
    for site in heads("0.0-2 1.0-2"):
        (sparsify,) = change(Sites([site]))
        z = plain.activation(oracle, prompts, site)
        assert (z.abs() < sparsify.threshold).double().mean() == pytest.approx(share, abs=0.006)
    thresholds = [sparsify.threshold for sparsify in change(heads("0.0-2"))]
    assert len(set(thresholds)) == (1 if share == 0 else 3)


def test_sparsifying_is_that_of_plain_hooks(tiny, hugging_face):
    model, oracle, prompts = tiny("gpt2", processing="raw"), hugging_face("gpt2"), random_prompts(5, LENGTHS)
    effects = ablation_effects(model, prompts, intervention=sparsified_to(model, prompts, 0.8))
    clean = logits_with(oracle, prompts, {})
    site = Site("head", 0, 2)
    real = torch.arange(12)[None, :] < prompts.lengths[:, None]
    sizes = plain.activation(oracle, prompts, site)[real].abs().flatten().sort().values
    cut = sizes[round(0.8 * len(sizes))]
    changed = logits_with(oracle, prompts, {site: lambda z: z.masked_fill(z.abs() < cut, 0.0)})
    expected = by_hand(changed, clean, prompts)["kl"]
    # The threshold may be half a percent off: one or two of the components around it are cut or kept otherwise.
    np.testing.assert_allclose(effects["kl"].values[0, 2], expected, rtol=0.2, atol=1e-4)
    assert expected.max() > 1e-2


def test_thresholds_do_not_part_equal_sizes():
    """Where prompts begin alike, thousands of components are equal, and which are cut must not hang on the last digit."""
    sizes = np.sort(np.concatenate([np.linspace(0, 1, 500), np.full(3, 1.1), np.linspace(1.2, 2, 497)]))
    assert 1.0 < _between(sizes, 0.502) < 1.2
    assert np.abs(sizes - _between(sizes, 0.502)).min() > 0.04
    assert np.abs(sizes - _between(sizes, 0.25)).min() > 0.0009


def test_sparsifying_errors(tiny):
    model, prompts = tiny("gpt2"), random_prompts(5, LENGTHS)
    with pytest.raises(MechcheckError, match="between 0 and 1"):
        sparsified_to(model, prompts, 1.5)
    with pytest.raises(SiteError, match="expected sites of kind head"):
        sparsified_to(model, prompts, 0.5)(mlps("0"))
