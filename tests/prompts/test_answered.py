"""Prompts followed by their answers: which sets there are, and what of a prompt stays as it is."""

import pytest

from mechcheck.base.errors import PromptError
from mechcheck.prompts.answered import PREDICTED, answered, followed
from mechcheck.prompts.prompt_set import PromptSet

ROWS = [[1, 5, 6, 7], [1, 8, 9], [1, 4]]


def made(answers, foils=None, **options) -> PromptSet:
    return PromptSet.from_tokens(ROWS, answers=answers, foils=foils, pad=0, **options)


def test_every_answer_of_several_tokens_stands_behind_its_prompt_once():
    prompts = made([[(2, 3), (3, 3), (9,)], (4, 5, 6), 7], [(5, 5), 8, [(8,), (9,)]])
    sets = answered(prompts, ["answers", "foils"])
    assert [one.by for one in sets] == [
        (("answers", 0), ("answers", 0), ("answers", 0)),
        (("answers", 1), ("answers", 0), ("answers", 0)),
        (("foils", 0), ("answers", 0), ("answers", 0)),
    ]
    assert [one.tokens[0] for one in sets] == [(2, 3), (3, 3), (5, 5)]
    assert len(answered(prompts, ["answers"])) == 2
    assert len(answered(prompts, ["foils"])) == 1
    assert sets[0].prompts is answered(prompts, ["answers"])[0].prompts, "and is made once"


def test_what_stays_as_it_is():
    other = PromptSet.from_tokens([row[::-1] for row in ROWS], pad=0)
    spans = {"M": [[1, 2], [1], [0, 1]], "P": [1, 2, 0]}
    prompts = made(
        [(2, 3), (4, 5, 6), 7], positions=spans, templates=["a", "b", "b"], counterfactual=other, reference=made([1, 1, 1]),
    )  # fmt: skip
    (one,) = answered(prompts, ["answers"])
    assert one.prompts.tokens.tolist() == [[1, 5, 6, 7, 2, 3], [1, 8, 9, 4, 5, 6], [1, 4, 7, 0, 0, 0]]
    assert (one.prompts.lengths.tolist(), one.prompts.own_lengths.tolist()) == ([6, 6, 3], [4, 3, 2])
    assert one.prompts.span(PREDICTED).nonzero()[:, 1].tolist() == [3, 4, 2, 3, 4, 1]
    assert one.prompts.position(PREDICTED).tolist() == [4, 4, 1]
    for name in ("END", "M", "P"):
        assert one.prompts.position(name).tolist() == prompts.position(name).tolist()
        assert one.prompts.span(name)[:, :4].tolist() == prompts.span(name).tolist()
        assert not one.prompts.span(name)[:, 4:].any()
    assert (one.prompts.ids, one.prompts.templates) == (prompts.ids, prompts.templates)
    assert one.prompts.own.tolist() == [[at < n for at in range(6)] for n in (4, 3, 2)]
    for name in ("counterfactual", "reference"):
        there, before = getattr(one.prompts, name), getattr(prompts, name)
        for row, answer in enumerate(([2, 3], [4, 5, 6], [7])):
            assert there.tokens[row, : there.lengths[row]].tolist() == [*before.tokens[row, : before.lengths[row]].tolist(), *answer]
        assert there.ids == prompts.ids
    assert one.prompts[[2, 0]].own_lengths.tolist() == [2, 4]
    assert prompts.own_lengths.tolist() == prompts.lengths.tolist() == [4, 3, 2]


def test_prompts_that_cannot_be_followed():
    prompts = made([(2, 3), (4, 5), 7], positions={"END": [3, 1, 1]})
    with pytest.raises(PromptError, match="END is position 1 of prompt 1, whose last token is 2, so that an answer of several"):
        answered(prompts, ["answers"])
    assert followed(prompts, ((1,), (2,), (3,))).appended.tolist() == [1, 1, 1]
