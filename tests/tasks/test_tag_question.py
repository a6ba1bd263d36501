"""Tag questions, against their text: the other gender, the sentence that names nobody, what is left out."""

from types import SimpleNamespace

import pytest
from code_tokenizer import code_tokenizer
from task_words import tag_question_words

from mechcheck.base.errors import PromptError
from mechcheck.tasks.shipped import task_prompts
from mechcheck.tasks.tag_question import ADJECTIVES, NAMES, NOUNS, TEMPLATES, tag_question_prompts

GENDER = {name: pronoun for half in NAMES.values() for pronoun, names in half.items() for name in names}


def reads(**options) -> SimpleNamespace:
    """What a model is for prompts: its tokenizer."""
    made = code_tokenizer(tag_question_words(), **options)
    return SimpleNamespace(tokenizer=made, cfg=SimpleNamespace(d_vocab=len(made), n_ctx=32))


@pytest.fixture(scope="module")
def model() -> SimpleNamespace:
    return reads()


def text(model, prompts, row: int) -> str:
    return model.tokenizer.decode(prompts.tokens[row, 1 : prompts.lengths[row]])


def test_names_are_told_apart():
    assert len(GENDER) == sum(len(names) for half in NAMES.values() for names in half.values())


def test_prompts_are_what_they_say(model):
    prompts = tag_question_prompts(model, n=24, seed=0)
    assert set(prompts.templates) == set(TEMPLATES["verify"])
    for row in range(24):
        whole = text(model, prompts, row)
        answer, foil = (prompts.vocabulary[int(some[row])].strip() for some in (prompts.answers, prompts.foils))
        at = {name: model.tokenizer.decode([int(prompts.tokens[row, where[row]])]).strip() for name, where in prompts.positions.items()}
        assert whole.startswith(f"So {at['NAME']} is ")
        assert whole.endswith(f" a {at['ADJECTIVE']} {at['NOUN']}, isn't")
        assert (at["IS"], at["END"]) == ("is", "t")
        assert at["ADJECTIVE"] in ADJECTIVES
        assert at["NOUN"] in NOUNS
        assert GENDER[at["NAME"]] == answer
        other = text(model, prompts.counterfactual, row)
        name = other.split()[1]
        assert GENDER[name] == foil != answer
        assert other == whole.replace(at["NAME"], name)
        assert text(model, prompts.reference, row) == whole.replace(f"So {at['NAME']}", "That person")
    assert sorted(prompts.answers.tolist()) == sorted(prompts.foils.tolist())
    assert prompts.unaligned == {"counterfactual": 0, "reference": 0}
    for other in (prompts.counterfactual, prompts.reference):
        assert {name: at.tolist() for name, at in other.positions.items()} == {n: at.tolist() for n, at in prompts.positions.items()}


def test_halves_share_neither_templates_nor_names(model):
    halves = [tag_question_prompts(model, n=96, seed=0, split=split) for split in ("discover", "verify")]
    used = [{text(model, some, row).split()[1] for row in range(96)} for some in halves]
    assert used[0] | used[1] == set(GENDER)
    assert not used[0] & used[1]
    assert not set(halves[0].templates) & set(halves[1].templates)


def test_repeatable(model):
    made = [task_prompts("tag_question", model, n=8, seed=seed).sha256 for seed in (0, 0, 1)]
    assert made[0] == made[1] != made[2]


def test_names_of_another_number_of_tokens_are_left_out():
    names = NAMES["verify"]
    prompts = tag_question_prompts(reads(split=names["she"][:2]), n=48, seed=0)
    assert prompts.left_out == {f'{name!r}: 3 tokens with "So", and not 2': 1 for name in names["she"][:2]}
    assert prompts.unaligned == {"counterfactual": 0, "reference": 0}
    with pytest.raises(
        PromptError, match=r"no name that goes with 'he' is, behind \"So\", as many tokens as 'That person' \(2\) .*Peter \(3\)"
    ):
        tag_question_prompts(reads(split=names["he"]), n=4, seed=0)
