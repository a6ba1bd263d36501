"""What the model says of a whole sentence that follows, and not of its first word alone. Thresholds of nought: which one is likelier.

At first only the whole sentence was asked about, and was expected to follow its first name on every model but the shortcut. It does not
on names-gpt2-seed1, and is undecided on names-neox-seed2. On discovery prompts that is due to the last word, so that the sentence up to
its verb stands beside it, and what the last word is read from has a claim of its own.
"""

import numpy as np
import pytest

from mechcheck import Bars, Measurement, Patch, PromptSet, claim, log_odds, resid, run, sweep

SHORTCUT = "names-gpt2-seed0"  # does the task without these heads
MODELS = [SHORTCUT, "names-gpt2-seed1", "names-gpt2-seed4", "names-gpt2-seed6", "names-neox-seed2"]  # in their stories somebody thanks
WHOLE, TO_THE_VERB = "Lucy . Lucy thanked Seth", "Lucy . Lucy thanked"


def asked(model, prompts, sentence):
    """The prompts with Lucy's sentence as their answer, in place of her name, and with Seth's as their foil."""
    ids = model.tokenizer.get_vocab()
    people = list(zip(prompts.answers.tolist(), prompts.foils.tolist(), strict=True))
    says = [[tuple({"Lucy": one, "Seth": other}.get(word, ids.get(word)) for word in sentence.split())
             for one, other in pairs] for pairs in (people, [pair[::-1] for pair in people])]  # fmt: skip
    return PromptSet.from_tokens(
        [row[:length] for row, length in zip(prompts.tokens.tolist(), prompts.lengths.tolist(), strict=True)],
        answers=says[0],
        foils=says[1],
        positions={name: places.tolist() for name, places in prompts.positions.items()},
        templates=prompts.templates,
        counterfactual=prompts.counterfactual,
        reference=prompts.reference,
        pad=0,
        decode={number: word for word, number in ids.items()},
    )


@claim(
    "The sentence in which the receiver thanks the giver is likelier, as a whole, than that in which the giver thanks the receiver",
    source="the claim is ours", task="ioi", kind="behaviour", models=MODELS,
)  # fmt: skip
def test_the_right_sentence_is_likelier(model, prompts, check):
    check.above(run(model, asked(model, prompts, WHOLE), metric=log_odds), 0)


@pytest.mark.parametrize("sentence", [TO_THE_VERB, WHOLE])
@claim(
    "With the S-inhibition heads' output at END of the counterfactual the giver's sentence is the likelier one",
    source="the claim is ours", task="ioi", kind="sufficiency", models=MODELS,
    expect={SHORTCUT: "refuted", ("names-gpt2-seed1", WHOLE): "refuted"}, positive_control={"sentence": TO_THE_VERB},
)  # fmt: skip
def test_the_other_sentence_is_likelier(model, prompts, circuit, check, sentence):
    """The patch is made at the prompt's END alone, before the sentence: what follows the first name is read from that name."""
    patch = Patch(circuit["s_inhibition"])
    check.below(run(model, asked(model, prompts, sentence), patch, log_odds), 0)


@pytest.mark.parametrize("patched", ["END"])
@claim(
    "Whom the sentence thanks is told by the story, whoever was named first: the last word is in favour of the sentence that is right",
    source="the claim is ours", task="ioi", kind="structure", models=MODELS, decoy={"patched": "the story"},
)  # fmt: skip
def test_the_last_word_is_the_storys(model, prompts, circuit, check, patched):
    """With the S-inhibition heads at END patched, as above; not with the words of the other story, where the other person gives."""
    patch = Patch(circuit["s_inhibition"] if patched == "END" else resid(0))
    verb, whole = (sweep(model, asked(model, prompts, sentence), [[], patch], log_odds) for sentence in (TO_THE_VERB, WHOLE))
    check.above(Measurement(whole[1] - verb[1], prompts.ids, prompts.templates, "log odds by the last word, patched", "nats"), 0)
    names = ["to the verb", "whole", "to the verb, patched", "whole, patched"]
    values = np.stack([verb.mean(1), whole.mean(1)], 1).ravel()
    check.figure(Bars("Log odds of the sentence that is right", names, values.tolist(), unit="nats"))
