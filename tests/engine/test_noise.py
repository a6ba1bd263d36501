"""Noise, embeddings and the stream between attention and MLP as sites."""

import numpy as np
import pytest
import torch
from test_reading import with_span
from tiny import SAME_FORWARD, random_prompts, with_other_padding

from mechcheck.base.errors import MechcheckError, SiteError
from mechcheck.engine.run import capture, plain_hooks, run, sweep
from mechcheck.notation.interventions import Ablate, Noise, Patch, Put, Steer
from mechcheck.notation.metrics import loss
from mechcheck.notation.sites import embed, heads, pos_embed, resid, resid_mid

pytestmark = pytest.mark.filterwarnings("error::mechcheck.base.errors.SelfCheckWarning")
LENGTHS = (7, 7, 10, 10, 8, 8)


@pytest.mark.parametrize("at", [None, "A", "M"])
def test_noise_is_as_large_as_it_is_told_to_be(tiny, layout, at):
    model, prompts = tiny(layout), with_span(random_prompts(1, LENGTHS))
    sites = embed(at=at)
    ((before,), (after,)) = (capture(model, prompts, sites, done).values() for done in ([], Noise(sites, 3.0)))
    where = prompts.span("ALL" if at is None else at)
    if at != "A":
        unchanged = ~where & prompts.span("ALL")
        assert torch.equal(before[unchanged], after[unchanged])
        before, after = before[where], after[where]
    added = (after - before).double()
    assert float(added.std()) == pytest.approx(3 * float(before.double().std(correction=0)), rel=0.2)
    assert abs(float(added.mean())) < 4 * float(added.std()) / added.numel() ** 0.5


def test_a_prompts_noise_is_its_own(tiny):
    """It does not depend on what else is run, on padding or on order; only the scale does, which is of all that are run."""
    model, prompts = tiny("gpt2"), random_prompts(2, LENGTHS)
    ((before,), (after,)) = (capture(model, prompts, resid("1"), done).values() for done in ([], Noise(resid("1"), 1.0)))
    some = with_other_padding(prompts[[4, 1]], 5)
    ((b,), (a,)) = (capture(model, some, resid("1"), done).values() for done in ([], Noise(resid("1"), 1.0)))
    whole, part = (after - before)[[4, 1]], (a - b)[:, : after.shape[1]]
    ratio = float((whole[0] * part[0]).sum() / (part[0] ** 2).sum())
    for i, n in enumerate((8, 7)):
        torch.testing.assert_close(whole[i, :n], ratio * part[i, :n])
    other = capture(model, prompts, resid("1"), Noise(resid("1"), 1.0, seed=1))
    assert not torch.equal(next(iter(other.values())), after)


def test_noise_is_what_steering_by_it_is(tiny, layout):
    model, prompts = tiny(layout), random_prompts(3, LENGTHS)
    sites = resid("1@B")
    ((before,), (after,)) = (capture(model, prompts, sites, done).values() for done in ([], Noise(sites, 0.5)))
    noisy, steered = sweep(model, prompts, [Noise(sites, 0.5), Steer(after - before, sites)])
    np.testing.assert_allclose(noisy, steered, rtol=0, atol=1e-5)
    with plain_hooks():
        np.testing.assert_allclose(run(model, prompts, Noise(sites, 0.5)).values, noisy, rtol=0, atol=SAME_FORWARD[layout])


def test_no_noise_changes_nothing(tiny):
    model, prompts = tiny("gpt2"), random_prompts(3, LENGTHS)
    np.testing.assert_array_equal(run(model, prompts, Noise(resid("1@B"), 0.0)).values, run(model, prompts).values)


@pytest.mark.parametrize("layout", ["gpt2", "llama", "neox-sequential"])
def test_the_stream_between_attention_and_mlp(tiny, layout):
    model, prompts = tiny(layout), with_span(random_prompts(4, LENGTHS))
    variants = [
        [Ablate(resid_mid("0@A"), "zero")],
        [Patch(resid_mid("1@END"))],
        [Patch(resid_mid("0"))],
        [Ablate(resid_mid("1@M"), "zero")],
        [Patch(resid_mid("0@A")), Ablate(heads("0.1@B"), "zero")],
    ]
    fast = sweep(model, prompts, variants, loss)
    with plain_hooks():
        np.testing.assert_allclose(fast, sweep(model, prompts, variants, loss), rtol=0, atol=SAME_FORWARD[layout])
    (mid,) = capture(model, prompts, resid_mid("0@B")).values()
    with plain_hooks():
        (plain,) = capture(model, prompts, resid_mid("0@B")).values()
    torch.testing.assert_close(mid, plain, rtol=0, atol=1e-5)


def test_embeddings_by_hand(tiny, hugging_face):
    """GPT-2's token embedding at B replaced by zeros: the stream has the position's embedding alone there."""
    prompts, model = random_prompts(5, LENGTHS), hugging_face("gpt2")
    at = prompts.position("B")

    def cut(module, args, output):
        output = output.clone()
        output[torch.arange(len(prompts)), at] = 0
        return output

    handle = model.transformer.wte.register_forward_hook(cut)
    with torch.no_grad():
        logits = model(prompts.tokens).logits[torch.arange(len(prompts)), prompts.position("END")]
    handle.remove()
    rows = torch.arange(len(prompts))
    right = logits[rows, prompts.answers] - logits[rows, prompts.foils]
    raw = tiny("gpt2", processing="raw")
    np.testing.assert_allclose(run(raw, prompts, Ablate(embed(at="B"), "zero")).values, right, rtol=0, atol=1e-9)
    (positions,) = capture(raw, prompts, pos_embed(at="B")).values()
    np.testing.assert_allclose(run(raw, prompts, Put(dict.fromkeys(resid("0@B"), positions))).values, right, rtol=0, atol=1e-9)
    assert [str(embed(at="B")), str(embed()), str(pos_embed(at="S2"))] == ["embed @B", "embed", "pos_embed @S2"]


def test_errors(tiny):
    with pytest.raises(MechcheckError, match="Noise needs a scale of 0 or more, in standard deviations of the activations, got -1"):
        Noise(resid("1"), -1)
    prompts = random_prompts(5, LENGTHS)
    with pytest.raises(SiteError, match=r"no embed@A: in an encoder .* stands behind a norm"):
        run(tiny("bert"), prompts, Noise(embed(at="A")))
    with pytest.raises(SiteError, match="there is none between them"):
        run(tiny("neox"), prompts, Ablate(resid_mid("0"), "zero"))
    with pytest.raises(SiteError, match="adds none to the stream"):
        run(tiny("llama"), prompts, Ablate(pos_embed(), "zero"))
