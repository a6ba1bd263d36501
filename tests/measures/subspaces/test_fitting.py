"""Subspaces found by means and by probes: by hand, by TransformerLens, and what they say of the prompts they were found on."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from planted_direction import CLASS, DECIDES, word_pairs, write_planted
from tiny import random_prompts

from mechcheck.base.errors import MechcheckError, PromptError, SiteError
from mechcheck.engine.run import capture
from mechcheck.measures.subspaces.fitting import difference_of_means, mixture, probe
from mechcheck.measures.subspaces.interchange import interchange
from mechcheck.measures.subspaces.overlap import overlap
from mechcheck.models.loading import load_model
from mechcheck.notation.codes import RandomSubspace, direction, subspace
from mechcheck.notation.sites import heads, mlp_hidden, patterns, resid
from mechcheck.prompts.prompt_set import PromptSet

END = resid("0@END")


@pytest.fixture(scope="module")
def planted(tmp_path_factory):
    return load_model(write_planted(tmp_path_factory.mktemp("planted")), dtype="float64")


def both(pairs):
    """Words of both classes as prompts, and their class."""
    tokens = torch.cat([pairs.tokens, pairs.counterfactual.tokens])
    templates = [f"after {word}" for word in tokens[:, 0].tolist()]
    return PromptSet.from_tokens(tokens, templates=templates), CLASS[tokens[:, 1]] > 0


@pytest.mark.parametrize("site", [resid("1@B"), heads("0.1@END"), mlp_hidden("0@A")], ids=str)
def test_means_are_those_by_hand(tiny, layout, site):
    from transformer_lens.tools.analysis.interchange import mean_difference_basis

    model, prompts = tiny(layout), random_prompts(1, (6, 8, 5, 6, 7, 8))
    labels = ["b", "a", "c", "a", "b", "c"]
    found = difference_of_means(model, prompts, site, labels)
    (x,) = capture(model, prompts, site).values()
    means = torch.stack([x[[1, 3]].mean(0), x[[0, 4]].mean(0), x[[2, 5]].mean(0)])
    right = subspace(means[1:] - means[0])
    torch.testing.assert_close(found.subspace.basis, right.basis, rtol=0, atol=1e-9)
    assert overlap(found.subspace, subspace(mean_difference_basis(x, labels).T)) == pytest.approx(1, abs=1e-4)
    assert (found.n, found.prompts_sha256, found.how) == (6, prompts.sha256, "difference of means")


def test_of_two_classes_it_points_to_the_last(tiny):
    model, prompts = tiny("gpt2"), random_prompts(1, (6, 8, 5, 6))
    found = difference_of_means(model, prompts, resid("1@B"), torch.tensor([True, False, False, True]))
    (x,) = capture(model, prompts, resid("1@B")).values()
    gap = x[[0, 3]].mean(0) - x[[1, 2]].mean(0)
    torch.testing.assert_close(found.subspace.basis[0], gap / gap.norm(), rtol=0, atol=1e-12)


def test_against_the_counterfactual_it_points_to_the_prompts(tiny):
    model, prompts = tiny("gpt2"), random_prompts(1, (6, 8, 5, 6))
    found = difference_of_means(model, prompts, resid("1@B"))
    mine, theirs = (capture(model, some, resid("1@B"))[next(iter(resid("1@B")))] for some in (prompts, prompts.counterfactual))
    gap = mine.mean(0) - theirs.mean(0)
    torch.testing.assert_close(found.subspace.basis[0], gap / gap.norm(), rtol=0, atol=1e-12)
    other = difference_of_means(model, prompts, resid("1@B"), source=prompts.reference)
    assert overlap(found.subspace, other.subspace) < 0.99


def test_means_find_what_was_planted_and_arbitrary_labels_do_not(planted):
    prompts, labels = both(word_pairs(200, 0))
    found = difference_of_means(planted, prompts, END, labels)
    assert overlap(found.subspace, direction(DECIDES)) > 0.97
    assert found.in_sample > 0.95
    shuffled = [found.again(planted, seed) for seed in range(6)]
    assert np.mean([overlap(one.subspace, direction(DECIDES)) for one in shuffled]) < 0.9
    assert max(one.in_sample for one in shuffled) < 0.7
    torch.testing.assert_close(found.again(planted, None).subspace.basis, found.subspace.basis)


@pytest.mark.parametrize("by_template", [False, True])
def test_a_probe_reads_what_was_planted_on_prompts_it_has_not_seen(planted, by_template):
    prompts, labels = both(word_pairs(150, 1))
    found = probe(planted, prompts, END, labels, by_template=by_template)
    assert found.held_out == 1.0
    assert found.held_out_majority == pytest.approx(0.5, abs=0.1)
    assert overlap(found.subspace, direction(DECIDES)) > 0.9
    assert float(found.subspace.basis[0] @ DECIDES.double()) > 0  # towards True
    arbitrary = found.again(planted, 2)
    assert arbitrary.held_out < 0.7 < found.held_out
    assert arbitrary.in_sample > arbitrary.held_out - 0.1


def test_a_probe_does_not_read_rounding(planted, monkeypatch):
    """A component that varies by rounding alone, and so tells the classes apart, is not made large."""
    prompts, labels = both(word_pairs(60, 1))
    from mechcheck.measures.subspaces import fitting

    real = fitting.capture

    def with_rounding(*given):
        ((site, x),) = real(*given).items()
        return {site: torch.cat([x[:, :-1], 1e-9 * labels[:, None]], dim=1)}

    monkeypatch.setattr(fitting, "capture", with_rounding)
    assert abs(float(fitting.probe(planted, prompts, END, labels).subspace.basis[0, -1])) < 1e-3


def test_prompts_of_the_fit_are_refused_and_others_are_not(planted):
    learnt, others = word_pairs(40, 0, range(0, 20)), word_pairs(40, 1, range(20, 38))
    found = difference_of_means(planted, learnt, END)
    with pytest.raises(PromptError, match="was fitted on 40 of these prompts"):
        interchange(planted, learnt, found.sites)
    with pytest.raises(PromptError, match="was fitted on"):
        interchange(planted, learnt.counterfactual, found.sites, source=learnt)
    measured = interchange(planted, others, found.sites)
    assert measured.accuracy.mean == 1.0


def test_random_likes_of_a_found_subspace_vary_as_activations_do():
    """Of a difference between activations a uniform direction holds 1 / d, a mixture of them tr(C^2) / tr(C)^2: here 16 times as much."""
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(4000, 64, generator=generator, dtype=torch.float64) * torch.tensor([4.0] * 4 + [0.1] * 60)
    rows = mixture(x, 1)
    uniform, among = [
        np.mean([float((x @ RandomSubspace(1, 64, seed, "r", some).basis.T).square().sum() / x.square().sum()) for seed in range(300)])
        for some in (None, rows)
    ]
    covariance = torch.cov(x.T)
    expected = float(covariance.square().sum() / covariance.trace() ** 2)
    assert uniform == pytest.approx(1 / 64, rel=0.2)
    assert among == pytest.approx(expected, rel=0.15)
    assert among > 10 * uniform
    assert mixture(x[:, :4] @ torch.eye(64, dtype=torch.float64)[:4], 4) is None


def test_a_found_subspace_draws_its_likes_among_activations(planted):
    prompts, labels = both(word_pairs(100, 0))
    found = difference_of_means(planted, prompts, END, labels).subspace
    drawn = [found.drawn(seed) for seed in (1, 1, 2)]
    assert drawn[0] == drawn[1]
    assert drawn[0] != drawn[2]
    assert replace(found, among=None).drawn(1) != drawn[0]


@pytest.mark.parametrize("fit", [difference_of_means, probe])
@pytest.mark.parametrize(
    ("site", "labels", "error", "why"),
    [
        (END, [1] * 6, PromptError, "all prompts are of one class"),
        (END, [1, 2], PromptError, "2 labels for 6 prompts"),
        (END, torch.eye(6), PromptError, "one plain value"),
        (resid("0"), [1, 2] * 3, SiteError, "one site and one named position"),
        (resid("0-1@END"), [1, 2] * 3, SiteError, "one site and one named position"),
        (END.within(direction(DECIDES)), [1, 2] * 3, SiteError, "within a subspace already"),
        (resid("4@END"), [1, 2] * 3, SiteError, "no layer 4"),
        (patterns("0.0@END"), [1, 2] * 3, SiteError, "no subspace is fitted"),
    ],
)
def test_bad_input_is_refused(planted, fit, site, labels, error, why):
    with pytest.raises(error, match=why):
        fit(planted, word_pairs(6, 0), site, labels)


def test_what_a_probe_cannot_do_is_said(planted):
    prompts, _ = both(word_pairs(4, 0))
    with pytest.raises(PromptError, match="tells two classes apart, and there are 4"):
        probe(planted, prompts, END, [1, 2, 3, 4] * 2)
    with pytest.raises(PromptError, match="no probe can be fitted"):
        probe(planted, prompts, END, [1] + [2] * 7)
    with pytest.raises(PromptError, match="not both"):
        difference_of_means(planted, prompts, END, [1, 2] * 4, source=prompts)
    with pytest.raises(PromptError, match="Give labels"):
        difference_of_means(planted, prompts, END)
    with pytest.raises(MechcheckError, match="the same mean"):
        difference_of_means(planted, prompts, END, source=prompts)


def test_classes_of_different_kinds_go_by_their_text(planted):
    prompts, labels = both(word_pairs(20, 0))
    named = ["yes" if one else 0 for one in labels.tolist()]
    torch.testing.assert_close(
        difference_of_means(planted, prompts, END, named).subspace.basis, difference_of_means(planted, prompts, END, labels).subspace.basis
    )
