"""How much a run drew, in a line."""

from mechcheck.evidence.drawn import drawn_lines


def claim(prompts, stopped="decided"):
    return {"sampling": {"budget": 240, "looks": [{"prompts": 1}, {"prompts": prompts}], "stopped": stopped}}


def test_what_was_drawn_of_what_might_have_been():
    assert list(drawn_lines([claim(60), claim(240, "spent"), claim(60, None), {"sampling": None}])) == [
        "3 claims drew 360 of 720 prompts (50% saved), 1 of them until decided"
    ]


def test_nothing_is_said_where_nothing_was_drawn():
    assert list(drawn_lines([{"sampling": None}])) == []
    assert list(drawn_lines([])) == []
