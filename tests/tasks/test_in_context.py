"""Prompts that show a relation by examples, against their text: the pairs, the shuffled counterfactual, what is left out."""

from collections import Counter
from types import SimpleNamespace

import pytest
from code_tokenizer import code_tokenizer

from mechcheck.base.errors import PromptError
from mechcheck.tasks.in_context import RELATIONS, STYLES, in_context_prompts
from mechcheck.tasks.shipped import task_prompts

WORDS = [word for pairs in RELATIONS.values() for pair in pairs for word in pair]
FRAMES = ("Q", "A", "Input", "Output")


def reads(**options) -> SimpleNamespace:
    """What a model is for prompts: its tokenizer."""
    made = code_tokenizer([*FRAMES, *WORDS], **options)
    return SimpleNamespace(tokenizer=made, cfg=SimpleNamespace(d_vocab=len(made), n_ctx=128))


@pytest.fixture(scope="module")
def model() -> SimpleNamespace:
    return reads()


def shown(model, prompts, row: int) -> list[str]:
    """The words of the pairs, in their order."""
    text = model.tokenizer.decode(prompts.tokens[row, 1 : prompts.lengths[row]])
    return [word for word in text.replace("->", " ").replace(":", " ").split() if word not in FRAMES]


def test_pairs_are_told_apart():
    for pairs in RELATIONS.values():
        assert len({asked for asked, _ in pairs}) == len(pairs)


def test_prompts_are_what_they_say(model):
    prompts = in_context_prompts(model, n=36, seed=0)
    assert len(set(prompts.templates)) == len(RELATIONS) * len(STYLES)
    for row in range(36):
        pairs = dict(RELATIONS[prompts.templates[row].partition(":")[0]])
        words, moved, other = (shown(model, some, row) for some in (prompts, prompts.counterfactual, prompts.reference))
        asked, answers = words[:-1:2], words[1::2]
        assert (len(asked), len(answers)) == (10, 10)
        assert [pairs[one] for one in asked] == answers
        said = [model.tokenizer.decode([int(some[row])]).strip() for some in (prompts.answers, prompts.foils)]
        assert said == [pairs[words[-1]], answers[-1]]
        assert model.tokenizer.decode([int(prompts.tokens[row, prompts.positions["QUERY"][row]])]).strip() == words[-1]
        assert moved[::2] == other[::2] == words[::2], "the questions stay"
        assert Counter(moved[1::2]) == Counter(answers)
        assert moved[1::2] != answers
    for aligned in (prompts.counterfactual, prompts.reference):
        assert aligned.lengths.tolist() == prompts.lengths.tolist()


def test_halves_share_no_pair(model):
    halves = [in_context_prompts(model, n=48, seed=0, split=split) for split in ("discover", "verify")]
    asked = [{word for row in range(48) for word in shown(model, some, row)[::2]} for some in halves]
    assert not asked[0] & asked[1]


def test_repeatable(model):
    made = [task_prompts("in_context", model, n=8, seed=seed).sha256 for seed in (0, 0, 1)]
    assert made[0] == made[1] != made[2]


def test_what_is_not_one_token_is_left_out(model):
    capitals = [capital for _, capital in RELATIONS["capitals"][1::2]]
    prompts = in_context_prompts(reads(split=["cold", *capitals[:8]]), n=24, seed=0, split="verify")
    assert {name.partition(":")[0] for name in prompts.templates} == {"antonyms", "past"}, "of the capitals too few are left"
    assert prompts.left_out == {f"{capital!r} of capitals: not one token behind a space": 1 for capital in capitals[:8]}
    with pytest.raises(PromptError, match=r"11 pairs whose answer is one token; this tokenizer leaves fewer: capitals 9"):
        in_context_prompts(reads(split=capitals[:8]), n=4, seed=0, relations=["capitals"])


def test_choices_are_checked(model):
    assert len(shown(model, in_context_prompts(model, n=1, seed=0, shots=2), 0)) == 5
    with pytest.raises(PromptError, match=r"unknown relation 'capital'.*capitals"):
        in_context_prompts(model, n=4, seed=0, relations=["capital"])
    for wrong in ({"shots": 1}, {"relations": []}):
        with pytest.raises(PromptError, match="two examples"):
            in_context_prompts(model, n=4, seed=0, **wrong)
