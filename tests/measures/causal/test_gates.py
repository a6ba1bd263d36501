"""Gates: by plain hooks, by numbers made up for the purpose, and on models that were built as one."""

import numpy as np
import pytest
from made_gates import A, B, made
from tiny import random_prompts

from mechcheck.base.errors import MechcheckError, PromptError, SiteError
from mechcheck.compiled import known_circuit
from mechcheck.engine.run import plain_hooks, run
from mechcheck.measures.causal import gates as _gates
from mechcheck.measures.causal.gates import gate
from mechcheck.models.loading import load_model
from mechcheck.notation.interventions import Patch
from mechcheck.notation.metrics import log_probability
from mechcheck.notation.sites import heads
from mechcheck.tasks.shipped import task_prompts

LENGTHS = (7, 7, 9, 9, 12, 12, 8, 8)


def test_six_effects_by_plain_hooks(tiny):
    model, clean, corrupted = tiny("gpt2"), random_prompts(6, LENGTHS), random_prompts(7, LENGTHS)
    found = gate(model, clean, A, B, corrupted=corrupted, metric=log_probability)
    # The corrupted run is asked for the clean one's answers.
    asked = _gates.replace(corrupted, answers=clean.answers, foils=clean.foils)
    with plain_hooks():
        before, after = (run(model, prompts, metric=log_probability).values for prompts in (clean, asked))
        for side, sites in zip(("a", "b", "both"), (A, B, A | B), strict=True):
            noised = before - run(model, clean, Patch(sites, corrupted), log_probability).values
            denoised = run(model, asked, Patch(sites, clean), log_probability).values - after
            for measured, expected in ((getattr(found.noised, side), noised), (getattr(found.denoised, side), denoised)):
                np.testing.assert_allclose(measured.values, expected, atol=1e-4)
                assert np.abs(expected).max() > 1e-3
                assert (measured.ids, measured.templates, measured.unit) == (clean.ids, clean.templates, log_probability.unit)
    np.testing.assert_allclose(found.way.values, before - after, atol=1e-4)


@pytest.mark.parametrize(
    ("noised", "denoised", "kind"),
    [
        ((10, 10, 10), (0, 0, 10), "and"), ((0, 0, 10), (10, 10, 10), "or"), ((10, 10, 10), (10, 10, 10), "chain"),
        ((4, 6, 10), (4, 6, 10), "additive"), ((0, 0, 0), (0, 0, 0), "other"), ((0, 0, 10), (0, 0, 10), "other"),
        ((10, 0, 10), (0, 10, 10), "additive"), ((4, 6, 10), (0, 0, 10), "other"),
    ],
)  # fmt: skip
def test_kinds(noised, denoised, kind):
    assert made(noised, denoised).kind() == kind
    assert made(noised, denoised, clean=-10.0, corrupted=-20.0).kind() == kind, "the way is what counts"


def test_kinds_that_intervals_do_not_tell():
    sharp, wide = (made((0, 0, 10), (10, 10, 10), spread=spread) for spread in (1.0, 60.0))
    assert (sharp.kind(), wide.kind()) == ("or", "inconclusive")
    at_margin = made((4, 4, 10), (10, 10, 10), spread=2.0)
    assert (at_margin.kind(margin=0.1), at_margin.kind(margin=0.2), at_margin.kind(margin=0.9)) == ("or", "inconclusive", "other")
    assert made((0, 0, 10), (10, 10, 10), clean=0.0).kind() == "inconclusive", "there is no way to go"


def test_what_it_is_called():
    found = made((0, 0, 10), (10, 10, 10))
    assert (found.noising.mean, found.denoising.mean, found.most.mean) == (1.0, -1.0, 1.0)
    assert found.noising.name == "interaction of 0.0 1.1 and 0.2@A by noising"
    assert (found.noising.unit, found.most.unit) == ("of the way", "share")


@pytest.mark.parametrize(
    ("name", "a", "b", "kind"),
    [
        ("compiled-redundant", "s_inhibition_one", "s_inhibition_two", "additive"),
        ("compiled-redundant", "duplicate_token", "name_mover", "chain"),
        ("compiled-negative", "name_mover", "negative_name_mover", "additive"),
        ("compiled-ioi", "duplicate_token", "s_inhibition", "chain"),
        ("compiled-ioi", "previous_token", "backup_name_mover", "other"),
    ],
)  # fmt: skip
def test_as_they_were_built(name, a, b, kind):
    """From the other person's repetition; claims/compiled has the OR and the AND, which take one in which nobody is repeated."""
    model, circuit = load_model(name), known_circuit(name)
    assert gate(model, task_prompts("ioi", model, n=48, seed=0), circuit[a], circuit[b]).kind() == kind


def test_what_is_refused(tiny):
    model, prompts = tiny("gpt2"), random_prompts(6, LENGTHS)
    with pytest.raises(SiteError, match=r"1\.1 is in both sets"):
        gate(model, prompts, A, heads("1.1"), corrupted=prompts)
    with pytest.raises(PromptError, match="a gate needs corrupted prompts"):
        gate(model, _gates.replace(prompts, counterfactual=None), A, B)
    with pytest.raises(PromptError, match="4 corrupted prompts for 8 clean ones"):
        gate(model, prompts, A, B, corrupted=prompts[:4])
    with pytest.raises(SiteError, match=r"a gate is of two sets of sites, .* got '1\.1'"):
        gate(model, prompts, "1.1", B, corrupted=prompts)
    for margin in (-0.1, 0.0, 1.0, float("nan")):
        with pytest.raises(MechcheckError, match="how far from 0 an interaction lies"):
            made((0, 0, 10), (10, 10, 10)).kind(margin=margin)
