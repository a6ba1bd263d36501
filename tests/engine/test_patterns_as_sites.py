"""Patterns as sites: knocked out, ablated, patched, frozen; against transformers' own attention with another mask."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from test_reading import with_span
from tiny import LAYOUTS, SAME_FORWARD, random_prompts
from torch.nn.functional import pad

from mechcheck.base.errors import MechcheckError, PromptError, SiteError
from mechcheck.engine.run import capture, plain_hooks, run, sweep
from mechcheck.notation.interventions import Ablate, KnockOut, Noise, Patch, Put, Scale, Steer
from mechcheck.notation.metrics import logit_diff, loss
from mechcheck.notation.sites import heads, patterns, values

pytestmark = pytest.mark.filterwarnings("error::mechcheck.base.errors.SelfCheckWarning")
LENGTHS = (7, 7, 10, 10, 8, 8)
ATTENTION = {
    "gpt2": lambda model, layer: model.transformer.h[layer].attn,
    "neox": lambda model, layer: model.gpt_neox.layers[layer].attention,
    "llama": lambda model, layer: model.model.layers[layer].self_attn,
    "bert": lambda model, layer: model.bert.encoder.layer[layer].attention.self,
}
few = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])


def encoder(model_dirs):
    from transformers import AutoModelForMaskedLM

    return AutoModelForMaskedLM.from_pretrained(model_dirs["bert"], dtype=torch.float64, attn_implementation="eager").eval()


@pytest.mark.parametrize("only", [False, True], ids=["out", "only"])
@pytest.mark.parametrize("layout", [*LAYOUTS, "bert"])
def test_knocking_out_is_a_mask(tiny, hugging_face, model_dirs, layout, only):
    """Each prompt alone through transformers, with minus infinity where head 1.1's query at END meets the keys of a span."""
    model = encoder(model_dirs) if layout == "bert" else hugging_face(layout)
    prompts = with_span(random_prompts(2, LENGTHS))
    cut = KnockOut(patterns("1.1@END"), "M", only=only)
    found = run(tiny(layout, processing="raw"), prompts, cut).values
    with plain_hooks():
        plain = run(tiny(layout, processing="raw"), prompts, cut).values
    right = []
    for row, n in enumerate(prompts.lengths.tolist()):
        keys = prompts.spans["M"][row, :n]

        def masked(module, args, kwargs, keys=keys, n=n):
            mask = torch.zeros(1, 4 if layout != "gpt2" else 3, n, n, dtype=torch.float64)
            if layout != "bert":
                mask = mask + torch.full((n, n), -torch.inf).triu(1)
            mask[0, 1, n - 1, ~keys if only else keys] = -torch.inf
            args = (args[0], mask, *args[2:]) if len(args) > 1 else args
            return args, kwargs | ({} if len(args) > 1 else {"attention_mask": mask})

        handle = ATTENTION[layout](model, 1).register_forward_pre_hook(masked, with_kwargs=True)
        try:
            with torch.no_grad():
                logits = model(prompts.tokens[row : row + 1, :n]).logits[0, -1]
        finally:
            handle.remove()
        right.append(float(logits[prompts.answers[row]] - logits[prompts.foils[row]]))
    tolerance = SAME_FORWARD[layout] if layout != "neox" else 1e-5
    np.testing.assert_allclose(plain, right, rtol=0, atol=tolerance)
    np.testing.assert_allclose(found, right, rtol=0, atol=tolerance)
    assert not np.allclose(right, run(tiny(layout, processing="raw"), prompts).values, rtol=0, atol=1e-3)


@st.composite
def drawn(draw):
    layout = draw(st.sampled_from((*LAYOUTS, "bert")))
    variants = []
    for _ in range(draw(st.integers(1, 4))):
        head = draw(st.sampled_from(["0.0", "0.1", "1.2", "1.0-2"]))
        sites = patterns(head, at=draw(st.sampled_from([None, "END", "A", "B", None])))
        aligned = patterns(head, at=draw(st.sampled_from([None, "END"])))
        made = draw(
            st.sampled_from(
                [KnockOut(sites, "A"), KnockOut(sites, "M"), KnockOut(sites, "B", only=True), Ablate(aligned, "mean"), Patch(aligned),
                 Ablate(sites, "zero"), Ablate(aligned, "resample"), Scale(sites, 0.5), Noise(sites, 1.0),
                 Steer(torch.linspace(-0.2, 0.3, max(LENGTHS)), sites, 1.0)]
            )
        )  # fmt: skip
        others = draw(st.sampled_from([[], [Ablate(heads("0.2"), "zero")], [Patch(values("1.0@A"))]]))
        variants.append([made, *others])
    everywhere = logit_diff.over("ALL") if layout == "bert" else loss
    return layout, variants, draw(st.sampled_from([logit_diff, everywhere, logit_diff.over("B")])), draw(st.integers(0, 5))


@few
@given(drawn())
def test_the_suffix_runner_equals_plain_hooks(tiny, case):
    layout, variants, metric, seed = case
    model, prompts = tiny(layout), with_span(random_prompts(seed, LENGTHS), seed)
    fast = sweep(model, prompts, variants, metric)
    with plain_hooks():
        np.testing.assert_allclose(fast, sweep(model, prompts, variants, metric), rtol=0, atol=SAME_FORWARD[layout])


def test_frozen_patterns_let_only_values_change(tiny, layout):
    """With every pattern as in its own run, a patched stream reaches END by values alone: nothing changes what is attended to."""
    model, prompts = tiny(layout), random_prompts(1, LENGTHS)
    every = patterns("1.0-2")
    free, held = ([Patch(heads("0.1"))], [Patch(heads("0.1")), Patch(every, prompts)])
    seen = capture(model, prompts, every, held)
    for site, was in capture(model, prompts, every).items():
        torch.testing.assert_close(seen[site], was, rtol=0, atol=1e-5)
    assert any(float((capture(model, prompts, every, free)[s] - seen[s]).abs().max()) > 1e-4 for s in every)
    both = sweep(model, prompts, [free, held])
    assert np.abs(both[0] - both[1]).max() > 1e-4


def test_a_captured_pattern_is_what_the_model_attends_with(tiny, layout):
    model, prompts = tiny(layout), random_prompts(4, LENGTHS)
    (found,) = capture(model, prompts, patterns("1.1@END")).values()
    assert found.shape == prompts.tokens.shape
    np.testing.assert_allclose(found.sum(1), 1.0, rtol=1e-6)
    np.testing.assert_allclose(
        run(model, prompts, Put(dict.fromkeys(patterns("1.1@END"), found))).values, run(model, prompts).values, atol=1e-5
    )


def test_what_is_added_at_keys_that_a_query_does_not_see_is_nothing(tiny, layout):
    """Later ones, and padding: the pattern is its own and what is added where a token is seen, and 0 elsewhere."""
    model, prompts = tiny(layout), random_prompts(4, LENGTHS)
    vector = torch.linspace(0.1, 0.3, max(LENGTHS))
    (own,) = capture(model, prompts, patterns("1.1")).values()
    (steered,) = capture(model, prompts, patterns("1.1"), [Steer(vector, patterns("1.1"), 1.0)]).values()
    for row, n in enumerate(prompts.lengths.tolist()):
        seen = torch.ones(n, n).tril() if model.cfg.attention_dir == "causal" else torch.ones(n, n)
        torch.testing.assert_close(steered[row, :n, :n], own[row, :n, :n] + seen.to(own) * vector[:n].to(own), rtol=0, atol=1e-6)
        assert not steered[row, :n, n:].any()


@pytest.mark.parametrize("at", [None, "END"])
def test_noise_does_not_depend_on_padding(tiny, layout, at):
    model, made = tiny(layout), Noise(patterns("1.1", at=at), 1.0)
    narrow = random_prompts(4, (7, 7, 8, 8))
    wide = replace(narrow, tokens=pad(narrow.tokens, (0, 3), value=int(narrow.tokens[0, -1])))
    assert (narrow.ids, narrow.tokens.shape[1] + 3) == (wide.ids, wide.tokens.shape[1])
    found = run(model, narrow, made).values
    assert np.abs(found - run(model, narrow).values).max() > 1e-3
    np.testing.assert_allclose(run(model, wide, made).values, found, rtol=0, atol=1e-5)
    with plain_hooks():
        np.testing.assert_allclose(run(model, wide, made).values, found, rtol=0, atol=1e-5)


def test_a_query_left_without_keys_attends_to_nothing(tiny, layout):
    model, prompts = tiny(layout), random_prompts(4, LENGTHS)
    none = [KnockOut(patterns("1.1@A"), "B", only=True)]  # B stands behind A
    zero = [Ablate(heads("1.1@A"), "zero")]
    np.testing.assert_allclose(*sweep(model, prompts, [none, zero], loss), rtol=0, atol=SAME_FORWARD[layout])
    with plain_hooks():
        np.testing.assert_allclose(*sweep(model, prompts, [none, zero], loss), rtol=0, atol=SAME_FORWARD[layout])


def test_errors(tiny, monkeypatch):
    model, prompts = tiny("gpt2"), random_prompts(4, LENGTHS)
    with pytest.raises(MechcheckError, match=r"KnockOut cuts attention, and head 1.1@END is none: write patterns\('1.1@END'\)"):
        KnockOut(heads("1.1@END"), "A")
    with pytest.raises(PromptError, match="no position 'X'"):
        run(model, prompts, KnockOut(patterns("1.1@END"), "X"))
    with pytest.raises(PromptError, match=r"have different lengths, so pattern 1\.1 cannot be aligned"):
        run(model, prompts, Patch(patterns("1.1"), random_prompts(4, LENGTHS[::-1])))
    for moved in (Patch(patterns("1.1@A"), random_prompts(9, LENGTHS)), Ablate(patterns("1.1@A"), "mean")):
        with pytest.raises(PromptError, match=r"pattern 1\.1@A stands at several positions, so patterns cannot be exchanged there"):
            run(model, prompts, moved)
    monkeypatch.setattr(torch, "einsum", lambda *_: torch.full((6, 10, 1, 8), 3.0, dtype=torch.float64))  # heads that write something else
    with plain_hooks(), pytest.raises(SiteError, match="what the heads of layer 1 write is not their pattern times their values"):
        run(model, prompts, KnockOut(patterns("1.1@END"), "A"))
