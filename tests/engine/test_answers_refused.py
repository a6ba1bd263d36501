"""What cannot be measured of answers of several tokens says so, and what can instead."""

import numpy as np
import pytest
from test_answers import asking
from tiny import random_prompts

from mechcheck.base.errors import MechcheckError, PromptError
from mechcheck.engine.run import capture, run, sweep
from mechcheck.measures.stream.attribution import direct_logit_attribution
from mechcheck.measures.stream.lens import logit_lens
from mechcheck.notation.interventions import Ablate, Patch, Put
from mechcheck.notation.metrics import answer_log_odds, log_odds, log_probability, logit_diff, probability, rank
from mechcheck.notation.sites import heads
from mechcheck.prompts.prompt_set import PromptSet

LENGTHS = (7, 7, 10, 10, 8, 8)


@pytest.fixture
def several():
    """Some answers of two tokens, some of one, some of several."""
    return asking(random_prompts(10, LENGTHS), [(5, 6), 7, 8, 9, [(10,), (11,)], 12], [3] * 6)


def test_measures_of_one_token(tiny, several):
    model = tiny("gpt2")
    said = r"answers of these prompts are not one token each \('5\|6' in prompt 0: it is several tokens\).* measure log_odds"
    for metric in (logit_diff, lambda logits, prompts: logits[:, prompts.asked("answers")[0]]):
        with pytest.raises(PromptError, match=said):
            run(model, several, metric=metric)
    with pytest.raises(PromptError, match=said):
        direct_logit_attribution(model, several)
    with pytest.raises(PromptError, match=f"{said}|of answers or foils of several tokens is no matter of one position's logits"):
        logit_lens(model, several)
    with pytest.raises(PromptError, match=r"not one token each \('10 or 11' in prompt 4: several are right"):
        asking(several, [5, 7, 8, 9, [(10,), (11,)], 12]).asked("answers")
    with pytest.raises(PromptError, match="'rank of the answer' is of one token, and some answers of these prompts are several"):
        run(model, several, metric=rank)


def test_other_errors(tiny, several):
    model, prompts = tiny("gpt2"), random_prompts(10, LENGTHS)
    for metric in (log_odds.over("A"), probability.each_of("ALL")):
        with pytest.raises(PromptError, match="answers of several tokens follow the prompt, so they cannot be read over"):
            sweep(model, several, [[]], metric)
    with pytest.raises(PromptError, match="these prompts have no foils"):
        run(model, asking(prompts, [(5, 6)] * 6), metric=log_odds)
    with pytest.raises(MechcheckError, match=r"Put at .* has activations for the prompts' own positions, and none for the answers' tokens"):
        run(model, several, Put(capture(model, several, heads("0.1"))), log_odds)
    with pytest.raises(PromptError, match="the reference has 4 prompts for 6, and needs one for each, to be followed by the same answer"):
        run(model, several, Ablate(heads("0.1"), "mean", prompts.reference[:4]), log_odds)
    with pytest.raises(PromptError, match="the answer of prompt 0 has more than others of 'template 0'"):
        run(model, several, Ablate(heads("0.1"), "mean"), log_odds)
    assert np.isfinite(run(model, several, Ablate(heads("0.1@END"), "mean", prompts.reference[:4]), log_odds).values).all()
    with pytest.raises(PromptError, match="4 source prompts for 6 prompts"):
        run(model, several, Patch(heads("0.1@END"), prompts.counterfactual[:4]), log_odds)
    early = PromptSet.from_tokens([[1, 5, 6, 7]], answers=[(5, 6)], foils=[4], positions={"END": [2]})
    with pytest.raises(PromptError, match="END is position 2 of prompt 0, whose last token is 3, so that an answer of several tokens"):
        run(model, early, metric=log_odds)
    with pytest.raises(PromptError, match="this model predicts masked words, a token for each mask"):
        run(tiny("bert"), several, metric=log_odds)
    with pytest.raises(PromptError, match="the answer of prompt 0 is token 99, and this model predicts tokens"):
        run(model, asking(prompts, [(5, 99)] * 6), metric=log_probability)
    with pytest.raises(MechcheckError, match='unknown over=\'all\'; choose "any", "mean" or "per token"'):
        answer_log_odds("all")
