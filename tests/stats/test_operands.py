"""What a measurement was made of is remembered as far as a reader can be told of it."""

from dataclasses import replace

import numpy as np
import pytest

from mechcheck.stats.measurement import Measurement

IDS, TEMPLATES = ("p", "q", "r"), ("t", "t", "u")
CLEAN = Measurement(np.array([1.0, 2.0, 6.0]), IDS, TEMPLATES, "preference", "logits", under="untouched")
PATCHED = Measurement(np.array([2.0, 2.0, 3.0]), IDS, TEMPLATES, "preference", "logits", under="Patch")


def made_of(measured):
    """Name, values and sign of each."""
    return [(one.name, one.values.tolist(), one.sign) for one in measured.operands]


A, B = ("preference, untouched", [1, 2, 6]), ("preference, Patch", [2, 2, 3])
LOST = ("preference - preference", [-1, 0, 3])


@pytest.mark.parametrize(
    ("measured", "expected"),
    [
        (CLEAN, []),
        (CLEAN - PATCHED, [(*A, 1), (*B, -1)]),
        ((CLEAN - PATCHED).named("lost"), [(*A, 1), (*B, -1)]),
        (-(CLEAN - PATCHED), [(*A, -1), (*B, 1)]),
        (1 - (CLEAN - PATCHED), [(*A, -1), (*B, 1)]),
        (0.5 * (CLEAN - PATCHED) + 3, [(*A, 1), (*B, -1)]),
        (CLEAN / PATCHED, [(*A, 1), (*B, 0)]),
        ((CLEAN - PATCHED) / CLEAN, [(*A, 1), (*B, -1)]),
        ((CLEAN - PATCHED) / (CLEAN + PATCHED), [(*A, 1), (*B, -1), ("preference + preference", [3, 4, 9], 0)]),
        (PATCHED < 2.5, [(*B, -1)]),
        (PATCHED > 2.5, [(*B, 1)]),
        (CLEAN > PATCHED, [(*LOST, 1), (*A, 1), (*B, -1)]),
        (CLEAN < PATCHED, [(*LOST, -1), (*A, -1), (*B, 1)]),
        (CLEAN + PATCHED, []),
        (CLEAN - PATCHED + CLEAN, []),
        (CLEAN - 1, []),
    ],
)
def test_what_a_measurement_is_made_of(measured, expected):
    assert made_of(measured) == expected


def test_of_a_difference_of_differences_each_half_is_told():
    other = replace(PATCHED, name="other")
    found = (CLEAN - PATCHED) - (CLEAN - other)
    assert [one.name for one in found.operands] == ["preference - preference", "preference - other"]


def test_it_is_forgotten_where_prompts_are_chosen():
    lost = CLEAN - PATCHED
    assert replace(lost, values=lost.values[:2], ids=IDS[:2], templates=TEMPLATES[:2]).operands == ()
