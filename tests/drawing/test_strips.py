"""Values as dots in piles above an axis, with their mean and its interval."""

import re

import pytest

from mechcheck.drawing.strips import strip

DOT = re.compile(r'<circle class="value" cx="([\d.]+)" cy="([\d.]+)" r="[\d.]+"><title>([^<]*)</title>')


def test_each_value_is_a_dot_that_says_whose_it_is() -> None:
    drawn = strip([0.0, 10.0, 0.0], ["a", "b<", "c"], 5.0, 2.5, 7.5).drawn
    dots = [(float(x), float(y), title) for x, y, title in DOT.findall(drawn)]
    assert [title for _, _, title in dots] == ["a: 0", "b&lt;: 10", "c: 0"]
    (xa, ya, _), (xb, yb, _), (xc, yc, _) = dots
    assert xa == xc < xb
    assert (ya, yc) == (yb, ya - 6)  # piled up
    (mean,) = re.findall(r'<circle class="mean" cx="([\d.]+)"', drawn)
    assert float(mean) == pytest.approx((xa + xb) / 2, abs=0.1)
    ((low, high),) = re.findall(r'class="whisker" d="M([\d.]+) [\d.]+H([\d.]+)"', drawn)
    assert float(low) == pytest.approx(xa + (xb - xa) / 4, abs=0.1)
    assert float(high) == pytest.approx(xa + (xb - xa) * 3 / 4, abs=0.1)
    assert "3 values from 0 to 10" in drawn


def test_without_a_mean_there_are_the_values_alone() -> None:
    drawn = strip([1.0, 1.0], ["a", "b"], None, None, None).drawn
    assert len(DOT.findall(drawn)) == 2
    assert 'class="mean"' not in drawn
    assert 'class="whisker"' not in drawn


def test_an_end_of_the_interval_that_is_beyond_the_values_is_on_the_axis() -> None:
    drawn = strip([0.0, 1.0], ["a", "b"], 0.5, -9.0, 10.0).drawn
    ((low, high),) = re.findall(r'class="whisker" d="M([\d.]+) [\d.]+H([\d.]+)"', drawn)
    places = [float(x) for x, _, _ in DOT.findall(drawn)]
    assert float(low) < min(places)
    assert max(places) < float(high)


def test_many_values_are_piles_as_high_as_they_are_many() -> None:
    values = [0.0] * 300 + [1.0] * 100
    drawn = strip(values, [str(i) for i in range(400)], 0.25, None, None).drawn
    assert not DOT.findall(drawn)
    (piles,) = re.findall(r'class="pile" d="([^"]+)"', drawn)
    (left, high), (right, low) = [tuple(map(float, m)) for m in re.findall(r"M([\d.]+) [\d.]+v-([\d.]+)", piles)]
    assert left < right
    assert (high, low) == (48, 16)
