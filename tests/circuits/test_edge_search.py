"""Searches for edges: every step is what exact runs say, and peers' methods do what their papers say."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from tiny import random_prompts

from mechcheck.base.errors import MechcheckError, NonFiniteError, PromptError
from mechcheck.circuits.edge_contexts import find_edges
from mechcheck.circuits.edge_methods import acdc, edge_pruning, information_flow
from mechcheck.circuits.edge_search import FoundEdges, check_unseen, prune_edges
from mechcheck.circuits.evaluation import Cut
from mechcheck.engine.run import capture, run
from mechcheck.notation.interventions import Patch
from mechcheck.notation.metrics import kl_divergence, logit_diff
from mechcheck.notation.sites import heads, mlps, resid, resid_post

LENGTHS = (7, 7, 10, 10)


def flat(mask) -> set[int]:
    return set(mask.flatten().nonzero()[:, 0].tolist())


@pytest.mark.parametrize("name", ["gpt2", "llama"])
def test_pruning_is_told_by_exact_runs(tiny, name):
    cut = Cut(tiny(name), random_prompts(3, LENGTHS))
    found = prune_edges(cut)
    whole, (_, full) = cut.graph, cut.ends
    assert sorted(found.order) == sorted(flat(whole.real))
    assert found.trace[-1].left == 0
    assert found.seen == set(cut.prompts.ids)
    left = whole.real.clone()
    for step in found.trace:
        assert set(step.cut) <= flat(left)
        before = left.clone()
        left.view(-1)[list(step.cut)] = False
        off = cut.values([left])[0] - full
        gap = 0.4 * abs(off.mean()) + 0.6 * np.abs(off).mean()
        assert step.gap == pytest.approx(gap, abs=1e-9)
        assert found.gap[step.left] == step.gap
        assert torch.equal(left, found.mask(step.left))
        assert len(step.cut) <= max(1, 0.1 * int(before.sum()))
    assert cut.values([found.mask(len(whole))])[0] == pytest.approx(full)


def test_pruning_stays_nearer_than_chance(tiny):
    cut = Cut(tiny("gpt2"), random_prompts(5, LENGTHS))
    found, (_, full) = prune_edges(cut), cut.ends
    for size in (15, 30, 45):
        rng = torch.Generator().manual_seed(size)
        edges = torch.tensor(sorted(flat(cut.graph.real)))
        random = []
        for _ in range(10):
            mask = torch.zeros(cut.graph.real.numel(), dtype=torch.bool)
            mask[edges[torch.randperm(len(edges), generator=rng)[:size]]] = True
            random.append(mask.view_as(cut.graph.real))
        values = np.abs(cut.values([found.mask(size), *random]).mean(1) - full.mean())
        assert values[0] <= np.median(values[1:])


def test_acdc_cuts_what_costs_less_than_its_threshold(tiny):
    """One threshold by hand: edges one at a time from the logits back, each cut for good if that costs less."""
    cut = Cut(tiny("gpt2"), random_prompts(4, LENGTHS), metric=kl_divergence)
    found = acdc(cut, [0.05])
    whole = cut.graph
    kept, now = whole.real.clone(), 0.0
    for row in reversed(range(len(whole.receivers))):
        for column in reversed(range(len(whole.senders))):
            if whole.real[row, column]:
                kept[row, column] = False
                then = float(cut.values([kept])[0].mean())
                if then - now < 0.05:
                    now = then
                else:
                    kept[row, column] = True
    assert 0 < int(kept.sum()) < len(whole)
    assert torch.equal(found.mask(int(kept.sum())), kept)
    assert found.trace[0].left == int(kept.sum())
    assert found.trace[0].gap == pytest.approx(now)
    assert torch.equal(torch.from_numpy(found.scores == 0.05) & whole.real, kept)


def test_acdc_ranks_by_the_largest_threshold_that_keeps(tiny):
    cut = Cut(tiny("gpt2"), random_prompts(4, LENGTHS), metric=kl_divergence)
    strict, lenient, both = acdc(cut, [0.2]), acdc(cut, [0.02]), acdc(cut, [0.2, 0.02])
    few = strict.trace[0].left
    assert torch.equal(both.mask(few), strict.mask(few))
    assert few < lenient.trace[0].left
    assert acdc(cut, 0.2).order == strict.order
    for wrong in ([0.1, 0.0], [], [float("nan")], -1):
        with pytest.raises(MechcheckError, match="thresholds are above 0"):
            acdc(cut, wrong)


@pytest.mark.parametrize(
    "search", [prune_edges, acdc, lambda cut: edge_pruning(cut, steps=1), lambda cut: find_edges(cut.model, cut.prompts, metric=cut.metric)]
)
def test_a_metric_that_is_no_number_orders_nothing(tiny, search):
    broken = replace(logit_diff, of=lambda *told: logit_diff.of(*told) * float("nan"))
    with pytest.raises(NonFiniteError, match=r"logit difference .* is not finite on 4 of 4 prompts"):
        search(Cut(tiny("gpt2"), random_prompts(4, LENGTHS), metric=broken))


def test_scores_that_are_no_numbers_are_no_order(tiny):
    whole = Cut(tiny("gpt2"), random_prompts(4, LENGTHS)).graph
    scores = whole.real.double().numpy()
    scores[-1, 0] = np.nan
    with pytest.raises(NonFiniteError, match="gave some edges NaN"):
        FoundEdges(whole, tuple(flat(whole.real)), "mine", (), frozenset(), scores=scores)


def test_the_gap_of_single_prompts_counts_by_a_share(tiny):
    with pytest.raises(MechcheckError, match=r"per_prompt=2: a share"):
        prune_edges(Cut(tiny("gpt2"), random_prompts(4, LENGTHS)), per_prompt=2)


def test_masks_are_learned(tiny):
    """Learned masks of half the edges lie nearer to the model than random halves; and they repeat."""
    cut = Cut(tiny("gpt2"), random_prompts(4, LENGTHS), metric=kl_divergence)
    found = edge_pruning(cut, steps=60, sparsity=0.5, learning_rate=0.1)
    assert sorted(found.order) == sorted(flat(cut.graph.real))
    half = len(cut.graph) // 2
    edges = torch.tensor(sorted(flat(cut.graph.real)))
    random = []
    for seed in range(10):
        mask = torch.zeros(cut.graph.real.numel(), dtype=torch.bool)
        mask[edges[torch.randperm(len(edges), generator=torch.Generator().manual_seed(seed))[:half]]] = True
        random.append(mask.view_as(cut.graph.real))
    gaps = cut.values([found.mask(half), *random]).mean(1)
    assert gaps[0] < np.median(gaps[1:])
    assert edge_pruning(cut, steps=60, sparsity=0.5, learning_rate=0.1).order == found.order
    with pytest.raises(MechcheckError, match="sparsity between 0 and 1"):
        edge_pruning(cut, sparsity=1.0)


def test_information_flows_as_it_is_written(tiny):
    """The shares of one receiver by hand: by how much each part shortens the way to the sum that is read."""
    model, prompts = tiny("gpt2"), random_prompts(4, LENGTHS)
    found = information_flow(Cut(model, prompts))
    logits = [number for number in found.order if number // len(found.graph.senders) == len(found.graph.receivers) - 1]
    z = capture(model, prompts, heads("0.0-2 1.0-2"))
    parts = {0: capture(model, prompts, resid("0"))}
    own = [next(iter(parts[0].values()))]
    for layer in (0, 1):
        own += [z[site] @ model.blocks[layer].attn.W_O[site.index] for site in z if site.layer == layer]
        own += list(capture(model, prompts, mlps(str(layer))).values())
    last = next(iter(capture(model, prompts, resid_post("1")).values()))
    near = torch.stack([(last.abs().sum(-1) - (part - last).abs().sum(-1)).clamp(min=0) for part in own])
    share = near / near.sum(0)
    real = (torch.arange(share.shape[-1]) < prompts.lengths[:, None]).double()
    scores = ((share * real).sum(-1) / real.sum(-1)).mean(-1)
    np.testing.assert_allclose(found.scores[-1], scores, rtol=0, atol=1e-6)
    by_hand = sorted(range(len(own)), key=lambda column: -float(scores[column]))
    assert [number % len(found.graph.senders) for number in logits] == by_hand


def test_a_circuit_is_not_judged_by_what_it_was_found_on(tiny):
    prompts = random_prompts(4, LENGTHS)
    found = information_flow(Cut(tiny("gpt2"), prompts[[0, 1]]))
    check_unseen(found, prompts[[2, 3]])
    with pytest.raises(PromptError, match="1 of 2 prompts were seen"):
        check_unseen(found, prompts[[1, 2]])


def test_a_found_circuit_is_a_set_of_edges(tiny):
    model, prompts = tiny("neox"), random_prompts(4, LENGTHS)
    cut = Cut(model, prompts)
    found = information_flow(cut)
    rest = found.graph.edges - found.edges(20)
    np.testing.assert_allclose(run(model, prompts, Patch(rest)).values, cut.values([found.mask(20)])[0], rtol=0, atol=1e-8)
    with pytest.raises(MechcheckError, match="no circuit of 1000"):
        found.mask(1000)
