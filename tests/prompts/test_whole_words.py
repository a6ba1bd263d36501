"""Words of several tokens as spans."""

import pytest
from test_tokens import SENTENCES, byte_pairs

from mechcheck.base.errors import PromptError
from mechcheck.prompts.prompt_set import PromptSet
from mechcheck.prompts.tokens import Reader

TEXTS = ["Quentin went to the store , John gave a book to", "Then Mary met Quentin at the park , Zebedee gave a book to"]


@pytest.fixture(scope="module")
def small():
    """Its words are single tokens; others are several."""
    return byte_pairs(SENTENCES * 20)


def texts(prompts: PromptSet, name: str) -> list[str]:
    """What stands at a name."""
    return [
        "".join(word for word, at in zip(words, where, strict=False) if at)
        for words, where in zip(prompts.words, prompts.span(name), strict=True)
    ]


def test_a_word_is_its_last_token_unless_it_is_meant_whole(small):
    places = {"Q": ["Quentin", " Quentin"], "X": ["John", "Zebedee"]}
    last = PromptSet.from_text(small, TEXTS, positions=places, pad=True)
    whole = PromptSet.from_text(small, TEXTS, positions=places, pad=True, whole=["Q"])
    assert texts(whole, "Q") == ["Quentin", " Quentin"]
    assert whole.span("Q").sum(1).min() > 1
    assert (list(last.spans), list(whole.spans)) == ([], ["Q"])
    for name in ("Q", "X", "END"):
        assert last.position(name).tolist() == whole.position(name).tolist()
    one = PromptSet.from_text(small, [TEXTS[0]], positions={"J": ["John"], "N": [3], "R": [[1, 2]]}, whole=["J", "N", "R"])
    assert [int(one.span(name).sum()) for name in ("J", "N", "R")] == [1, 1, 2]
    assert set(one.spans) == {"J", "N", "R"}, "a span wherever it is asked for, so that what is captured there has one shape"


def test_words_by_their_number(small):
    """Also where they stand elsewhere in the counterfactual and in the reference."""
    swapped = [text.replace("Quentin", "Mary") for text in TEXTS]
    made = PromptSet.read(
        Reader(small), TEXTS, at_words={"Q": [0, 3], "G": [7, 8]}, whole=["Q"], counterfactual=swapped, reference=TEXTS[::-1],
    )  # fmt: skip
    assert texts(made, "Q") == ["Quentin", " Quentin"]
    assert texts(made.counterfactual, "Q") == ["Mary", " Mary"]
    assert texts(made.reference, "Q") == ["Then", " the"]
    assert "G" not in made.spans


@pytest.mark.parametrize("whole", [["X"], ["Q", "X"], "Q"])
def test_names_that_are_none(small, whole):
    with pytest.raises(PromptError, match="give a list of names of positions, of which Q are given"):
        PromptSet.from_text(small, TEXTS, positions={"Q": ["Quentin", "Quentin"]}, pad=True, whole=whole)
