"""The logit lens against the final norm and unembedding of the Hugging Face model, and against the model's own output."""

import numpy as np
import plain
import pytest
import torch
from tiny import HUGGING_FACE, SAME_FORWARD, VOCABULARY, random_prompts, with_other_padding

from mechcheck.base.errors import MechcheckError, PromptError
from mechcheck.engine.run import run
from mechcheck.measures.stream.lens import LensReading, logit_lens, logit_lens_map
from mechcheck.notation.interventions import Ablate, Patch
from mechcheck.notation.metrics import foil_probability, logit_diff, probability, rank
from mechcheck.notation.sites import Site, heads, resid

LENGTHS = (7, 9, 12, 9)
READINGS = {"p_answer": probability, "p_foil": foil_probability, "logit_diff": logit_diff, "rank": rank}


@pytest.mark.parametrize("processing", ["raw", "folded"])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_the_last_state_is_the_models_own_output(tiny, layout, dtype, processing):
    model, prompts = tiny(layout, dtype=dtype, processing=processing), random_prompts(8, LENGTHS)
    reading = logit_lens(model, prompts)
    for what, metric in READINGS.items():
        assert getattr(reading, what).shape == (3, len(prompts))
        own = run(model, prompts, metric=metric).values
        np.testing.assert_allclose(getattr(reading, what)[-1], own, rtol=0, atol=1e-4 if dtype == "float32" else SAME_FORWARD[layout])


@pytest.mark.parametrize("at", ["END", "A"])
def test_each_state_is_read_through_norm_and_unembedding(tiny, hugging_face, layout, at):
    prompts, model = random_prompts(8, LENGTHS), hugging_face(layout)
    base, rows = model.base_model, torch.arange(len(prompts))
    norm = next(getattr(base, name) for name in ("ln_f", "final_layer_norm", "norm") if hasattr(base, name))
    reading = logit_lens(tiny(layout, processing="raw"), prompts, at=at)
    for state, site in enumerate([Site("resid_pre", 0), Site("resid_pre", 1), Site("resid_post", 1)]):
        stream = plain.activation(model, prompts, site)[rows, prompts.positions[at]]
        with torch.no_grad():
            logits = model.get_output_embeddings()(norm(stream))
            own = model(prompts.tokens).logits[rows, prompts.positions[at]]
        p, answers, foils = logits.softmax(-1), prompts.answers, prompts.foils
        expected = {
            "p_answer": p[rows, answers],
            "p_foil": p[rows, foils],
            "logit_diff": logits[rows, answers] - logits[rows, foils],
            "rank": (logits > logits[rows, answers, None]).sum(-1),
            "kl": (own.softmax(-1) * (own.softmax(-1) / p).log()).sum(-1),
        }
        for what, values in expected.items():
            np.testing.assert_allclose(getattr(reading, what)[state], values, rtol=0, atol=HUGGING_FACE[layout])


def test_interventions_act_in_the_same_pass(tiny, layout):
    model, prompts = tiny(layout), random_prompts(8, LENGTHS)
    base, other = logit_lens(model, prompts), logit_lens(model, prompts.counterfactual)
    patched = logit_lens(model, prompts, interventions=Patch(resid("1@END")))
    np.testing.assert_allclose(patched.logit_diff[0], base.logit_diff[0], rtol=0, atol=SAME_FORWARD[layout])
    np.testing.assert_allclose(patched.logit_diff[1], other.logit_diff[1], rtol=0, atol=SAME_FORWARD[layout])
    ablated = Ablate(heads("1.0"))
    read, ran = logit_lens(model, prompts, interventions=ablated).logit_diff[2], run(model, prompts, ablated).values
    np.testing.assert_allclose(read, ran, rtol=0, atol=SAME_FORWARD[layout])


def test_at_layer_is_a_measurement(tiny):
    prompts = random_prompts(8, LENGTHS)
    reading = logit_lens(tiny("gpt2"), prompts)
    measured = reading.at_layer(1, "p_answer")
    np.testing.assert_array_equal(measured.values, reading.p_answer[1])
    assert (measured.ids, measured.name, measured.unit) == (prompts.ids, "p(answer) at layer 1", "probability")


def test_padding_changes_nothing(tiny, layout):
    model, prompts = tiny(layout), random_prompts(8, LENGTHS)
    found = [logit_lens(model, some).p_answer for some in (prompts, with_other_padding(prompts, 9))]
    np.testing.assert_allclose(*found, rtol=0, atol=SAME_FORWARD[layout])


def test_a_position_that_is_missing_is_an_error(tiny):
    with pytest.raises(PromptError, match="no position 'S2'"):
        logit_lens(tiny("gpt2"), random_prompts(8, LENGTHS), at="S2")


def reading(**fields) -> LensReading:
    """A reading of two prompts, of which only some fields matter."""
    shape = np.shape(next(iter(fields.values())))
    whole = {what: np.asarray(fields.get(what, np.ones(shape))) for what in ("p_answer", "p_foil", "logit_diff", "rank", "kl")}
    return LensReading(**whole, ids=tuple("abcd"[: shape[1]]), templates=("t",) * shape[1])


def test_resolution_is_the_state_from_which_the_answer_stays_ahead():
    """Ahead from the start; ahead, lost and regained; only at the end; ahead and lost for good."""
    ranks = [[0, 0, 3, 0], [0, 2, 1, 0], [0, 0, 0, 1]]
    assert reading(rank=ranks).resolution().values.tolist() == [0, 2, 2, 3]
    measured = reading(logit_diff=[[1.0, -1.0], [-1.0, 0.0], [2.0, 3.0]]).resolution("logit_diff")
    assert measured.values.tolist() == [2, 2]
    assert measured.unit == "layer"


def test_resolution_keeps_what_is_not_finite():
    assert np.isnan(reading(rank=[[0.0, 1.0], [np.nan, 0.0]]).resolution().values).tolist() == [True, False]
    with pytest.raises(MechcheckError, match="unknown criterion 'p_answer'"):
        reading(rank=[[0.0]]).resolution("p_answer")


def test_a_map_over_every_position(tiny, hugging_face, layout):
    prompts, model = random_prompts(8, LENGTHS), hugging_face(layout)
    found = logit_lens_map(tiny(layout, processing="raw"), prompts, top=2)
    assert found.p_answer.shape == (3, 12, 4)
    assert found.top.shape == (3, 12, 4, 2)
    with torch.no_grad():
        p = model(prompts.tokens).logits.softmax(-1)
    for row, length in enumerate(LENGTHS):
        expected = p[row, :length, prompts.answers[row]]
        np.testing.assert_allclose(found.p_answer[-1, :length, row], expected, rtol=0, atol=HUGGING_FACE[layout])
        chances, tokens = p[row, :length].topk(2)
        np.testing.assert_array_equal(found.top[-1, :length, row], tokens)
        np.testing.assert_allclose(found.top_p[-1, :length, row], chances, rtol=0, atol=HUGGING_FACE[layout])
        assert np.isnan(found.p_answer[:, length:, row]).all()
        assert np.isnan(found.kl[:, length:, row]).all()
        assert (found.top[:, length:, row] == -1).all()
    np.testing.assert_allclose(found.kl[-1, :7], 0, rtol=0, atol=1e-12)


def test_a_map_at_named_positions_is_made_of_readings(tiny):
    model, prompts = tiny("neox"), random_prompts(8, LENGTHS)
    found, alone = logit_lens_map(model, prompts, ["A", "END"], Ablate(heads("0.1"))), logit_lens(model, prompts, "A", Ablate(heads("0.1")))
    assert found.positions == ("A", "END")
    for what in ("p_answer", "p_foil", "logit_diff", "rank", "kl"):
        np.testing.assert_array_equal(getattr(found.at("A"), what), getattr(alone, what))
    with pytest.raises(MechcheckError, match="no position 'B' was read; there are A, END"):
        found.at("B")
    with pytest.raises(MechcheckError, match="positions is empty"):
        logit_lens_map(model, prompts, [])


def test_foremost_tokens_as_text(tiny):
    model, prompts = tiny("gpt2"), random_prompts(8, LENGTHS)
    found = logit_lens_map(model, prompts, top=3)
    cells = found.foremost(0)
    assert [len(cell) for cell in cells[2]] == [3] * 7 + [0] * 5
    token, chance = cells[1][4][0]
    assert token == VOCABULARY[found.top[1, 4, 0, 0]]
    assert chance == found.top_p[1, 4, 0, 0]
