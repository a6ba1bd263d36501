"""What is measured of generated text, and which texts are not compared."""

import numpy as np
import pytest

from mechcheck.base.errors import MechcheckError, NonFiniteError, PromptError, TextError
from mechcheck.measures.text.generated import Generated
from mechcheck.stats.measurement import Measurement
from mechcheck.verdicts.check import Check

IDS = tuple("abcd")


def texts(stopped, width=3, **changed):
    """Four texts, of which the first is one token long, the second two, and so on."""
    lengths = np.array([1, 2, 3, 3])[: len(stopped)]
    tokens = np.where(np.arange(width) < lengths[:, None], np.arange(1, 5)[:, None] * 10 + np.arange(width), -1)
    said = {
        "answers": np.array([10, 21, 30, 7]),
        "foils": np.array([], dtype=int),
        "how": "greedy",
        "texts": ("x", "y y", "z z z", "é" * 99),
    }
    return Generated(tokens, lengths, stopped, ids=IDS, templates=("t",) * 4, **{**said, **changed})


ALL = ("stop",) * 4
MIXED = ("stop", "length", "stop", "length")


def first(one):
    return one.tokens[0]


def test_a_prompt_s_own():
    some = texts(MIXED)
    assert [one.tokens for one in some] == [(10,), (20, 21), (30, 31, 32), (40, 41, 42)]
    assert [one.stopped for one in some] == list(MIXED)
    assert (some[1].text, some[1].answer, some[1].foil, some[1].id) == ("y y", 21, None, "b")
    assert texts(ALL, texts=())[1].text is None
    with pytest.raises(PromptError, match="no prompt 4; these are of prompts 0-3"):
        some[4]
    assert repr(some) == "4 texts (greedy; 2 cut at 3 tokens, 2 stopped): 'x', 'y y', 'z z z', ..."
    assert repr(texts(ALL, texts=())) == "4 texts (greedy; 4 stopped): [10], [20, 21], [30, 31, 32], ..."


def test_one_number_for_each():
    measured = texts(ALL).measure(first, unit="token")
    assert (measured.values.tolist(), measured.ids, measured.name, measured.unit) == ([10, 20, 30, 40], IDS, "first", "token")
    right = texts(ALL).measure(lambda one: one.answer in one.tokens, "says the answer")
    assert (right.values.tolist(), right.is_yes_no, right.name) == ([1, 1, 1, 0], True, "says the answer")
    assert texts(ALL).measure(lambda one: np.float32(2.5)).name == "generated text"


@pytest.mark.parametrize("given", ["7", None, [1.0], (1, 2), object()])
def test_what_is_no_number(given):
    with pytest.raises(MechcheckError, match=r"odd gave .* for prompt 0, expected one number"):
        texts(ALL).measure(lambda one: given, "odd")
    with pytest.raises(NonFiniteError, match="odd is nan for prompt 0"):
        texts(ALL).measure(lambda one: float("nan"), "odd")
    with pytest.raises(MechcheckError, match="takes a function"):
        texts(ALL).measure("first")  # type: ignore[arg-type]
    with pytest.raises(MechcheckError, match='choose "same"'):
        texts(ALL).measure(first, stops="all")  # type: ignore[arg-type]


def test_texts_that_ended_differently_are_not_measured_together():
    with pytest.raises(TextError, match=r'of 4 texts 2 cut at 3 tokens, 2 stopped, and .* measure\(..., stops="any"\)'):
        texts(MIXED).measure(first)
    allowed = texts(MIXED).measure(first, stops="any")
    note = "first: of texts that ended differently (2 cut at 3 tokens, 2 stopped)"
    assert (allowed.name, allowed.note, texts(ALL).measure(first, stops="any").note) == ("first", note, "")
    other = texts(MIXED).measure(len, "length", stops="any")
    check = Check()
    check.above(allowed, 5.0)
    check.greater(2 * allowed, other)
    check.rate(allowed > 15, above=0.5)
    check.above(texts(ALL).measure(first), 5.0, label="all alike")
    both = f"{note}; {other.note}"
    assert [e.estimate.caveat and e.estimate.caveat.rpartition("first: ")[2] for e in check.expectations] == [
        note.removeprefix("first: "), both.removeprefix("first: "), note.removeprefix("first: "), None,
    ]  # fmt: skip
    assert check.greater(allowed, other).caveat.endswith(both)


@pytest.mark.parametrize(
    "compare",
    [
        lambda a, b: a - b,
        lambda a, b: a + b,
        lambda a, b: a / b,
        lambda a, b: a > b,
        lambda a, b: a < b,
        lambda a, b: (2 * a + 1).named("other") - b,
        lambda a, b: (a > 5) - (b > 5),
        lambda a, b: (a - Measurement(np.ones(4), IDS, ("t",) * 4)) - b,
        lambda a, b: (Measurement(np.ones(4), IDS, ("t",) * 4) - a) - b,
        lambda a, b: (Measurement(np.ones(4), IDS, ("t",) * 4) / a).linearised() - b,
        lambda a, b: Check().greater(a, b),
        lambda a, b: Check().requires(a, greater=b),
    ],
)
def test_nor_are_two_sets_compared(compare):
    """Whatever is done to one of them, it remembers; two that ended alike are compared."""
    here = texts(ALL).measure(first)
    assert compare(here, texts(ALL).measure(len, "other")) is not None
    for other in (texts(("length",) * 4), texts(("length",) * 4, width=5)):
        with pytest.raises(TextError, match=r"ended otherwise on 4 of 4 prompts \(4: stopped here, cut at \d tokens there\)"):
            compare(here, other.measure(first))
    assert compare(here, texts(MIXED).measure(first, stops="any")) is not None


def test_texts_cut_at_other_lengths_are_not_alike():
    with pytest.raises(MechcheckError, match="4: cut at 3 tokens here, cut at 5 tokens there"):
        texts(("length",) * 4).measure(first) - texts(("length",) * 4, width=5).measure(first)
