"""Numbers as text: how many digits an interval deserves, p-values, levels, dates; and the two kinds of sort key."""

import math
import struct
from collections.abc import Iterable, Sequence
from datetime import datetime

MISSING = "–"
UNDEFINED = "undefined"
_MOST_DECIMALS = 6
_LARGE = 1e6
_SMALL = 1e-4


def decimals_for(width: float) -> int:
    """Digits after the point with which a step of the last one is at most a twentieth of `width`."""
    if width <= 0 or not math.isfinite(width):
        return 3
    return max(0, math.ceil(math.log10(20) - math.log10(width) - 1e-9))


def fixed(x: float, decimals: int) -> str:
    """`x` with that many decimals, or in scientific notation where that would be unreadable; never a negative zero."""
    if not math.isfinite(x):
        return str(x)
    if decimals > _MOST_DECIMALS or abs(x) >= _LARGE:
        return "0" if x == 0 else f"{x:.2e}"
    text = f"{x:.{decimals}f}"
    return text.removeprefix("-") if float(text) == 0 else text


def short(x: float) -> str:
    """About three significant digits, for a number that stands alone (a threshold, a tick)."""
    if x == 0 or not math.isfinite(x):
        return "0" if x == 0 else str(x)
    if abs(x) >= _LARGE or abs(x) < _SMALL:
        return f"{x:.2e}"
    text = f"{x:.{max(0, 2 - math.floor(math.log10(abs(x))))}f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def chosen(x: float) -> str:
    """A number that somebody chose, as it was written where six digits say it, else as `short`: it decides, and is not to be rounded."""
    text = f"{x:.6g}"
    return text if float(text) == x and "e" not in text else short(x)


def interval_decimals(low: float | None, high: float | None, thresholds: Iterable[float] = ()) -> int:
    """Decimals for an estimate and its interval; more where rounding would put an end of it on a threshold that it misses."""
    ends = [end for end in (low, high) if end is not None]
    width = ends[-1] - ends[0] if ends else 0.0
    decimals = decimals_for(width or abs(ends[-1] if ends else 0.0))
    if any(abs(end) >= _SMALL for end in ends):
        decimals = min(decimals, _MOST_DECIMALS)  # 1.000000 and not 1.00e+00, however narrow the interval is
    for end in ends:
        for threshold in thresholds:
            while end != threshold and decimals < _MOST_DECIMALS and fixed(end, decimals) == fixed(threshold, decimals):
                decimals += 1
    return decimals


def estimate_text(value: float | None, low: float | None, high: float | None, thresholds: Iterable[float] = ()) -> tuple[str, str]:
    """The value and its interval, e.g. `("1.23", "[0.98, 1.49]")`, with as many digits as the interval deserves.

    None is a value that is not defined, or an end that the interval does not have.
    """
    decimals = interval_decimals(low, high, thresholds)
    said = UNDEFINED if value is None else fixed(value, decimals)
    if low is None and high is None:
        return said, MISSING
    return said, f"[{'-∞' if low is None else fixed(low, decimals)}, {'∞' if high is None else fixed(high, decimals)}]"


def grid_decimals(values: Sequence[float]) -> int:
    """Decimals that show the largest of many values with three significant digits; fewer where nothing is lost by it.

    More than `fixed` writes where the largest is too large or too small for them, so that all are in scientific notation, or none.
    """
    largest = max((abs(v) for v in values), default=0.0)
    if largest == 0 or not math.isfinite(largest):
        return 0
    return _MOST_DECIMALS + 1 if largest >= _LARGE else _fewest(values, max(0, 2 - math.floor(math.log10(largest))))


def alike(values: Sequence[float | None], digits: int = 3) -> list[str]:
    """The numbers of one column or axis, all written with the same decimals, or all in scientific notation; a dash where there is none.

    The largest has `digits` significant digits, and so have those down to a thousandth of it, as far as so many decimals show them.
    """
    sizes = [abs(v) for v in values if v is not None and v != 0 and math.isfinite(v)]
    decimals = 0
    if sizes:
        least = min(size for size in sizes if size >= max(sizes) / 1000)
        most, fine = (digits - 1 - math.floor(math.log10(size)) for size in (max(sizes), least))
        scientific = not _SMALL <= max(sizes) < _LARGE
        known = [v for v in values if v is not None and math.isfinite(v)]
        decimals = _MOST_DECIMALS + 1 if scientific else _fewest(known, min(max(0, most, min(digits, fine)), _MOST_DECIMALS))
    return [MISSING if v is None else fixed(v, decimals) for v in values]


def _fewest(values: Sequence[float], decimals: int) -> int:
    """So many decimals, or as few as write the same numbers."""
    while 0 < decimals <= _MOST_DECIMALS and all(fixed(v, decimals).endswith("0") for v in values):
        decimals -= 1
    return decimals


def with_unit(text: str, unit: str) -> str:
    """A number and its unit."""
    return text + unit if unit == "%" else f"{text} {unit}".strip()


def p_text(p: float | None) -> str:
    """A p-value with two significant digits; a dash when there is none."""
    if p is None:
        return MISSING
    return f"{p:.2g}" if p >= 0.001 or p == 0 else f"{p:.1e}"


def percent(x: float) -> str:
    """A level such as 0.95 as `95%`; 0.9995 stays `99.95%`, and what is not whole has two decimals at most unless that would be `100%`."""
    rounded = f"{100 * x:.4g}"
    return f"{100 * x:.6g}%" if rounded == "100" else f"{rounded}%"


def seconds(x: float) -> str:
    """A duration."""
    return f"{1000 * x:.0f} ms" if x < 1 else f"{x:.1f} s" if x < 60 else f"{int(x // 60)} min {x % 60:.0f} s"


def quantity(x: float, unit: str) -> str:
    """A large number with the prefix of its unit: 1.23 GFLOP; bytes by powers of 1024: 1.5 GiB."""
    step, prefixes = (1024, ("", "Ki", "Mi", "Gi", "Ti", "Pi")) if unit == "B" else (1000, ("", "k", "M", "G", "T", "P", "E"))
    power = 0
    while abs(x) >= step and power < len(prefixes) - 1:
        x, power = x / step, power + 1
    return f"{short(x)} {prefixes[power]}{unit}"


def date_text(iso: str) -> str:
    """An ISO 8601 time for a reader; text that is none is left as it is."""
    try:
        moment = datetime.fromisoformat(iso)
    except ValueError:
        return iso
    zone = " UTC" if moment.utcoffset() is not None and not moment.utcoffset() else f" {moment:%z}" if moment.tzinfo else ""
    return f"{moment.day} {moment:%b %Y, %H:%M}{zone}"


def sort_key(x: float) -> str:
    """Sixteen hexadecimal digits that sort as text in the order of the numbers."""
    (bits,) = struct.unpack(">Q", struct.pack(">d", x + 0.0))
    # IEEE 754 doubles sort as integers once negatives are inverted and positives moved above them.
    return f"{bits ^ (0xFFFFFFFFFFFFFFFF if bits >> 63 else 1 << 63):016x}"
