"""A linear axis: data to pixels, and ticks at round numbers."""

import math
from typing import NamedTuple


class Axis(NamedTuple):
    """Maps [low, high] onto pixels from `start` to `end`; `end` may be the smaller, for an axis that points up."""

    low: float
    high: float
    start: float
    end: float

    def __call__(self, x: float) -> float:
        """The pixel of `x`, to a tenth, kept within the axis; a whole number where it can be, which is shorter on the page."""
        span = self.high - self.low
        share = 0.5 if span == 0 else min(1.0, max(0.0, (x - self.low) / span))
        pixel = round(self.start + share * (self.end - self.start), 1)
        return int(pixel) if pixel == int(pixel) else pixel

    def ticks(self, about: int = 5) -> list[float]:
        """Round numbers within the axis."""
        span = self.high - self.low
        if not 0 < span < math.inf:
            return [float(self.low)]
        rough = span / about
        power = 10.0 ** math.floor(math.log10(rough))
        step = next(m * power for m in (1, 2, 5, 10) if m * power >= rough * 0.999)
        first = math.ceil(self.low / step - 1e-9)
        last = math.floor(self.high / step + 1e-9)
        # Counting in whole steps keeps 0 and 0.3 from becoming 1e-17 and 0.30000000000000004.
        return [round(i * step, 12 - math.floor(math.log10(step))) for i in range(first, last + 1)]


def padded(values: list[float], start: float, end: float, pad: float = 0.06) -> Axis:
    """An axis with room around the values."""
    low, high = min(values), max(values)
    room = (high - low) * pad or max(abs(high), 1.0) * pad
    digits = 3 - math.floor(math.log10(room))  # more than a picture can show
    return Axis(round(low - room, digits), round(high + room, digits), start, end)
