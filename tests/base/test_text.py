"""Text that is cut to a length."""

import pytest

from mechcheck.base.text import shorten


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
