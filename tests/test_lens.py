"""The logit lens against the final norm and unembedding of the Hugging Face model, and against the model's own output."""

import numpy as np
import plain
import pytest
import torch
from tiny import HUGGING_FACE, SAME_FORWARD, random_prompts, with_other_padding

from mechcheck._engine import run
from mechcheck._errors import PromptError
from mechcheck._interventions import Ablate, Patch
from mechcheck._lens import logit_lens
from mechcheck._metrics import foil_probability, logit_diff, probability, rank
from mechcheck._sites import Site, heads, resid

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
        p, answers, foils = logits.softmax(-1), prompts.answers, prompts.foils
        expected = {
            "p_answer": p[rows, answers],
            "p_foil": p[rows, foils],
            "logit_diff": logits[rows, answers] - logits[rows, foils],
            "rank": (logits > logits[rows, answers, None]).sum(-1),
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
