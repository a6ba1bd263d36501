"""Prompts that a model cannot read are refused by whoever runs them, with the prompt, the id and the limit."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from tiny import MORE_LAYOUTS, VOCABULARY, random_prompts

from mechcheck.base.errors import MechcheckError, ModelError, PromptError
from mechcheck.engine.run import capture, plain_hooks, run, sweep
from mechcheck.notation.distribution_metrics import entropy
from mechcheck.notation.interventions import Ablate, Patch
from mechcheck.notation.metrics import correct, foil_probability, kl_divergence, log_probability, logit_diff, probability, rank
from mechcheck.notation.sites import heads
from mechcheck.prompts.prompt_set import PromptSet

SIZE, CONTEXT = len(VOCABULARY), 32
EVERY = ("gpt2", "neox", "llama", *MORE_LAYOUTS)
FINE = {"tokens": [[1, 5, 6], [1, 6, 7]], "answers": [3, 4], "foils": [5, 6]}
WRONG = {
    "token": ({"tokens": [[1, 5, 6], [1, SIZE, 7]]}, f"prompt 1 .* token {SIZE} at position 1, and this model has tokens 0-{SIZE - 1}"),
    "answer": ({"answers": [3, SIZE]}, f"answer of prompt 1 is token {SIZE}, and this model predicts tokens 0-{SIZE - 1}"),
    "foil": ({"foils": [9999, 3]}, "foil of prompt 0 is token 9999"),
    "long": ({"tokens": [[1, 2], [1] + [5] * CONTEXT], "pad": 0}, f"prompt 1 .* has {CONTEXT + 1} tokens, and this model sees {CONTEXT}"),
    "pad": ({"tokens": [[1, 5], [1, 6, 7]], "pad": 50_000}, "pad id 50000 .* give another pad="),
}
WAYS = {
    "run": lambda model, prompts: run(model, prompts),
    "ablation": lambda model, prompts: run(model, prompts, Ablate(heads("1.1"), "zero")),
    "plain": lambda model, prompts: plainly(model, prompts),
    "capture": lambda model, prompts: capture(model, prompts, heads("0.0")),
    "source": lambda model, prompts: run(model, PromptSet.from_tokens(**FINE), Patch(heads("0.0@END"), prompts)),
}


def plainly(model, prompts):
    with plain_hooks():
        return sweep(model, prompts, [[]])


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("wrong", WRONG)
@pytest.mark.parametrize("layout", EVERY)
def test_what_does_not_fit_is_refused(tiny, layout, wrong, way):
    given, said = WRONG[wrong]
    prompts = PromptSet.from_tokens(**FINE | given)
    for _ in range(2):  # what was refused once is refused again
        with pytest.raises(PromptError, match=said):
            WAYS[way](tiny(layout), prompts)


@pytest.mark.parametrize("way", WAYS)
def test_the_last_id_and_the_longest_prompt_fit(tiny, layout, way):
    rows = [[1, SIZE - 1] + [5] * (CONTEXT - 2), [1, 6] + [7] * (CONTEXT - 2)]
    WAYS[way](tiny(layout), PromptSet.from_tokens(rows, answers=[SIZE - 1, 0], foils=[0, SIZE - 1]))


def test_text_is_refused_at_the_door(tiny):
    with pytest.raises(PromptError, match=f"prompt 1 .* {CONTEXT + 8} tokens"):
        PromptSet.from_text(tiny("gpt2"), ["Mary went", "Mary " * (CONTEXT + 7)], answers=["a"] * 2, foils=["the"] * 2, pad=True)


def test_a_tokenizers_pad_id_outside_the_embedding_does_no_harm(own_model):
    texts = {"texts": ["Mary went", "Mary went to the store"], "answers": ["a"] * 2, "foils": ["the"] * 2, "pad": True}
    right = run(own_model, PromptSet.from_text(own_model, **texts)).values
    own_model.tokenizer.add_special_tokens({"pad_token": "<another>"})
    assert own_model.tokenizer.pad_token_id == SIZE
    np.testing.assert_array_equal(run(own_model, PromptSet.from_text(own_model, **texts)).values, right)


@pytest.mark.parametrize("metric", [logit_diff, probability, foil_probability, log_probability, rank, correct], ids=lambda m: m.name)
@pytest.mark.parametrize("layout", ["gpt2", "bert"])
def test_prompts_that_ask_nothing(tiny, layout, metric):
    """What reads an answer says that there is none; what reads the distribution, or looks inside, needs none."""
    model, asked = tiny(layout), random_prompts(3, (7, 9, 9))
    prompts = PromptSet.from_tokens([row[:n].tolist() for row, n in zip(asked.tokens, asked.lengths, strict=True)], pad=0)
    what = "foils" if metric is foil_probability else "answers"
    for variants in ([[]], [[Ablate(heads("0.1"), "zero")]]):
        with pytest.raises(PromptError, match=f"no {what}, which this reads"):
            sweep(model, prompts, variants, metric)
        for fine in (entropy, kl_divergence):
            np.testing.assert_allclose(sweep(model, prompts, variants, fine), sweep(model, asked, variants, fine), rtol=0, atol=1e-12)
    both = [capture(model, one, heads("1.1")) for one in (prompts, asked)]
    assert all(torch.equal(found, both[1][site]) for site, found in both[0].items())


def test_an_answer_without_a_foil(tiny):
    asked = random_prompts(3, (7, 7))
    prompts = replace(asked, foils=asked.foils[:0])
    np.testing.assert_array_equal(run(tiny("gpt2"), prompts, (), probability).values, run(tiny("gpt2"), asked, (), probability).values)
    with pytest.raises(PromptError, match="no foils"):
        run(tiny("gpt2"), prompts)


def test_a_metric_may_give_any_array(tiny):
    model, prompts = tiny("gpt2"), random_prompts(3, (7, 7))
    right = run(model, prompts, (), lambda logits, _: logits[:, 3]).values
    for kind in (lambda x: x.numpy(), lambda x: x.tolist(), lambda x: [float(one) for one in x], lambda x: x.float()):
        np.testing.assert_allclose(run(model, prompts, (), lambda logits, _, kind=kind: kind(logits[:, 3])).values, right, rtol=1e-6)
    for wrong in (lambda logits, _: "x", lambda logits, _: None, lambda logits, _: {"a": 1}):
        with pytest.raises(MechcheckError, match="expected one number for each prompt"):
            run(model, prompts, (), wrong)
    with pytest.raises(MechcheckError, match="gave shape"):
        run(model, prompts, (), lambda logits, _: logits.numpy())
    with pytest.raises(MechcheckError, match="expected a metric"):
        run(model, prompts, (), "logit_diff")


def test_what_is_no_loaded_model(hugging_face):
    prompts = PromptSet.from_tokens(**FINE)
    for call in (lambda m: run(m, prompts), lambda m: capture(m, prompts, heads("0.0")), lambda m: PromptSet.from_text(m, ["a"])):
        with pytest.raises(ModelError, match=r"load_model\('gpt2'\)"):
            call("gpt2")
        with pytest.raises(ModelError, match=r"GPT2LMHeadModel.*keep_model"):
            call(hugging_face("gpt2"))
        with pytest.raises(ModelError, match="got NoneType"):
            call(None)
