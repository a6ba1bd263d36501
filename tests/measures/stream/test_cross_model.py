"""From model to model: a model and itself, or its renumbered twin, must agree exactly; the rest is compared with numpy."""

import itertools

import numpy as np
import pytest
import torch
from other_vocabulary import renumbered, save_renumbered
from tiny import LAYOUTS, SAME_FORWARD, VOCABULARY, random_prompts, save_tokenizer

from mechcheck.base.errors import MechcheckError, PromptError
from mechcheck.engine.run import run
from mechcheck.measures.stream.alignment import LinearMap, activations
from mechcheck.measures.stream.cross_model import between_heads, functional_patch, shared_vocabulary, translate, vocabulary_map
from mechcheck.measures.stream.lens import readout
from mechcheck.models.loading import load_model
from mechcheck.notation.interventions import Ablate, Patch
from mechcheck.notation.metrics import probability
from mechcheck.notation.sites import heads, resid, resid_post
from mechcheck.tasks.ioi import ioi_prompts

LENGTHS = (7, 9, 12, 9)
FOLDED = 1e-6  # TransformerLens centres the unembedding in float32, over the vocabulary in its order


@pytest.fixture(scope="module")
def twin(model_dirs, tmp_path_factory):
    """The tiny GPT-2 with another vocabulary."""
    directory = tmp_path_factory.mktemp("twin")
    save_renumbered(model_dirs["gpt2"], directory)
    return load_model(directory, dtype="float64")


@pytest.fixture(scope="module")
def prompts():
    return random_prompts(3, LENGTHS)


def identity(width: int) -> LinearMap:
    zero = torch.zeros(width, dtype=torch.float64)
    return LinearMap(torch.eye(width, dtype=torch.float64), zero, zero)


def test_the_twin_computes_the_same(tiny, twin, prompts):
    own, other = run(tiny("gpt2"), prompts, metric=probability), run(twin, renumbered(prompts), metric=probability)
    np.testing.assert_allclose(own.values, other.values, rtol=0, atol=1e-9)


def test_heads_of_the_twin_patch_as_ones_own(tiny, twin, layout):
    """Several heads side by side, in the order of the sites; on other layouts a model patches itself."""
    prompts = random_prompts(3, LENGTHS)
    model, sites = tiny(layout), heads("1.1 0.2", at="END")
    source, read = (twin, renumbered(prompts.counterfactual)) if layout == "gpt2" else (model, prompts.counterfactual)
    patch = functional_patch(source, read, sites, identity(2 * model.cfg.d_head), sites)
    expected = run(model, prompts, Patch(sites))
    np.testing.assert_allclose(run(model, prompts, patch).values, expected.values, rtol=0, atol=SAME_FORWARD[layout])
    assert np.abs(expected.values - run(model, prompts).values).max() > 1e-3


def test_a_map_without_weights_is_mean_ablation(tiny, prompts):
    model, sites = tiny("neox"), heads("0.1@END")
    z = activations(model, prompts, sites)
    mean = LinearMap(torch.zeros(8, 8, dtype=torch.float64), z.mean(0), z.mean(0))
    found = run(model, prompts, functional_patch(model, prompts, sites, mean, sites))
    expected = run(model, prompts, Ablate(sites, "mean", prompts))
    np.testing.assert_allclose(found.values, expected.values, rtol=0, atol=1e-9)


def test_between_heads_of_one_model_is_the_identity(tiny, layout):
    """W_O of these heads has full rank, so what is written can be read back."""
    model, prompts = tiny(layout), random_prompts(3, LENGTHS)
    sites, other = heads("0.1 0.2", at="END"), heads("1.0@END")
    across = between_heads(identity(model.cfg.d_model), model, prompts, sites, model, prompts, sites)
    z = activations(model, prompts, sites)
    torch.testing.assert_close(across(z), z, rtol=0, atol=1e-8)
    into = between_heads(identity(model.cfg.d_model), model, prompts, sites, model, prompts, other)
    writes = np.concatenate([model.W_O[0, h].numpy() for h in (1, 2)])
    expected = np.linalg.lstsq(model.W_O[1, 0].numpy().T, writes.T, rcond=None)[0].T
    np.testing.assert_allclose(into.weight, expected, rtol=0, atol=1e-8)
    torch.testing.assert_close(into(z.mean(0)), activations(model, prompts, other).mean(0), rtol=0, atol=1e-8)


def test_the_shared_vocabulary_goes_by_text(tiny, twin):
    found = shared_vocabulary(tiny("gpt2"), twin)
    assert set(found.words) == set(VOCABULARY[3:]) - {"z"}
    for word, here, there in zip(found.words, found.ids_from.tolist(), found.ids_to.tolist(), strict=True):
        assert VOCABULARY[here] == word
        assert twin.tokenizer.decode([there]) == word
    assert found.ids_from.tolist() != found.ids_to.tolist()


def test_what_is_not_shared_is_refused(tiny, twin):
    prompts = random_prompts(3, LENGTHS)
    lacking = type(prompts).from_tokens([[1, 5, 6]], answers=[VOCABULARY.index("z")], foils=[5], decode=dict(enumerate(VOCABULARY)))
    with pytest.raises(MechcheckError, match="'z' is no token of both"):
        shared_vocabulary(tiny("gpt2"), twin, lacking)
    shared_vocabulary(twin, tiny("gpt2"), renumbered(prompts))


def test_vocabularies_with_nothing_in_common(tiny, model_dirs, tmp_path):
    from transformers import AutoModelForCausalLM

    AutoModelForCausalLM.from_pretrained(model_dirs["gpt2"]).save_pretrained(tmp_path)
    save_tokenizer(tmp_path, [*VOCABULARY[:3], *(f"{word}-other" for word in VOCABULARY[3:])])
    with pytest.raises(MechcheckError, match="have 0 tokens in common"):
        shared_vocabulary(tiny("gpt2"), load_model(tmp_path))


def test_the_twins_stream_is_read_as_its_own(tiny, twin, prompts):
    """Two tokenizers, one function: the translation is exact, over the words that both have."""
    model, shared = tiny("gpt2"), shared_vocabulary(twin, tiny("gpt2"), renumbered(prompts))
    found = translate(twin, model, (renumbered(prompts), prompts), resid_post("1@END"), identity(24), shared)
    np.testing.assert_allclose(found.translated, found.source, rtol=0, atol=FOLDED)
    np.testing.assert_allclose(found.target, found.source, rtol=0, atol=FOLDED)
    assert found.agreement("source").values.tolist() == [1.0] * 4
    np.testing.assert_allclose(found.kl("target").values, 0, rtol=0, atol=1e-9)
    with torch.no_grad():
        logits = model(prompts.tokens)[torch.arange(4), prompts.positions["END"]]
    expected = logits[:, shared.ids_to].log_softmax(-1)
    np.testing.assert_allclose(found.target, expected, rtol=0, atol=1e-9)


def test_an_earlier_stream_is_compared_with_the_outputs_at_its_position(tiny, prompts):
    model = tiny("neox")
    shared = shared_vocabulary(model, model)
    found = translate(model, model, (prompts, prompts), resid("1@A"), identity(32), shared)
    with torch.no_grad():
        own = model(prompts.tokens)[torch.arange(4), prompts.positions["A"]][:, shared.ids_from].log_softmax(-1)
    np.testing.assert_allclose(found.source, own, rtol=0, atol=1e-9)
    kl = (own.exp() * (own - found.translated)).sum(-1)
    np.testing.assert_allclose(found.kl().values, kl, rtol=0, atol=1e-9)
    assert (kl > 1e-3).all()
    agreed = (found.translated.argmax(-1) == own.argmax(-1)).double()
    np.testing.assert_array_equal(found.agreement().values, agreed)
    assert found.agreement().ids == prompts.ids


def test_a_map_through_the_vocabulary_alone(tiny, twin, prompts):
    """Between the twins what the shared words can tell comes through: more words than dimensions, so all of it."""
    model, shared = tiny("gpt2"), shared_vocabulary(twin, tiny("gpt2"))
    across = vocabulary_map(twin, model, shared)
    found = translate(twin, model, (renumbered(prompts), prompts), resid_post("1@END"), across, shared)
    assert found.agreement().values.tolist() == [1.0] * 4
    centred = twin.W_U[:, shared.ids_from] - twin.W_U[:, shared.ids_from].mean(-1, keepdim=True)
    into = model.W_U[:, shared.ids_to] - model.W_U[:, shared.ids_to].mean(-1, keepdim=True)
    into = into - into.mean(0)  # LayerNorm takes the mean out, so the unembedding has nothing to say of it
    weight = np.linalg.lstsq(into.numpy().T, centred.numpy().T, rcond=None)[0].T
    np.testing.assert_allclose(across.weight, weight - weight.mean(0), rtol=0, atol=1e-8)


@pytest.mark.parametrize("pair", list(itertools.permutations(LAYOUTS, 2)), ids="-".join)
def test_a_map_between_different_models(tiny, pair):
    """What the mapped stream's logits are is the source's, as far as the target can write them: their orthogonal projection."""
    source, target = map(tiny, pair)
    shared = shared_vocabulary(source, target)
    across = vocabulary_map(source, target, shared)
    out, into = (unembedding(model, ids) for model, ids in ((source, shared.ids_from), (target, shared.ids_to)))
    stream = np.random.default_rng(0).normal(size=(50, source.cfg.d_model))
    if pair[0] != "llama":
        stream -= stream.mean(-1, keepdims=True)
    frame = np.linalg.svd(into, full_matrices=False)[2][: across_rank(target)]
    wanted = stream @ out
    np.testing.assert_allclose(across(torch.tensor(stream)).numpy() @ into, wanted @ frame.T @ frame, rtol=0, atol=1e-6)
    assert across.weight.abs().max() < 10
    assert 1 <= across.condition < 1e3


def unembedding(model, ids):
    """Of some tokens, as the final norm sees it, without what is the same for all."""
    chosen = model.W_U[:, ids].double().numpy()
    chosen = chosen - chosen.mean(-1, keepdims=True)
    return chosen if model.ln_final.uses_rms_norm else chosen - chosen.mean(0)


def across_rank(model):
    """How many directions of the stream the final norm lets through."""
    return model.cfg.d_model - (0 if model.ln_final.uses_rms_norm else 1)


@pytest.mark.parametrize("pair", list(itertools.permutations(["names-gpt2-seed4", "names-neox-seed2"])), ids="-".join)
def test_a_map_between_trained_models_does_not_hang_on_the_last_digits(pair):
    """float32's rounding of the unembedding, drawn anew, leaves the map and what it predicts as they were."""
    source, target = map(load_model, pair)
    prompts = ioi_prompts(source, n=24, seed=1)
    shared = shared_vocabulary(source, target, prompts)
    across = vocabulary_map(source, target, shared)
    assert across.weight.abs().max() < 2
    assert across.condition < 1e3
    x = activations(source, prompts, resid_post(f"{source.cfg.n_layers - 1}@END"))
    before = translated(target, across, x, shared)
    kept, generator = target.unembed.weight.data.clone(), torch.Generator().manual_seed(0)
    try:
        noise = torch.randn(kept.shape, generator=generator) * torch.finfo(torch.float32).eps
        target.unembed.weight.data.mul_(1 + noise).add_(kept.abs().max() * noise[:, :1])
        again = vocabulary_map(source, target, shared)
        torch.testing.assert_close(again.weight, across.weight, rtol=0, atol=1e-4)
        torch.testing.assert_close(translated(target, again, x, shared), before, rtol=0, atol=1e-3)
    finally:
        target.unembed.weight.data.copy_(kept)


def translated(target, across, x, shared):
    return readout(target, across(x).to(target.W_U.dtype))[:, shared.ids_to].double().log_softmax(-1)


def test_errors(tiny, twin, prompts):
    model = tiny("gpt2")
    shared = shared_vocabulary(twin, model)
    with pytest.raises(MechcheckError, match='processing="folded"'):
        vocabulary_map(twin, tiny("gpt2", processing="raw"), shared)
    with pytest.raises(PromptError, match="not the same prompts"):
        translate(twin, model, (renumbered(prompts)[:2], prompts), resid_post("1@END"), identity(24), shared)
    found = translate(twin, model, (renumbered(prompts), prompts), resid_post("1@END"), identity(24), shared)
    with pytest.raises(MechcheckError, match="unknown side 'own'"):
        found.kl("own")
