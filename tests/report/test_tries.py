"""How often a claim was tried, as the page says it."""

import pytest

from mechcheck.report._tries import moved_text, tries_text


def claim(checks=1, **tries):
    default = {"n": 1, "first": "", "last": "", "seeds": [0], "commits": 0, "verdicts": {"supported": 1}, "moved": 0, "moves": []}
    return {"expectations": [{}] * checks, "tries": default | tries}


def move(before, after, check=0):
    return {"created": "", "check": check, "before": before, "after": after}


@pytest.mark.parametrize(
    ("tries", "text"),
    [
        ({}, "once with seed 0; supported 1"),
        ({"n": 2, "commits": 1, "verdicts": {"not_applicable": 2}}, "twice with seed 0; not applicable 2"),
        (
            {"n": 7, "seeds": [0, 1, 2], "commits": 3, "verdicts": {"supported": 6, "inconclusive": 1}},
            "7 times with seeds 0, 1, 2 at 3 commits; supported 6, inconclusive 1",
        ),
        ({"n": 1200, "seeds": list(range(8))}, "1,200 times with seeds 0, 1, 2, 3, 4, 5 and 2 more; supported 1"),
    ],
)
def test_how_often(tries, text):
    assert tries_text(claim(**tries)) == text


@pytest.mark.parametrize(
    ("found", "text"),
    [
        (claim(), ""),
        (claim(moved=1, moves=[move([0.5, None], [0.4, None])]), "the threshold was moved once: > 0.5 → > 0.4"),
        (claim(moved=1, moves=[move([None, 0.5], [None, 0])]), "the threshold was moved once: < 0.5 → < 0"),
        (
            claim(2, moved=1, moves=[move([0, 1], [0, 2]), move([0, None], [None, 0], 1)]),
            "the threshold was moved once: check 1 between 0 and 1 → between 0 and 2; check 2 > 0 → < 0",
        ),
        (claim(2, moved=1, moves=[move(None, [0, None], 1)]), "what is demanded was changed once: check 2 none → > 0"),
        (claim(1, moved=1, moves=[move([0, None], None, 1)]), "what is demanded was changed once: check 2 > 0 → none"),
        (claim(moved=3, moves=[move([1, None], [2, None])]), "the threshold was moved 3 times: the latest: > 1 → > 2"),
    ],
)
def test_what_was_moved(found, text):
    assert moved_text(found) == text
