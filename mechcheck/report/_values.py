"""The prompts of one check: the value of each, what it was made of, and which speak most against what is claimed."""

import math
from collections import Counter
from typing import Any, Literal, NamedTuple

from mechcheck.report._claims import Region, check_place, region

Json = dict[str, Any]

MOST = 2000
"""Prompts of a check that are on the page; the worst, where there are more."""
_ALL_DIGITS = 17
"""Significant digits with which a float64 is read back as it was."""


class Column(NamedTuple):
    """A number for each prompt."""

    name: str
    unit: str
    role: Literal["operand", "value", "beside"]
    values: list[str]
    """With four significant digits, or as many as it takes to tell them apart and on which side of a threshold they lie."""


class Check(NamedTuple):
    """All prompts of one check."""

    place: int
    title: str
    side: Region
    """Between what the value of a prompt lies on the claimed side; both None where nobody knows."""
    tie: int
    """Among equal values those are worse whose first operand is smaller (1) or larger (-1); 0 where neither is."""
    columns: list[Column]
    """The value comes first, what it was made of and what decoys gave stand behind it."""
    order: list[int]
    """The rows, worst first."""
    wrong: set[int]
    """Rows whose value is not on the claimed side."""
    ids: list[str]
    templates: list[str]
    ratio: bool
    """Whether the check is of a ratio of means, of which the values say what each prompt adds to it."""
    beside: int
    """Decoys, or positive controls, whose mean one of the columns is."""

    @property
    def few(self) -> list[Column]:
        """The columns that stand beside the worst prompts: without decoys."""
        return [column for column in self.columns if column.role != "beside"]


def meaning(expectation: Json, check: Check) -> str:
    """What to make of single prompts, where what is claimed is of all of them together."""
    n, wrong, said = len(check.ids), len(check.wrong), []
    undefined = check.columns[0].values.count("nan")
    if undefined:
        said.append(f"{undefined:,} of {n:,} values are undefined.")
    if check.side != (None, None) and undefined < n:
        where = f"{wrong:,} of {n:,} values are not on the claimed side"
        if not wrong:
            where = f"All {'others' if undefined else f'{n:,} values'} are on the claimed side"
        said.append(f"{where}; what is claimed is {'their share' if expectation['kind'] == 'rate' else 'their mean'}, not each of them.")
    if check.ratio:
        said.append(
            "A ratio of means has no value for a single prompt: shown is what each adds to it, to first order; their mean is the ratio."
        )
    if n > MOST:
        said.append(f"The page has the worst {MOST:,} of them.")
    return " ".join(said)


def bins(check: Check, edges: tuple[float, ...]) -> Json | None:
    """The histogram of all values, for a script that has the worst of them only: its ends, among them the thresholds, and its bins."""
    values = [value for shown in check.columns[0].values if math.isfinite(value := float(shown))]
    low, high = min([*values, *edges], default=0.0), max([*values, *edges], default=0.0)
    if len(values) < 2 or not 0 < high - low < math.inf:
        return None
    n = min(32, max(8, math.ceil(math.sqrt(len(values)))))
    counts = Counter(min(n - 1, math.floor(n * ((value - low) / (high - low)))) for value in values)
    return {"low": low, "high": high, "least": min(values), "most": max(values), "counts": [counts[i] for i in range(n)]}


def check_of(claim: Json, place: int, found: Json) -> Check:
    expectation, unit, operands, decoys = (
        claim["expectations"][place],
        claim["expectations"][place]["unit"],
        found["operands"],
        found["decoys"],
    )
    side, sign = _side(expectation), operands[0]["sign"] if operands else 0
    value = Column(found["name"] or "value", unit, "value", _shown(found["values"], side.edges))
    names = _told_apart([one["name"] or "value" for one in operands])
    columns = [value, *(Column(name, one["unit"], "operand", _shown(one["values"])) for name, one in zip(names, operands, strict=True))]
    if decoys is not None:
        columns.append(Column("", unit, "beside", _shown(decoys["values"])))
    tie = sign if side.high is None else -sign if side.low is None else 0
    # As they are shown, so that a script, which knows no more digits, orders them alike.
    scores = [_score(float(shown), side) for shown in value.values]
    firsts = [tie * float(shown) for shown in columns[1].values] if tie else [0.0] * len(scores)
    order = sorted(range(len(scores)), key=lambda i: (math.isnan(scores[i]), _or_zero(scores[i]), _or_zero(firsts[i])))
    wrong = {i for i, score in enumerate(scores) if score <= 0 and side != (None, None)}
    title = f"{check_place(claim, place)}{expectation['label']}"
    beside = 0 if decoys is None else decoys["n"]
    return Check(place, title, side, tie, columns, order, wrong, found["ids"], found["templates"], found["ratio"], beside)


def _told_apart(names: list[str]) -> list[str]:
    """Names of columns; of those that are called the same, as runs under one method at different sites are, which is the first says so."""
    times, seen, told = Counter(names), Counter[str](), []
    for name in names:
        seen[name] += 1
        told.append(f"{name}, number {seen[name]}" if times[name] > 1 else name)
    return told


def _side(expectation: Json) -> Region:
    """Where the value of a prompt is to lie: for a rate on the side of yes or of no, else where the mean is to lie."""
    claimed = region(expectation)
    if expectation["kind"] != "rate":
        return claimed
    return Region(*(None if end is None else 0.5 for end in claimed))


def _score(value: float, side: Region) -> float:
    """How far inside the claimed side, or, negative, outside; where nobody knows the side, the value itself."""
    ends = [*([] if side.low is None else [value - side.low]), *([] if side.high is None else [side.high - value])]
    return min(ends, default=value)


def _or_zero(value: float) -> float:
    """For an order, in which NaN has no place."""
    return 0.0 if math.isnan(value) else value


def _shown(values: list[float], edges: tuple[float, ...] = ()) -> list[str]:
    """The numbers of one column; more digits than four where they differ by little of their size, as 10000.1 and 10000.4 do."""
    finite = [value for value in values if math.isfinite(value)]
    largest, apart = max(map(abs, finite), default=0.0), max(finite, default=0.0) - min(finite, default=0.0)
    digits = 4
    if 0 < apart < math.inf:
        digits = min(max(digits, 3 + math.floor(math.log10(largest)) - math.floor(math.log10(apart))), _ALL_DIGITS)
    return [_digits(value, digits, edges) for value in values]


def _digits(value: float, digits: int, edges: tuple[float, ...]) -> str:
    """The number; more digits where rounding would put it on a threshold that it misses, or beyond one."""
    shown = f"{value:.{digits}g}"
    while any(_where(float(shown), edge) != _where(value, edge) for edge in edges) and digits < _ALL_DIGITS:
        digits += 1
        shown = f"{value:.{digits}g}"
    return shown


def _where(value: float, edge: float) -> int:
    """Above (1), below (-1) or at (0) a threshold, or nowhere (0)."""
    return (value > edge) - (value < edge)
