"""Stability of what is found: against resamples that are drawn and searched one at a time."""

import itertools
from dataclasses import replace

import numpy as np
import pytest
import torch
from tiny import random_prompts

from mechcheck.base.errors import MechcheckError
from mechcheck.circuits.discovery import ranked
from mechcheck.circuits.edge_methods import information_flow
from mechcheck.circuits.edge_scores import edge_scores
from mechcheck.circuits.evaluation import Cut
from mechcheck.circuits.stability import edge_stability, search_stability
from mechcheck.notation.graph import graph
from mechcheck.stats.resample import drawn_again

LENGTHS = (7, 7, 10, 10, 8, 8)


def jaccards(circuits) -> list[float]:
    return [len(a & b) / len(a | b) for a, b in itertools.combinations(circuits, 2)]


def drawn_rows(templates, resamples: int, seed: int) -> list[list[int]]:
    return [np.repeat(np.arange(len(templates)), counts.astype(int)).tolist() for counts in drawn_again(templates, resamples, seed)]


@pytest.mark.parametrize("by", ["prompts", "templates"])
def test_scores_are_the_means_of_what_was_drawn(tiny, by):
    """By hand: the largest scores' sites on each resample, and sets of them."""
    prompts = random_prompts(3, LENGTHS)
    scores, size = edge_scores(tiny("gpt2"), prompts), 12
    found = edge_stability(scores, size, assemble="top", resamples=15, by=by, seed=4)
    circuits = []
    for rows in drawn_rows(prompts.templates if by == "templates" else ("all",) * len(prompts), 15, 4):
        part = replace(scores, values=scores.values[rows], ids=tuple(np.array(scores.ids)[rows]))
        circuits.append({str(site) for site in part.top(size)})
    pairs = jaccards(circuits)
    assert (found.size, found.resamples) == (size, 15)
    assert found.jaccard == pytest.approx(np.mean(pairs))
    np.testing.assert_allclose(found.quantiles, np.quantile(pairs, [0.05, 0.5, 0.95]))
    counts = {edge: sum(edge in some for some in circuits) / 15 for edge in set().union(*circuits)}
    assert found.inclusion == pytest.approx(counts)
    assert sum(found.inclusion.values()) == pytest.approx(size)
    assert found.interval[0] < found.jaccard < found.interval[1]
    assert str(found).startswith(f"Jaccard {found.jaccard:.2f} [")


def test_the_interval_is_that_of_leaving_out_one_resample(tiny):
    scores = edge_scores(tiny("gpt2"), random_prompts(3, LENGTHS))
    found = edge_stability(scores, 12, assemble="top", resamples=8, seed=4)
    circuits = []
    for rows in drawn_rows(("all",) * len(scores.ids), 8, 4):
        circuits.append({str(site) for site in replace(scores, values=scores.values[rows]).top(12)})
    without = np.array([np.mean(jaccards(circuits[:i] + circuits[i + 1 :])) for i in range(8)])
    error = np.sqrt(7 / 8 * ((without - without.mean()) ** 2).sum())
    np.testing.assert_allclose(found.interval, [found.jaccard - 1.96 * error, min(1.0, found.jaccard + 1.96 * error)])


def test_prompts_that_agree_find_the_same(tiny):
    scores = edge_scores(tiny("gpt2"), random_prompts(3, LENGTHS))
    alike = replace(scores, values=np.repeat(scores.values[:1], len(scores.ids), axis=0))
    found = edge_stability(alike, 10, resamples=5)
    assert (found.jaccard, found.interval, found.quantiles) == (1.0, (1.0, 1.0), (1.0, 1.0, 1.0))
    assert set(found.inclusion.values()) == {1.0}
    assert len(found.inclusion) == 10


def test_a_search_is_run_on_each_resample(tiny):
    """As it is on a prompt set with these prompts, some of them twice."""
    model, prompts = tiny("gpt2"), random_prompts(3, LENGTHS)
    found = search_stability(Cut(model, prompts), information_flow, 9, resamples=4, seed=1)
    circuits = [{str(site) for site in information_flow(Cut(model, prompts[rows])).edges(9)} for rows in drawn_rows(("all",) * 6, 4, 1)]
    assert found.jaccard == pytest.approx(np.mean(jaccards(circuits)))
    assert found.inclusion == pytest.approx({e: sum(e in some for some in circuits) / 4 for e in set().union(*circuits)})


@pytest.mark.parametrize("by", ["prompts", "templates"])
def test_scores_that_are_computed_again_are_as_stable_as_their_means(tiny, by):
    """A search that computes exact scores on each resample finds what means of the scores on all prompts do."""
    model, prompts = tiny("gpt2"), random_prompts(3, LENGTHS)
    again = search_stability(Cut(model, prompts), lambda cut: ranked(edge_scores(model, cut.prompts), "top"), 9, resamples=4, by=by, seed=1)
    assert again == edge_stability(edge_scores(model, prompts), 9, assemble="top", resamples=4, by=by, seed=1)


@pytest.mark.parametrize("instead", ["mean", "resample", "counterfactual"])
def test_cut_edges_carry_what_they_did_on_all_prompts(tiny, instead):
    """Whatever was drawn: a template of which one prompt is left has the mean of all of its prompts."""
    model, prompts = tiny("gpt2"), random_prompts(3, LENGTHS)
    cut, rows = Cut(model, prompts, instead), [0, 2, 2, 5]
    masks = [torch.zeros_like(cut.graph.real), graph(model).mask(list(cut.graph.in_order)[::3])]
    np.testing.assert_allclose(cut.on(rows).values(masks), cut.values(masks)[:, rows], rtol=0, atol=1e-6)
    assert cut.on(rows).prompts.ids == prompts[rows].ids
    np.testing.assert_allclose(cut.on(rows).ends[1], cut.ends[1][rows], rtol=0, atol=1e-6)


def test_what_cannot_be_drawn_is_refused(tiny):
    scores = edge_scores(tiny("gpt2"), random_prompts(3, LENGTHS))
    with pytest.raises(MechcheckError, match="no circuit of 1000"):
        edge_stability(scores, 1000)
    with pytest.raises(MechcheckError, match="resamples=2: at least 3"):
        edge_stability(scores, 5, resamples=2)
    with pytest.raises(MechcheckError, match="unknown by='words'"):
        edge_stability(scores, 5, by="words")
    with pytest.raises(MechcheckError, match='choose "greedy" or "top"'):
        edge_stability(scores, 5, assemble="largest")
