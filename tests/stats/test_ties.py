"""What is no difference to whoever compares the ends of an interval with a threshold."""

import pytest

from mechcheck.stats.ties import tied


@pytest.mark.parametrize(
    ("a", "b", "same"), [(0.0, 1e-11, True), (0.0, 1e-10, False), (1e6, 1e6 + 0.01, True), (1e6, 1e6 + 0.1, False), (-1.0, 1.0, False)]
)
def test_what_differs_by_rounding_is_tied(a, b, same):
    assert tied(a, b) == tied(b, a) == same
