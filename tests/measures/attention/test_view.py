"""The attention figure holds the measured maps of the chosen prompt, without padding."""

import numpy as np
import pytest
from tiny import random_prompts

from mechcheck.base.errors import MechcheckError, PromptError
from mechcheck.measures.attention.patterns import attention
from mechcheck.measures.attention.value_weighted import value_weighted_attention
from mechcheck.measures.attention.view import attention_view, attention_views
from mechcheck.notation.interventions import Ablate
from mechcheck.notation.sites import mlps
from mechcheck.prompts.labels import token_labels

LENGTHS = (7, 9, 12, 9)


@pytest.mark.parametrize("through", ["v", "v_o"])
def test_it_shows_what_was_measured(tiny, through):
    model, prompts, what = tiny("llama"), random_prompts(1, LENGTHS), Ablate(mlps("0"))
    figure = attention_view(model, prompts, "1.2@END 0.1", 1, through=through, interventions=what, title="one prompt")
    assert (figure.title, figure.tokens, list(figure.patterns)) == ("one prompt", token_labels(prompts, 1), ["0.1", "1.2"])
    for i, name in enumerate(figure.patterns):
        for shown, measured in (
            (figure.patterns, attention(model, prompts, "0.1 1.2", what)),
            (figure.weighted, value_weighted_attention(model, prompts, "0.1 1.2", through, what)),
        ):
            np.testing.assert_allclose(shown[name], measured[1, i, :9, :9], rtol=0, atol=1e-5)
    assert figure.data()["kind"] == "attention"


def test_no_such_prompt(tiny):
    with pytest.raises(PromptError, match="no prompt 4"):
        attention_view(tiny("gpt2"), random_prompts(1, LENGTHS), "0.0", 4)


def test_several_prompts_are_each_as_by_itself(tiny):
    model, prompts = tiny("gpt2"), random_prompts(1, LENGTHS)
    figure = attention_views(model, prompts, "0.1 1.2", [2, 0, 9], through="v_o", title="two of them")
    assert (figure.title, list(figure.figures)) == ("two of them", ["prompt 2", "prompt 0"])
    for name, row in (("prompt 2", 2), ("prompt 0", 0)):
        alone, shown = attention_view(model, prompts, "0.1 1.2", row, through="v_o"), figure.figures[name]
        assert shown.tokens == alone.tokens
        for head in ("0.1", "1.2"):
            np.testing.assert_array_equal(shown.patterns[head], alone.patterns[head])
            np.testing.assert_array_equal(shown.weighted[head], alone.weighted[head])
    with pytest.raises(MechcheckError, match="at least one"):
        attention_views(model, prompts, "0.1", [9])
