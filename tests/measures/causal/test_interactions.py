"""Interactions against plain hooks, and clusters of numbers made up for the purpose."""

from itertools import combinations

import numpy as np
import plain
import pytest
from tiny import HUGGING_FACE, SAME_FORWARD, random_prompts

from mechcheck.base.errors import MechcheckError, SiteError
from mechcheck.measures.causal import interactions as _interactions
from mechcheck.measures.causal.interactions import Interactions, interaction, interactions
from mechcheck.notation.interventions import Ablate
from mechcheck.notation.metrics import kl_divergence
from mechcheck.notation.sites import Site, Sites, heads

LENGTHS = (7, 7, 9, 9, 12, 12, 8, 8)


def effect(oracle, prompts, sites, method):
    """What plain hooks say that changing the sites takes from the logit difference."""
    values = {site: plain.value_for(oracle, prompts, site, method) for site in sites}
    return (plain.logit_diff_with(oracle, prompts, {}) - plain.logit_diff_with(oracle, prompts, values)).numpy()


@pytest.mark.parametrize("method", ["zero", "mean"])
def test_interaction_is_that_of_plain_hooks(tiny, hugging_face, layout, method):
    prompts, oracle = random_prompts(6, LENGTHS), hugging_face(layout)
    a, b = heads("0.0 1.1"), heads("0.2@A")
    found = interaction(tiny(layout, processing="raw"), prompts, a, b, intervention=lambda sites: Ablate(sites, method))
    expected = effect(oracle, prompts, a | b, method) - effect(oracle, prompts, a, method) - effect(oracle, prompts, b, method)
    np.testing.assert_allclose(found.values, expected, rtol=0, atol=4 * HUGGING_FACE[layout])
    assert np.abs(expected).max() > 1e-3
    assert (found.ids, found.templates, found.unit) == (prompts.ids, prompts.templates, "logits")


@pytest.mark.parametrize(
    ("without_a", "without_b", "without_both", "expected"),
    [(10, 10, 0, 10), (0, 0, 0, -10), (7, 6, 3, 0)],
    ids=["either suffices", "one path", "side by side"],
)
def test_what_the_sign_says(monkeypatch, without_a, without_b, without_both, expected):
    prompts, measured = random_prompts(6, LENGTHS), {"": 10, "0.0": without_a, "0.1": without_b, "0.0 0.1": without_both}

    def sweep(model, prompts, variants, metric):
        return np.array([[measured[str(variant) if variant else ""]] * len(prompts) for variant in variants], dtype=float)

    monkeypatch.setattr(_interactions, "sweep", sweep)
    found = interaction(None, prompts, heads("0.0"), heads("0.1"), intervention=lambda sites: sites)
    assert set(found.values) == {expected}


def test_all_pairs_at_once(tiny):
    model, prompts = tiny("gpt2"), random_prompts(6, LENGTHS)
    found = interactions(model, prompts)
    assert [str(site) for site in found.sites] == ["0.0", "0.1", "0.2", "1.0", "1.1", "1.2"]
    assert np.isnan(found.mean).tolist() == np.eye(6, dtype=bool).tolist()
    for i, j in combinations(range(6), 2):
        expected = interaction(model, prompts, Sites([found.sites[i]]), Sites([found.sites[j]])).values
        for cell in ((i, j), (j, i)):
            np.testing.assert_allclose(found.values[cell], expected, rtol=0, atol=SAME_FORWARD["gpt2"])


def test_other_sites_metric_and_intervention(tiny):
    model, prompts = tiny("gpt2"), random_prompts(6, LENGTHS)
    zeroed = {"intervention": lambda sites: Ablate(sites, "zero"), "metric": kl_divergence}
    found = interactions(model, prompts, heads("0.1@END 1.2"), **zeroed)
    expected = interaction(model, prompts, heads("0.1@END"), heads("1.2"), **zeroed)
    np.testing.assert_allclose(found.values[0, 1], expected.values, rtol=0, atol=SAME_FORWARD["gpt2"])
    assert found.effects.shape == (2, len(prompts))
    assert (found.effects < 0).all()  # changing something raises the KL, so that it takes a negative amount of it
    assert found.unit == "nats"


def made_up(links, n=6):
    values = np.zeros((n, n, 2))
    values[np.arange(n), np.arange(n)] = np.nan
    for (i, j), size in links.items():
        values[i, j] = values[j, i] = [size - 0.05, size + 0.05]
    return Interactions(tuple(Site("head", 0, i) for i in range(n)), values, np.zeros((n, 2)), "logits")


def test_clusters_are_linked_directly_or_through_others():
    found = made_up({(0, 3): 0.5, (3, 4): -0.4, (1, 5): 0.3, (2, 1): 0.1})
    assert list(map(str, found.clusters(0.2))) == ["0.0 0.3 0.4", "0.1 0.5"]
    assert list(map(str, found.clusters(0.45))) == ["0.0 0.3"]
    assert found.clusters(0.6) == []
    assert list(map(str, found.clusters(0.05))) == ["0.0 0.3 0.4", "0.1 0.2 0.5"]


def test_errors(tiny):
    model, prompts = tiny("gpt2"), random_prompts(6, LENGTHS)
    with pytest.raises(SiteError, match=r"0\.1 is in both sets"):
        interaction(model, prompts, heads("0.0 0.1"), heads("0.1"))
    with pytest.raises(SiteError, match="needs two sites, got 1"):
        interactions(model, prompts, heads("0.0"))
    with pytest.raises(MechcheckError, match=r"interaction of 0\.0 and 0\.1 is not finite"):
        made_up({(0, 1): np.nan}).clusters(0.1)
    with pytest.raises(MechcheckError, match="must be positive"):
        made_up({}).clusters(0.0)
