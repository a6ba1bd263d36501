"""Text that is cut to a length, and phrases that many rooms use."""

import pytest

from mechcheck.base.text import did_you_mean, nearest, shorten, side_text


@pytest.mark.parametrize(
    ("text", "most", "short"),
    [
        ("", 3, ""),
        ("ab", 3, "ab"),
        ("abc", 3, "abc"),
        ("abcd", 3, "ab…"),
        ("abcd", 1, "…"),
        ("été…été", 5, "été……"),
    ],
)
def test_the_ellipsis_is_one_of_the_characters(text, most, short):
    assert shorten(text, most) == short


def test_the_nearest_word():
    known = ("names-gpt2-seed4", "names-gpt2-seed0", "years")
    assert nearest("names-gpt2-seed44", known) == "names-gpt2-seed4"
    assert nearest("yeers", known) == "years"
    assert nearest("gpt2", known) is None
    assert nearest("yeers", known, likeness=0.9) is None
    assert nearest("x", ()) is None
    assert nearest(None, known) is None
    assert (did_you_mean("yeers", known), did_you_mean("gpt2", known)) == ("; did you mean 'years'?", "")


def test_a_side_in_words():
    assert [side_text(*ends) for ends in ((0.5, None), (None, -2.0), (0.25, 1e-9))] == ["> 0.5", "< -2", "between 0.25 and 1e-09"]
    assert side_text(0.5, None, "{:.2f}".format) == "> 0.50"
    with pytest.raises(AssertionError):
        side_text(None, None)
