"""Numbers as text, and sort keys."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mechcheck.drawing.numbers import (
    alike,
    chosen,
    date_text,
    estimate_text,
    fixed,
    grid_decimals,
    p_text,
    percent,
    seconds,
    short,
    sort_key,
    with_unit,
)


@pytest.mark.parametrize(
    ("value", "low", "high", "expected"),
    [
        (1.2345, 0.98, 1.49, ("1.23", "[0.98, 1.49]")),
        (0.99871, 0.997, 1.0, ("0.9987", "[0.9970, 1.0000]")),
        (12345.6, 12200.0, 12500.0, ("12346", "[12200, 12500]")),
        (-0.636, -1.572, 0.299, ("-0.64", "[-1.57, 0.30]")),
        (3e-7, 2.9e-7, 3.1e-7, ("3.00e-07", "[2.90e-07, 3.10e-07]")),
        (1.0, 1.0, 1.0, ("1.00", "[1.00, 1.00]")),
        (1.0, 1.0 - 1e-9, 1.0, ("1.000000", "[1.000000, 1.000000]")),
        (0.0, 0.0, 0.0, ("0.000", "[0.000, 0.000]")),
    ],
)
def test_an_estimate_has_the_digits_that_its_interval_deserves(value: float, low: float, high: float, expected: tuple[str, str]) -> None:
    assert estimate_text(value, low, high) == expected


def test_rounding_does_not_move_an_end_of_the_interval_onto_the_threshold() -> None:
    assert estimate_text(0.8, 0.5004, 1.1) == ("0.80", "[0.50, 1.10]")
    assert estimate_text(0.8, 0.5004, 1.1, [0.5]) == ("0.8000", "[0.5004, 1.1000]")
    assert estimate_text(0.8, 0.5, 1.1, [0.5]) == ("0.80", "[0.50, 1.10]")


def test_no_negative_zero() -> None:
    assert fixed(-0.0004, 2) == "0.00"
    assert fixed(-0.0, 6) == "0.000000"


@pytest.mark.parametrize(
    ("x", "expected"),
    [(0, "0"), (0.5, "0.5"), (1.0, "1"), (-2.345, "-2.35"), (1234.5, "1234"), (100.0, "100"), (1.5e-5, "1.50e-05"), (2.5e6, "2.50e+06")],
)
def test_short_numbers(x: float, expected: str) -> None:
    assert short(x) == expected


@pytest.mark.parametrize(
    ("column", "written"),
    [
        ([5.05, 4.641, 3.6, None], ["5.05", "4.64", "3.60", "–"]),
        ([1.0, 1.14e-7, -0.218, -2e-8], ["1.000", "0.000", "-0.218", "0.000"]),
        ([240, 0.523, 12], ["240.000", "0.523", "12.000"]),
        ([240, 6], ["240", "6"]),
        ([23.997, -3.809, 1e-7], ["24.00", "-3.81", "0.00"]),
        ([1.0, 0.5], ["1.0", "0.5"]),
        ([1.5e7, 12.5, 0.0], ["1.50e+07", "1.25e+01", "0"]),
        ([3e-5, -2e-6], ["3.00e-05", "-2.00e-06"]),
        ([], []),
    ],
)
def test_a_column_is_written_in_one_way(column: list[float | None], written: list[str]) -> None:
    assert alike(column) == written


def test_ticks_are_exact_and_alike() -> None:
    assert alike([1000.0, 1000.5, 1001.0], 6) == ["1000.0", "1000.5", "1001.0"]
    assert alike([0.0, 0.25, 0.5], 6) == ["0.00", "0.25", "0.50"]


def test_a_grid_is_in_scientific_notation_as_a_whole() -> None:
    """Whatever its smallest number is, and with as few decimals as write the same numbers."""
    assert [fixed(x, grid_decimals([1.5e7, 12.6])) for x in (1.5e7, 12.6)] == ["1.50e+07", "1.26e+01"]
    assert [grid_decimals(values) for values in ([1.0, 0.25], [3.0, 2.0], [0.5, 0.1234], [2e-9], [])] == [2, 0, 3, 11, 0]


def test_words_around_numbers() -> None:
    assert [p_text(p) for p in (None, 0.5, 0.0123, 0.00023, 1e-12)] == ["–", "0.5", "0.012", "2.3e-04", "1.0e-12"]
    assert [percent(x) for x in (0.95, 2 * 0.975 - 1, 0.9995, 0.982131, 0.99999)] == ["95%", "95%", "99.95%", "98.21%", "99.999%"]
    assert [seconds(x) for x in (0.42, 12.34, 125)] == ["420 ms", "12.3 s", "2 min 5 s"]
    assert [with_unit("1.2", u) for u in ("logits", "", "%")] == ["1.2 logits", "1.2", "1.2%"]


def test_dates() -> None:
    assert date_text("2026-11-21T02:14:30+00:00") == date_text("2026-11-21T02:14:30Z") == "21 Nov 2026, 02:14 UTC"
    assert date_text("2026-11-21T02:14:30+02:00") == "21 Nov 2026, 02:14 +0200"
    assert date_text("yesterday") == "yesterday"


def test_what_is_not_defined_and_ends_that_are_not_there() -> None:
    assert estimate_text(None, None, None) == ("undefined", "–")
    assert estimate_text(1.25, None, None) == ("1.250", "–")
    assert estimate_text(1.25, 0.98, None) == ("1.25", "[0.98, ∞]")
    assert estimate_text(1.25, None, 1.5) == ("1.25", "[-∞, 1.50]")


@given(st.lists(st.floats(allow_nan=False), min_size=2))
def test_sort_keys_sort_as_text_in_the_order_of_the_numbers(numbers: list[float]) -> None:
    assert [float(x) for x in sorted(numbers)] == sorted(numbers, key=lambda x: sort_key(x))
    assert {len(sort_key(x)) for x in numbers} == {16}
    assert sort_key(-0.0) == sort_key(0.0)
    assert sort_key(-math.inf) < sort_key(-1.5) < sort_key(-0.1) < sort_key(0.1) < sort_key(2.0) < sort_key(10.0)


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (0.5, "0.5"),
        (10000.4, "10000.4"),
        (0.12345, "0.12345"),
        (-2.0, "-2"),
        (0.0, "0"),
        (1 / 3, "0.333"),
        (1e9, "1.00e+09"),
        (1e-9, "1.00e-09"),
    ],
)
def test_what_somebody_chose_is_not_rounded(value, said):
    assert chosen(value) == said


@pytest.mark.parametrize("width", [5e-324, 1e-310, 1e-300])
def test_an_interval_as_narrow_as_numbers_get(width):
    assert estimate_text(0.0, -width, width)[0] == "0"
