"""Vocabulary circuits against dense products written out, and against what the heads do in a forward pass."""

import numpy as np
import pytest
import torch
from test_composition import dense

from mechcheck.base.errors import MechcheckError, PromptError, SiteError
from mechcheck.measures.heads import vocabulary_circuits
from mechcheck.measures.heads.vocabulary_circuits import copying_eigenvalue_scores, ov_circuit, qk_circuit
from mechcheck.models.loading import load_model
from mechcheck.notation.sites import heads

TOKENS = (5, 3, 17, 20, 9, 30, 11, 26, 14, 8)


def centred(matrix: np.ndarray) -> np.ndarray:
    return matrix - matrix.mean(1, keepdims=True)


def vocabulary_ends(model) -> tuple[np.ndarray, np.ndarray]:
    return model.W_E.double().numpy(), model.W_U.double().numpy()


def whole_ov(model, head, through=None) -> np.ndarray:
    embedding, unembedding = vocabulary_ends(model)
    carried = np.eye(embedding.shape[1]) if through is None else dense(model, "V", through, head)[0]
    return embedding @ carried @ dense(model, "V", (0, 0), head)[1] @ unembedding


def whole_qk(model, head, query_through=None, key_through=None) -> np.ndarray:
    embedding, _ = vocabulary_ends(model)
    queries, keys = (
        embedding if through is None else embedding @ dense(model, "V", through, head)[0] for through in (query_through, key_through)
    )
    return queries @ dense(model, "Q", (0, 0), head)[1] @ keys.T / model.cfg.d_head**0.5


@pytest.mark.parametrize("through", [None, (0, 2)])
def test_ov_is_the_product_of_its_weights(tiny, layout, through):
    model = tiny(layout)
    found = ov_circuit(model, "1.1@END", TOKENS, through=through)
    expected = centred(whole_ov(model, (1, 1), through)[np.ix_(TOKENS, TOKENS)])
    np.testing.assert_allclose(found.entries(), expected, rtol=0, atol=1e-9)
    np.testing.assert_allclose(found.entries([17, 5], [8, 3, 5]), expected[np.ix_([2, 0], [9, 1, 0])], rtol=0, atol=1e-9)
    best = np.argsort(-expected[4])
    assert [word for word, _ in found.top(9, 3)] == [model.tokenizer.decode([TOKENS[i]]) for i in best[:3]]
    assert [value for _, value in found.top(9, 3)] == pytest.approx(expected[4][best[:3]])
    assert found.name == ("OV of 1.1" if through is None else "OV of 1.1 (value behind 0.2)")


@pytest.mark.parametrize(("query", "key"), [(None, None), ((0, 1), None), (None, "0.2")])
def test_qk_is_the_product_of_its_weights(tiny, layout, query, key):
    model = tiny(layout)
    found = qk_circuit(model, heads("1.2"), TOKENS, query_through=query, key_through=key)
    expected = centred(whole_qk(model, (1, 2), query, (0, 2) if key else None)[np.ix_(TOKENS, TOKENS)])
    np.testing.assert_allclose(found.entries(), expected, rtol=0, atol=1e-9)
    assert np.ptp(expected) > 1e-3


def test_eigenvalues_and_scores_are_those_of_the_dense_matrix(tiny, layout):
    model = tiny(layout)
    found = ov_circuit(model, (1, 0), TOKENS)
    expected = centred(whole_ov(model, (1, 0))[np.ix_(TOKENS, TOKENS)])
    values = np.linalg.eigvals(expected)
    largest = values[np.argsort(-np.abs(values))][: model.cfg.d_head]
    np.testing.assert_allclose(np.sort(np.abs(found.eigenvalues)), np.sort(np.abs(largest)), rtol=0, atol=1e-8)
    score = values.real.sum() / np.abs(values).sum()
    assert found.own_token_score == pytest.approx(score, abs=1e-8)
    assert found.own_token.mean == pytest.approx(score, abs=1e-8)
    assert found.own_token.values == pytest.approx(np.diag(expected) * len(TOKENS) / np.abs(values).sum(), abs=1e-8)
    ranks = np.argsort(np.argsort(-expected, axis=1), axis=1).diagonal()
    for top in (1, 3):
        np.testing.assert_array_equal(found.own_token_among(top).values, ranks < top)
    assert found.own_token.ids == found.own_token_among().ids == tuple(f"token {t}" for t in TOKENS)


def test_all_heads_at_once_score_as_one_by_one(tiny, layout):
    model = tiny(layout)
    for tokens in (None, TOKENS):
        found = copying_eigenvalue_scores(model, tokens)
        expected = [[ov_circuit(model, (layer, head), tokens).own_token_score for head in range(model.cfg.n_heads)] for layer in range(2)]
        np.testing.assert_allclose(found, expected, rtol=0, atol=1e-8)


def test_rows_are_worked_through_in_pieces(tiny, monkeypatch):
    circuit = ov_circuit(tiny("gpt2"), (0, 0))
    whole = circuit.own_token_among(5).values
    monkeypatch.setattr(vocabulary_circuits, "_CHUNK", 3 * 8 * len(circuit.tokens))
    np.testing.assert_array_equal(circuit.own_token_among(5).values, whole)
    assert 0 < whole.sum() < len(whole)


def test_special_tokens_are_left_out_and_large_matrices_stay_factored(tiny):
    model = tiny("gpt2")
    circuit = qk_circuit(model, "0.0")
    assert circuit.tokens.tolist() == [t for t in range(model.cfg.d_vocab) if t not in model.tokenizer.all_special_ids]
    assert circuit.matrix.A.shape == (len(circuit.tokens), model.cfg.d_head)
    assert circuit.matrix.B.shape == (model.cfg.d_head, len(circuit.tokens))


def test_an_embedding_of_ones_own(tiny):
    model = tiny("gpt2")
    turned = torch.roll(model.W_E, 1, dims=0)
    found, plain = (ov_circuit(model, "1.0", TOKENS, embedding=what).entries() for what in (turned, None))
    shifted = ov_circuit(model, "1.0", range(3, 31)).entries([t - 1 for t in TOKENS if t > 3], [5, 9])
    assert np.abs(found - plain).max() > 1e-3
    rows = [i for i, t in enumerate(TOKENS) if t > 3]
    np.testing.assert_allclose(np.diff(found[rows][:, [0, 4]]), np.diff(shifted), rtol=0, atol=1e-9)


def test_compiled_circuits_are_as_they_were_built():
    """compiled-induction: 1.0 copies every token, and matches it with the one that 0.0 has carried on; its lookalike writes nothing."""
    model = load_model("compiled-induction")
    scores = copying_eigenvalue_scores(model)
    assert scores[1, 0] == pytest.approx(1, abs=1e-6)
    assert np.isnan(scores[[0, 0, 0, 1, 1], [0, 1, 2, 1, 2]][1:]).all()
    for head in ("1.0", "1.1"):
        matched = qk_circuit(model, head, key_through="0.0")
        assert matched.own_token_score == pytest.approx(1, abs=1e-6)
        assert matched.own_token_among(1).mean == 1
        assert np.isnan(qk_circuit(model, head).own_token_score)  # without the earlier head it matches nothing
    assert ov_circuit(model, "1.0").own_token_among(1).mean == 1
    assert np.isnan(ov_circuit(model, "1.1").own_token_among(1).values).all()


def test_the_figure_shows_the_chosen_tokens(tiny):
    model = tiny("gpt2")
    circuit = ov_circuit(model, "1.0")
    figure = circuit.heatmap([5, 9], [3, 4, 5])
    np.testing.assert_array_equal(figure.values, circuit.entries([5, 9], [3, 4, 5]))
    assert (list(figure.rows), list(figure.cols)) == (
        [model.tokenizer.decode([t]) for t in (5, 9)],
        [model.tokenizer.decode([t]) for t in (3, 4, 5)],
    )
    assert (figure.row_label, figure.col_label, figure.unit) == ("reads", "writes", "logits written")
    assert (qk_circuit(model, "1.0").heatmap([5, 9]).row_label, figure.title) == ("query", "OV of 1.0")


@pytest.mark.filterwarnings("ignore:.*does not support fold_ln")
def test_errors(tiny):
    model = tiny("gpt2")
    with pytest.raises(MechcheckError, match=r"head 1\.1 is not in a layer before 1"):
        ov_circuit(model, "1.0", through="1.1")
    with pytest.raises(SiteError, match="one head has one circuit, 2 were given"):
        qk_circuit(model, "1.0-1")
    with pytest.raises(SiteError, match="no layer 7"):
        qk_circuit(model, "7.0")
    with pytest.raises(PromptError, match="at least 2 different token ids from 0 to"):
        ov_circuit(model, "1.0", [4, 4])
    with pytest.raises(PromptError, match="at least 2 different token ids"):
        ov_circuit(model, "1.0", [4, 999])
    with pytest.raises(PromptError, match="token 7 is not in this circuit; it has 10 tokens"):
        ov_circuit(model, "1.0", TOKENS).entries([7])
    with pytest.raises(MechcheckError, match='need processing="folded"'):
        ov_circuit(tiny("gpt2", processing="raw"), "1.0")
    with pytest.raises(MechcheckError, match="norms cannot be folded"):
        qk_circuit(load_model("sentences-bert"), "1.0")
