"""The tuned lens against numpy's least squares, and against the logit lens on prompts that it was not fitted on."""

from dataclasses import replace

import numpy as np
import plain
import pytest
import torch
from tiny import HUGGING_FACE, random_prompts

from mechcheck.base.errors import MechcheckError
from mechcheck.engine.run import capture
from mechcheck.measures.stream import tuned_lens
from mechcheck.measures.stream.lens import logit_lens
from mechcheck.measures.stream.translator import TunedLens
from mechcheck.measures.stream.tuned_lens import fit_tuned_lens, load_tuned_lens
from mechcheck.models.loading import provenance
from mechcheck.notation.sites import Site, resid, resid_post

LENGTHS = (7, 9, 12, 9) * 10


def by_hand(model, prompts, ridge: float) -> list[tuple[np.ndarray, np.ndarray]]:
    """For each layer, what numpy adds to the Hugging Face model's stream: rows of real tokens, a penalty as further rows."""
    real = torch.arange(prompts.tokens.shape[1])[None] < prompts.lengths[:, None]
    *streams, last = (
        plain.activation(model, prompts, site)[real].numpy() for site in (Site("resid_pre", 0), Site("resid_pre", 1), Site("resid_post", 1))
    )
    found = []
    for stream in streams:
        centred, gap = stream - stream.mean(0), last - stream
        penalty = np.sqrt(ridge * len(stream) * np.square(centred).mean()) * np.eye(stream.shape[1])
        targets = np.concatenate([gap - gap.mean(0), np.zeros_like(penalty)])
        weight = np.linalg.lstsq(np.concatenate([centred, penalty]), targets, rcond=None)[0]
        found.append((weight, gap.mean(0) - stream.mean(0) @ weight))
    return found


@pytest.mark.parametrize("outputs", [None, -1])
def test_a_vocabulary_that_is_too_large_to_keep_gives_the_same_lens(tiny, monkeypatch, outputs):
    """-1 is what TransformerLens writes where nobody has said how many outputs there are."""
    model, prompts = tiny("gpt2"), random_prompts(3, LENGTHS)
    kept = fit_tuned_lens(model, prompts, steps=5, batch=16)
    if outputs is not None:
        monkeypatch.setattr(model.cfg, "d_vocab_out", outputs)
    monkeypatch.setattr(tuned_lens, "LOGIT_BYTES", 0)
    asked = []
    own = tuned_lens.readout
    monkeypatch.setattr(tuned_lens, "readout", lambda model, stream, **options: asked.append(len(stream)) or own(model, stream, **options))
    again = fit_tuned_lens(model, prompts, steps=5, batch=16)
    assert set(asked) == {16}  # never all rows at once
    torch.testing.assert_close(again.weight, kept.weight, rtol=0, atol=1e-12)
    torch.testing.assert_close(again.bias, kept.bias, rtol=0, atol=1e-12)


def test_without_steps_it_is_ridge_regression(tiny, hugging_face, layout):
    prompts = random_prompts(3, LENGTHS)
    lens = fit_tuned_lens(tiny(layout, processing="raw"), prompts, ridge=0.1, steps=0)
    for layer, (weight, bias) in enumerate(by_hand(hugging_face(layout), prompts, 0.1)):
        np.testing.assert_allclose(lens.weight[layer], weight, rtol=0, atol=1e2 * HUGGING_FACE[layout])
        np.testing.assert_allclose(lens.bias[layer], bias, rtol=0, atol=1e2 * HUGGING_FACE[layout])


def test_it_is_nearer_to_the_output_on_other_prompts(tiny, layout):
    model, held_out = tiny(layout), random_prompts(4, LENGTHS)
    fitted_on = random_prompts(3, LENGTHS)
    logit, ridge, tuned = (
        logit_lens(model, held_out, lens=lens).kl.mean(-1)
        for lens in (None, fit_tuned_lens(model, fitted_on, steps=0), fit_tuned_lens(model, fitted_on, steps=100))
    )
    assert (tuned[:2] < 0.8 * logit[:2]).all()
    assert (tuned[:2] < ridge[:2]).all()
    assert tuned[2] == logit[2]


def test_the_translator_is_applied_before_the_readout(tiny):
    """A lens that adds what the last stream has and this one lacks reads the model's own output at every layer."""
    model, prompts = tiny("gpt2"), random_prompts(3, (9,))
    *streams, last = (next(iter(capture(model, prompts, s).values()))[0] for s in (resid("0@END"), resid("1@END"), resid_post("1@END")))
    own = provenance(model)
    bias = torch.stack([last - stream for stream in streams])
    lens = TunedLens(torch.zeros(2, 24, 24, dtype=torch.float64), bias, own.weights_sha256, own.processing)
    np.testing.assert_allclose(logit_lens(model, prompts, lens=lens).kl, 0, rtol=0, atol=1e-9)
    assert (logit_lens(model, prompts, lens=replace(lens, bias=-bias)).kl[:2] > 1e-3).all()


def test_the_same_seed_gives_the_same_lens(tiny):
    model, prompts = tiny("gpt2"), random_prompts(3, LENGTHS)
    first, second, other = (fit_tuned_lens(model, prompts, steps=5, batch=16, seed=seed) for seed in (1, 1, 2))
    assert torch.equal(first.weight, second.weight)
    assert not torch.equal(first.weight, other.weight)
    assert not any(parameter.requires_grad for parameter in model.parameters())


def test_the_models_own_weights_get_no_gradients(own_model):
    """Not those of a model that is trained either, and the lens is the same."""
    prompts = random_prompts(3, LENGTHS)
    expected = fit_tuned_lens(own_model, prompts, steps=3)
    own_model.requires_grad_(True)
    assert torch.equal(fit_tuned_lens(own_model, prompts, steps=3).weight, expected.weight)
    assert all(parameter.requires_grad and parameter.grad is None for parameter in own_model.parameters())


def test_half_precision(tiny):
    """Steps in float16, in whose range gradients vanish, would end in what is no number."""
    prompts = random_prompts(3, LENGTHS)
    with pytest.raises(MechcheckError, match="small gradients vanish in the range of float16"):
        fit_tuned_lens(tiny("gpt2", "float16"), prompts)
    for dtype, steps in (("float16", 0), ("bfloat16", 3)):
        assert fit_tuned_lens(tiny("gpt2", dtype), prompts, steps=steps).weight.isfinite().all()


def test_saved_and_loaded(tiny, tmp_path):
    model, path = tiny("gpt2"), tmp_path / "lens.safetensors"
    lens = fit_tuned_lens(model, random_prompts(3, LENGTHS), steps=0)
    lens.save(path)
    found = load_tuned_lens(path, model)
    assert torch.equal(found.weight, lens.weight)
    assert torch.equal(found.bias, lens.bias)
    assert (found.weights_sha256, found.processing) == (lens.weights_sha256, "folded")


def test_a_lens_of_another_model_is_refused(tiny, tmp_path):
    path = tmp_path / "lens.safetensors"
    fit_tuned_lens(tiny("gpt2"), random_prompts(3, LENGTHS), steps=0).save(path)
    for model in (tiny("neox"), tiny("gpt2", processing="raw")):
        with pytest.raises(MechcheckError, match="fitted on other weights or processing"):
            load_tuned_lens(path, model)


def test_errors(tiny, tmp_path):
    path = tmp_path / "lens.safetensors"
    path.write_bytes(b"no tensors in here")
    with pytest.raises(MechcheckError, match=r"lens\.safetensors is no tuned lens"):
        load_tuned_lens(path, tiny("gpt2"))
    with pytest.raises(MechcheckError, match="ridge=0: the penalty must be positive"):
        fit_tuned_lens(tiny("gpt2"), random_prompts(3, LENGTHS), ridge=0)
