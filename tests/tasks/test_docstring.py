"""Docstring prompts, against their text: positions, the counterfactual, what is left out."""

from types import SimpleNamespace

import pytest
from code_tokenizer import code_tokenizer

from mechcheck.base.errors import PromptError
from mechcheck.tasks.docstring import ARGUMENTS, DESCRIBED, NOUNS, STYLES, VERBS, docstring_prompts
from mechcheck.tasks.shipped import task_prompts

WORDS = ("def", "self", "param", *ARGUMENTS, *NOUNS, *VERBS)


def reads(**options) -> SimpleNamespace:
    """What a model is for prompts: its tokenizer."""
    made = code_tokenizer(options.pop("words", WORDS), **options)
    return SimpleNamespace(tokenizer=made, cfg=SimpleNamespace(d_vocab=len(made), n_ctx=128))


@pytest.fixture(scope="module")
def model() -> SimpleNamespace:
    return reads()


def text(model, prompts, row: int) -> str:
    return model.tokenizer.decode(prompts.tokens[row, 1 : prompts.lengths[row]])


def word(model, token) -> str:
    return model.tokenizer.decode([int(token)]).strip()


def test_words_are_told_apart():
    assert len({*ARGUMENTS, *NOUNS, *VERBS}) == len(ARGUMENTS) + len(NOUNS) + len(VERBS)


def test_prompts_are_what_they_say(model):
    prompts = docstring_prompts(model, n=24, seed=0)
    assert len(set(prompts.templates)) == len(STYLES) * len(DESCRIBED)
    for row in range(24):
        said = text(model, prompts, row)
        arguments = said[said.index("(") + 1 : said.index(")")].split(", ")
        style = prompts.templates[row].split(",")[0]
        documented = [line.split(":")[-2].split()[-1] for line in said.splitlines()[2:-1]]
        assert documented == arguments[3:5]
        assert said.splitlines()[-1].strip() == style
        assert (word(model, prompts.answers[row]), word(model, prompts.foils[row])) == tuple(arguments[5:7])
        for name, argument in (("B_DEF", 4), ("B_DOC", 4), ("C_DEF", 5), ("D_DEF", 6)):
            assert word(model, prompts.tokens[row, prompts.positions[name][row]]) == arguments[argument]
        assert prompts.positions["B_DEF"][row] < prompts.positions["C_DEF"][row] < prompts.positions["B_DOC"][row]
        other = text(model, prompts.counterfactual, row)
        assert other == said.replace(f"{arguments[5]}, {arguments[6]}", f"{arguments[6]}, {arguments[5]}")
        assert not set(arguments[1:]) <= set(text(model, prompts.reference, row)[said.index("(") :].split(", "))
    for aligned in (prompts.counterfactual, prompts.reference):
        assert aligned.lengths.tolist() == prompts.lengths.tolist()


def test_halves_share_no_argument(model):
    halves = [set(docstring_prompts(model, n=96, seed=0, split=split).answers.tolist()) for split in ("discover", "verify")]
    assert not halves[0] & halves[1]


def test_repeatable(model):
    made = [task_prompts("docstring", model, n=8, seed=seed).sha256 for seed in (0, 0, 1)]
    assert made[0] == made[1] != made[2]


def test_names_of_several_tokens_are_left_out():
    some = ARGUMENTS[1::2][:3]
    prompts = docstring_prompts(reads(split=some), n=48, seed=0)
    assert prompts.left_out == {f"{name!r}: not one token behind a space": 1 for name in some}
    left = docstring_prompts(reads(), n=4, seed=0)
    assert left.left_out == {}
    with pytest.raises(PromptError, match=r"one token behind a space, 12 of them; this tokenizer leaves 3 of"):
        docstring_prompts(reads(split=ARGUMENTS[7::2]), n=4, seed=0)
