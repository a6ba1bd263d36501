"""Edges that can matter: effects in each context against plain hooks, what was built is found, and what nobody reads is not."""

import itertools
from dataclasses import replace

import numpy as np
import pytest
from random_blueprints import DUPLICATE, INHIBITION, UNREAD, built, model_of, mover, random_blueprint
from scipy.stats import binomtest, rankdata
from tiny import random_prompts

from mechcheck import load_model, task_prompts
from mechcheck.base.errors import MechcheckError, SiteError
from mechcheck.circuits.edge_contexts import find_edges, lower_mean
from mechcheck.compiled import blueprint, task_of, wiring
from mechcheck.engine.run import plain_hooks, sweep
from mechcheck.notation.edges import edges
from mechcheck.notation.interventions import Ablate, Patch, Permute
from mechcheck.notation.metrics import loss
from mechcheck.notation.sites import Sites, heads, mlps

LENGTHS = (7, 7, 10, 10)


def auroc(scores: np.ndarray, true: np.ndarray) -> float:
    """By ranks."""
    n = true.sum()
    return (rankdata(scores.round(5))[true].sum() - n * (n + 1) / 2) / (n * (len(true) - n))


def of_nodes_and_edges(found, truth: Sites) -> tuple[float, float]:
    real, true = found.graph.real.numpy(), found.graph.mask(truth).numpy()
    return auroc(found.scores.max(0)[1:], true.any(0)[1:]), auroc(found.scores[real], true[real])


def test_what_was_built_is_found():
    """Of compiled-induction, part of which reads marks that every prompt has."""
    model = load_model("compiled-induction")
    found = find_edges(model, task_prompts(task_of("compiled-induction"), model, n=6, seed=0, split="discover"))
    assert of_nodes_and_edges(found, wiring(blueprint("compiled-induction"))) == (1.0, 1.0)
    assert found.edges(8) == wiring(blueprint("compiled-induction"))
    assert len(found.order) == len(found.graph)


@pytest.mark.parametrize("seed", [0, 1])
def test_what_was_built_at_random_is_found(seed, tmp_path):
    """Redundancy, backups, idle heads. Where an inhibition head rests when there is nothing to find may matter nowhere."""
    declared = random_blueprint(seed)
    found = find_edges(*built(declared, tmp_path, n=5), instead=["zero", "permute"])
    of_nodes, of_edges = of_nodes_and_edges(found, wiring(declared))
    assert of_nodes >= 0.99
    assert of_edges >= 0.98


def test_redundancy_of_three_shows_without_two(tmp_path):
    """By zero ablation alone: each of three duplicate-token heads suffices."""
    model, prompts = built(model_of([[DUPLICATE] * 3 + [UNREAD[0]], [INHIBITION], [mover("answer", 12.0)]], "three"), tmp_path, n=3)
    # Zero ablation sees none of the three alone, so that it has no reason to take two of them out together.
    assert find_edges(model, prompts, instead=["zero"]).told_by("0.1->1.0.k")[0] < 0.01
    found = find_edges(model, prompts, instead=["zero", "counterfactual"])
    (edge, unread) = (found.graph.mask(edges(one)).numpy() for one in ("0.1->1.0.k", "0.3->1.0.k"))
    (without_two,) = [one for one in found.contexts if one.instead == "zero" and one.without == heads("0.0 0.2")]
    assert without_two.bounds[edge] > 3
    assert found.scores[unread] < 0.01


@pytest.mark.parametrize("name", ["gpt2", "llama"])
def test_every_context_is_what_hooks_say(tiny, name):
    model, prompts = tiny(name), random_prompts(3, LENGTHS)
    out = heads("0.1") | mlps("0")
    found = find_edges(model, prompts, metric=loss, lesions=out, together=1, instead=["counterfactual", "zero", "resample", "permute"])
    assert [str(context.without) for context in found.contexts[::4]] == ["", "0.1", "mlp 0"]
    some = [edge for edge in found.graph.in_order if str(edge) in ("0.0->1.1.q", "input->0.1.k", "1.0->logits", "0.0->mlp1")]
    assert len(some) == 4
    how = {
        "counterfactual": [Patch],
        "zero": [lambda sites: Ablate(sites, "zero")],
        "resample": [lambda sites: Ablate(sites, "resample")],
        "permute": [lambda sites, seed=seed: Permute(sites, seed) for seed in range(4)],
    }
    for context in found.contexts:
        if len(context.without) and context.instead in ("counterfactual", "resample"):
            continue  # what is put in comes from the lesioned model: see test_lesions.py
        gone = [Ablate(context.without)] if len(context.without) else []
        for edge in some:
            at = tuple(found.graph.mask([edge]).nonzero()[0].tolist())
            with plain_hooks():
                values = sweep(model, prompts, [gone, *([*gone, one(Sites([edge]))] for one in how[context.instead])], loss)
            moved = np.abs(values[1:] - values[0]).mean(0)
            if context.instead == "zero" and str(edge).startswith("input"):
                moved = 0 * moved
            assert context.effects[at] == pytest.approx(moved.mean(), abs=1e-4)
            assert context.bounds[at] == pytest.approx(lower_mean(moved), abs=1e-4)
    bounds = np.max([context.bounds for context in found.contexts], axis=0)
    np.testing.assert_array_equal(found.scores, bounds)
    assert list(found.order) == sorted(found.order, key=lambda number: -found.scores.flat[number])
    with pytest.raises(MechcheckError, match="names 2 edges"):
        found.told_by("0.1->1.0-1.q")
    score, best = found.told_by(some[0])
    assert score == bounds[found.graph.mask([some[0]]).numpy()] == best.bounds[found.graph.mask([some[0]]).numpy()]


def test_a_mean_is_held_down_by_how_few_it_is_of():
    """The area below the lower bounds of Clopper and Pearson, added up by hand; ties and zeros among the sizes."""
    for sizes in ([0.0, 3.0, 0.5, 2.0], [1.0] * 8, [0.0] * 7 + [2.0], [0.7], [0.0, 0.0]):
        limits, n, area = sorted({0.0, *sizes}), len(sizes), 0.0
        for low, high in itertools.pairwise(limits):
            k = sum(size >= high for size in sizes)
            area += (high - low) * binomtest(k, n).proportion_ci(0.9, "exact").low
        assert lower_mean(np.array(sizes)) == pytest.approx(area, rel=1e-6)
        assert lower_mean(np.array(sizes)) <= np.mean(sizes)
    assert lower_mean(np.ones((2, 3, 8))).shape == (2, 3)


def test_what_cannot_be_searched_is_refused(tiny):
    model, prompts = tiny("gpt2"), random_prompts(1, LENGTHS)
    for wrong, why in (
        ({"instead": ["zeros"]}, r"unknown intervention 'zeros'.*did you mean"),
        ({"instead": []}, "unknown intervention none"),
        ({"metric": loss.each_of("ALL")}, "a value for each position"),
        ({"together": -1}, "together=-1"),
    ):
        with pytest.raises(MechcheckError, match=why):
            find_edges(model, prompts, **wrong)
    with pytest.raises(SiteError, match="cannot be taken out whole"):
        find_edges(model, prompts, lesions=heads("0.1@END"), instead=["zero"])
    with pytest.raises(MechcheckError, match="no counterfactual"):
        find_edges(model, replace(prompts, counterfactual=None))
