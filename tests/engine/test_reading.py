"""Metrics that read elsewhere than at END: against transformers' own logits, and the suffix runner against plain hooks."""

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tiny import HUGGING_FACE, LAYOUTS, SAME_FORWARD, random_prompts, with_other_padding

from mechcheck.base.errors import MechcheckError, PromptError
from mechcheck.engine import run as _run
from mechcheck.engine import swept as _swept
from mechcheck.engine.run import plain_hooks, run, sweep, sweep_metrics
from mechcheck.notation.interventions import Ablate, Patch
from mechcheck.notation.metrics import kl_divergence, logit_diff, loss, next_correct, probability
from mechcheck.notation.sites import heads, keys, mlps, resid, resid_post
from mechcheck.prompts.prompt_set import PromptSet
from mechcheck.prompts.spans import ALL

pytestmark = pytest.mark.filterwarnings("error::mechcheck.base.errors.SelfCheckWarning")
LENGTHS = (7, 7, 10, 10, 8, 8)
few = settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])


def with_span(prompts: PromptSet, seed: int = 0) -> PromptSet:
    """The same prompts with a span M of one to three positions in each."""
    rng = np.random.default_rng(seed)
    spans = [sorted(rng.choice(int(n) - 1, int(rng.integers(1, 4)), replace=False).tolist()) for n in prompts.lengths]
    rows = [row[:n].tolist() for row, n in zip(prompts.tokens, prompts.lengths, strict=True)]
    return PromptSet.from_tokens(
        rows, answers=prompts.answers, foils=prompts.foils, positions={**prompts.positions, "M": spans}, templates=prompts.templates,
        pad=0, counterfactual=prompts.counterfactual, reference=prompts.reference,
    )  # fmt: skip


def hf_logits(model, prompts, row):
    """All logits of one prompt, run alone without padding."""
    with torch.no_grad():
        return model(prompts.tokens[row : row + 1, : prompts.lengths[row]]).logits[0]


def by_hand(model, prompts, what, where):
    """One value per prompt, position by position, from transformers' logits."""
    found = []
    for row, length in enumerate(prompts.lengths.tolist()):
        logits, tokens = hf_logits(model, prompts, row), prompts.tokens[row]
        at = [p for p in range(length) if where == ALL or prompts.spans[where][row, p]]
        answer, foil = int(prompts.answers[row]), int(prompts.foils[row])
        values = []
        for p in at:
            logp = logits[p].log_softmax(-1)
            if what == "logit difference":
                values.append(float(logits[p, answer] - logits[p, foil]))
            elif what == "p(answer)":
                values.append(float(logp[answer].exp()))
            elif p + 1 < length:
                values.append(float(-logp[tokens[p + 1]]) if what == "loss" else float(logits[p].argmax() == tokens[p + 1]))
        found.append(np.mean(values))
    return np.array(found)


@pytest.mark.parametrize("where", [ALL, "M"])
def test_means_over_positions_are_those_of_transformers(tiny, hugging_face, layout, where):
    prompts = with_span(random_prompts(3, LENGTHS))
    for metric in (loss, next_correct, logit_diff, probability):
        got = run(tiny(layout, processing="raw"), prompts, metric=metric.over(where))
        right = by_hand(hugging_face(layout), prompts, metric.name.removesuffix(" over all positions"), where)
        np.testing.assert_allclose(got.values, right, rtol=0, atol=HUGGING_FACE[layout])
        assert (got.ids, got.templates) == (prompts.ids, prompts.templates)


def test_ablation_by_hand(tiny, hugging_face):
    """Loss over a span with a head set to zero, by a hook on GPT-2's own output projection."""
    prompts, model = with_span(random_prompts(4, LENGTHS)), hugging_face("gpt2")

    def cut(_, args):
        z = args[0].clone()
        z[..., 8:16] = 0
        return (z,)

    handle = model.transformer.h[0].attn.c_proj.register_forward_pre_hook(cut)
    try:
        right = by_hand(model, prompts, "loss", "M")
    finally:
        handle.remove()
    got = run(tiny("gpt2", processing="raw"), prompts, Ablate(heads("0.1"), "zero"), loss.over("M"))
    np.testing.assert_allclose(got.values, right, rtol=0, atol=1e-9)
    assert not np.allclose(right, by_hand(model, prompts, "loss", "M"))


@st.composite
def drawn(draw):
    """A layout, interventions, metrics and where they read."""
    layout = draw(st.sampled_from((*LAYOUTS, "bert")))
    sites = [heads("0.1"), heads("1.0@A"), keys("1.0@B"), resid("1@B"), resid_post("0@END"), heads("1.1@END"), resid(0)]
    sites += [] if layout == "bert" else [mlps("0"), mlps("1@A")]
    variants = [
        [draw(st.sampled_from([Ablate(site, "zero"), Patch(site), Ablate(site, "mean")]))]
        for site in draw(st.lists(st.sampled_from(sites), min_size=1, max_size=4))
    ]
    where = draw(st.lists(st.sampled_from([ALL, "M", "A", "B", "END"]), min_size=1, max_size=3))
    metrics = [draw(st.sampled_from([loss, logit_diff, kl_divergence, next_correct])) for _ in where]
    each = draw(st.booleans())
    chosen = [
        metric.each_of(place) if each else metric.over(place)
        for metric, place in zip(metrics, where, strict=True)
        if not (metric.needs_next and (place == "END" or layout == "bert"))
    ]
    return layout, [*variants, []], chosen or [logit_diff], draw(st.integers(0, 3))


@few
@given(drawn())
def test_the_suffix_runner_reads_what_plain_hooks_read(tiny, case):
    layout, variants, metrics, seed = case
    model, prompts = tiny(layout), with_span(random_prompts(seed, LENGTHS), seed)
    fast = sweep_metrics(model, prompts, variants, metrics)
    with plain_hooks():
        plain = sweep_metrics(model, prompts, variants, metrics)
    for metric, a, b in zip(metrics, fast, plain, strict=True):
        assert a.shape == ((len(variants), *prompts.tokens.shape) if metric.each else (len(variants), len(prompts)))
        np.testing.assert_array_equal(np.isnan(a), np.isnan(b))
        np.testing.assert_allclose(a, b, rtol=0, atol=SAME_FORWARD[layout])
    padded = sweep_metrics(model, with_other_padding(prompts, 5), variants, metrics)
    for a, b in zip(fast, padded, strict=True):
        np.testing.assert_allclose(b[..., : a.shape[-1]], a, rtol=0, atol=SAME_FORWARD[layout])


def test_each_position_and_its_mean(tiny):
    prompts = with_span(random_prompts(5, LENGTHS))
    variants = [[Ablate(heads("0.1"), "zero")], []]
    each, mean = sweep_metrics(tiny("gpt2"), prompts, variants, [loss.each_of("M"), loss.over("M")])
    np.testing.assert_allclose(np.nanmean(each, axis=-1), mean, rtol=1e-12)
    np.testing.assert_array_equal(~np.isnan(each[0]), prompts.spans["M"].numpy())


def test_what_is_read_does_not_depend_on_what_else_is(tiny, layout):
    """END's value, alone and beside a metric of all positions; few variants at a time, few logits at a time."""
    model, prompts = tiny(layout), with_span(random_prompts(6, LENGTHS))
    variants = [Ablate(heads(head), "zero") for head in ("0.0", "0.1", "1.0", "1.1@A")]
    alone = sweep(model, prompts, variants)
    beside, over = sweep_metrics(model, prompts, variants, [logit_diff, loss])
    np.testing.assert_allclose(beside, alone, rtol=0, atol=SAME_FORWARD[layout])
    for module, name, value in ((_run, "STREAM_BYTES", 1), (_swept, "LOGIT_BYTES", 1), (_run, "LOGIT_BYTES", 1)):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(module, name, value)
            again, less = sweep_metrics(model, prompts, variants, [logit_diff, loss])
            np.testing.assert_allclose(less, over, rtol=0, atol=SAME_FORWARD[layout])
            np.testing.assert_allclose(again, alone, rtol=0, atol=SAME_FORWARD[layout])
            with plain_hooks():
                np.testing.assert_allclose(sweep(model, prompts, variants, loss), over, rtol=0, atol=SAME_FORWARD[layout])


def test_a_change_is_not_seen_before_it(tiny):
    """What stands before the steered position is that of the untouched run exactly."""
    model, prompts = tiny("gpt2"), random_prompts(7, LENGTHS)
    steered = Patch(resid("0@B"))
    changed, clean = sweep(model, prompts, [steered, []], logit_diff.each_of(ALL))
    before = np.arange(changed.shape[1]) < prompts.position("B").numpy()[:, None]
    np.testing.assert_array_equal(changed[before], clean[before])
    at = prompts.position("B").numpy()
    rows = np.arange(len(prompts))
    assert (changed[rows, at] != clean[rows, at]).any()


def test_errors(tiny):
    model, prompts = tiny("gpt2"), random_prompts(8, LENGTHS)
    with pytest.raises(PromptError, match="no position 'X'"):
        run(model, prompts, metric=loss.over("X"))
    with pytest.raises(PromptError, match=r"'loss' cannot be read over END in prompt 0: no token follows"):
        run(model, prompts, metric=loss.over("END"))
    with pytest.raises(MechcheckError, match="has a value for each position: use sweep"):
        run(model, prompts, metric=loss.each_of(ALL))
    with pytest.raises(PromptError, match="no token follows END in prompt 0"):
        _ = prompts.next_tokens
    for metric in (loss, next_correct.over("A")):
        with pytest.raises(MechcheckError, match="is of the token that follows, which a model that reads both ways has seen"):
            sweep(tiny("bert"), prompts, [[]], metric)
    one = PromptSet.from_tokens([[1]], answers=[3], foils=[4])
    with pytest.raises(PromptError, match="no token follows what is read there"):
        run(model, one, metric=loss)


def test_the_loss_needs_no_answers(tiny, layout):
    """Of prompts that ask nothing it is what it is of those that do; what reads answers says that there are none."""
    model, asked = tiny(layout), random_prompts(9, LENGTHS)
    rows = [row[:n].tolist() for row, n in zip(asked.tokens, asked.lengths, strict=True)]
    plain, variants = PromptSet.from_tokens(rows, pad=0), [[Ablate(heads("0.1"), "zero")], []]
    np.testing.assert_array_equal(sweep(model, plain, variants, loss), sweep(model, asked, variants, loss))
    with plain_hooks():
        np.testing.assert_array_equal(sweep(model, plain, variants, loss), sweep(model, asked, variants, loss))
    with pytest.raises(PromptError, match="these prompts have no answers"):
        run(model, plain, metric=logit_diff.over(ALL))
