"""Composition scores against dense products of the weights, and the baseline against whole random rotations."""

import numpy as np
import pytest
from scipy.stats import ortho_group

from mechcheck.base.errors import MechcheckError, SiteError
from mechcheck.measures.heads.composition import composition
from mechcheck.models.loading import load_model


def dense(model, mode: str, writer, reader) -> tuple[np.ndarray, np.ndarray]:
    """(writes, reads): W_V W_O of the writer, and what the reader's query, key or value reads with, [d_model, d_model] each."""
    group = model.cfg.n_heads // (model.cfg.n_key_value_heads or model.cfg.n_heads)

    def weights(name: str, layer: int, head: int) -> np.ndarray:
        stacked = getattr(model, f"W_{name}")[layer]
        shared = name in "KV" and len(stacked) < model.cfg.n_heads
        return stacked[head // group if shared else head].double().numpy()

    written = weights("V", *writer) @ weights("O", *writer)
    q, k, v, o = (weights(name, *reader) for name in "QKVO")
    return written, {"Q": q @ k.T, "K": k @ q.T, "V": v @ o}[mode]


@pytest.mark.parametrize("mode", ["Q", "K", "V"])
def test_scores_are_norms_of_products(tiny, layout, mode):
    model = tiny(layout)
    found = composition(model, mode, "0.0@END 0.2", "1.1 1.2", n=2)
    assert (found.writers, found.readers) == (((0, 0), (0, 2)), ((1, 1), (1, 2)))
    for i, writer in enumerate(found.writers):
        for j, reader in enumerate(found.readers):
            written, read = dense(model, mode, writer, reader)
            expected = np.linalg.norm(written @ read) / (np.linalg.norm(written) * np.linalg.norm(read))
            assert found.scores[i, j] == pytest.approx(expected, abs=1e-9)
            assert model.all_composition_scores(mode).scores[*writer, *reader].item() == pytest.approx(expected, abs=1e-6)


def test_the_baseline_is_that_of_a_rotated_reader(tiny, layout):
    """Explicit random rotations in the space that the folded weights live in: without its mean direction, unless the norm keeps it."""
    model = tiny(layout)
    d = model.cfg.d_model
    written, read = dense(model, "K", (0, 1), (1, 2))
    basis = np.eye(d) if layout == "llama" else np.linalg.svd(np.eye(d) - 1 / d)[0][:, : d - 1]
    written, read = basis.T @ written @ basis, basis.T @ read
    whole = np.linalg.norm(written) * np.linalg.norm(read)
    turned = ortho_group(basis.shape[1], seed=0).rvs(1000)
    expected = np.linalg.norm(written @ turned @ read, axis=(1, 2)) / whole
    found = composition(model, "K", "0.1", "1.2", n=4000).random[:, 0, 0]
    assert (expected**2).mean() == pytest.approx(1 / basis.shape[1], rel=0.02)
    assert (found**2).mean() == pytest.approx(1 / basis.shape[1], rel=0.01)
    assert found.std() == pytest.approx(expected.std(), rel=0.12)
    assert np.quantile(found, [0.05, 0.95]) == pytest.approx(np.quantile(expected, [0.05, 0.95]), rel=0.03)


def test_measurements_are_over_draws(tiny):
    found = composition(tiny("gpt2"), "Q", "0.0-2", "1.0", n=50, seed=3)
    assert found.random.shape == (50, 3, 1)
    assert found.excess.mean == pytest.approx((found.scores - found.random.mean(0)).mean())
    assert found.beats_random.mean == pytest.approx((found.random.mean((1, 2)) < found.scores.mean()).mean())
    assert found.excess.mean == pytest.approx(found.heatmap().values.mean())
    assert len(set(found.excess.ids)) == 50
    np.testing.assert_array_equal(found.random, composition(tiny("gpt2"), "Q", "0.0-2", "1.0", n=50, seed=3).random)
    assert (found.random != composition(tiny("gpt2"), "Q", "0.0-2", "1.0", n=50, seed=4).random).all()


def test_a_compiled_circuit_composes_as_it_was_built():
    """compiled-induction: 0.0 is read by 1.0 and its lookalike 1.1 as key, and as nothing else."""
    model = load_model("compiled-induction")
    key, query = (composition(model, mode, "0.0", "1.0-1", n=50) for mode in "KQ")
    assert key.beats_random.mean == 1
    np.testing.assert_allclose(query.scores, 0, rtol=0, atol=1e-6)
    assert query.beats_random.mean == 0


def test_a_head_that_writes_nothing_has_no_score():
    found = composition(load_model("compiled-induction"), "K", "0.1", "1.0", n=5)
    assert np.isnan(found.scores).all()
    assert np.isnan(found.beats_random.values).all()


@pytest.mark.filterwarnings("ignore:.*does not support fold_ln")
def test_errors(tiny):
    model = tiny("gpt2")
    with pytest.raises(MechcheckError, match=r"1\.0 does not stand in a layer before 1\.1"):
        composition(model, "K", "0.0 1.0", "1.1")
    with pytest.raises(MechcheckError, match='choose "Q", "K" or "V"'):
        composition(model, "O", "0.0", "1.0")
    with pytest.raises(MechcheckError, match="n=1"):
        composition(model, "K", "0.0", "1.0", n=1)
    with pytest.raises(SiteError, match="no heads are given"):
        composition(model, "K", "", "1.0")
    with pytest.raises(MechcheckError, match='need processing="folded"'):
        composition(tiny("gpt2", processing="raw"), "K", "0.0", "1.0")
    with pytest.raises(MechcheckError, match="norms cannot be folded"):
        composition(load_model("sentences-bert"), "K", "0.0", "1.0")
