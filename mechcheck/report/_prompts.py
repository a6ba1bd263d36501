"""Single prompts on the page: what each gave, which are the worst, and the columns that a script draws all of them from."""

import json
import math
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, NamedTuple
from urllib.parse import quote

from mechcheck.drawing.text import visible
from mechcheck.report._claims import Region, check_place, edges, region
from mechcheck.report._glyphs import threshold_text
from mechcheck.report._pack import Pack

Json = dict[str, Any]
Which = Literal["all", "worst", "none"]

WORST = 5
"""Prompts of a claim that stand in the page itself."""
_MOST = 2000
"""Prompts of a check that are on the page; the worst, where there are more."""
_LONGEST = 240
"""Tokens of a prompt that are; of a longer one its beginning and its end."""
_CUT = "[…]"
_BEGINNINGS = (" ", "Ġ", "▁")
"""Of tokens that say themselves where a word begins."""


class Part(NamedTuple):
    """Some of a prompt's text: a token that is marked, or several that are not."""

    text: str
    names: str = ""
    """The positions and spans that it stands at."""
    look: str = ""
    """ans or foil, where it is that."""

    @property
    def marked(self) -> bool:
        """Whether it is a token that stands apart."""
        return bool(self.names or self.look)


class Column(NamedTuple):
    """A number for each prompt."""

    name: str
    unit: str
    role: Literal["operand", "value", "beside"]
    values: list[str]
    """With four significant digits."""


class Line(NamedTuple):
    """A prompt with what it gave."""

    parts: list[Part]
    asked: str | None
    """Its answer, where that does not stand in the text."""
    values: list[str]
    wrong: bool
    """Whether it is not on the claimed side."""


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


class Prompts:
    """The prompts of a run's claims.

    Args:
        told: as the evidence's `prompts_of` has them; None where nobody read them.
        page: the folder that the page goes to; None where it goes nowhere.
        which: what of them is shown.
    """

    def __init__(self, told: Json | None = None, page: Path | None = None, which: Which = "all") -> None:
        self._told: Mapping[str, Json] = told["claims"] if told and which != "none" else {}
        self._texts: Mapping[str, Json] = told["texts"] if told else {}
        self._rows = {key: {name: row for row, name in reversed([*enumerate(one["ids"])])} for key, one in self._texts.items()}
        self._base = _below(told["folder"], page) if told and page is not None else None
        self._checks: dict[str, list[Check]] = {}
        self._sets: dict[str, str] = {}
        self.every = which == "all"

    def of(self, claim: Json) -> Json | None:
        """What is known of a claim's prompts."""
        return self._told.get(claim["id"])

    def link(self, claim: Json) -> str | None:
        """The address of the claim's samples, seen from the page; None where they do not lie below it."""
        return None if self._base is None else quote((self._base / self._told[claim["id"]]["file"]).as_posix())

    def checks(self, claim: Json) -> list[Check]:
        """Those of the claim's checks that have a value for each prompt: a search has none."""
        if claim["id"] not in self._checks:
            kept = enumerate(self._told[claim["id"]]["checks"])
            self._checks[claim["id"]] = [
                _check(claim, place, found) for place, found in kept if claim["expectations"][place]["kind"] != "for_all" and found["ids"]
            ]
        return self._checks[claim["id"]]

    def shown(self, claim: Json) -> Check | None:
        """The check that decided, or else the first."""
        checks = self.checks(claim)
        return next((check for check in checks if check.place == claim["deciding"]), checks[0] if checks else None)

    def worst(self, claim: Json, check: Check) -> list[Line]:
        """The few prompts that speak most against what the check demands."""
        key = self._told[claim["id"]]["texts"]
        return [self._line(key, check, row) for row in check.order[:WORST]]

    def words(self, claim: Json, check: Check) -> str:
        """What is seen of a check's prompts, and what it does and does not mean."""
        e, n = claim["expectations"][check.place], len(check.ids)
        shown = min(n, WORST)
        first = f"{'The worst' if check.side != (None, None) else 'The lowest'} {shown:,} of {n:,}"
        return f"{first} for {check.title} ({threshold_text(e)}). {meaning(e, check)}".strip()

    def heading(self, claim: Json, check: Check, column: Column) -> str:
        """What stands above a column."""
        name = column.name
        if column.role == "beside":
            one = "positive control" if claim["expect"] == "refuted" else "decoy"
            name = one if check.beside == 1 else f"{one}s, mean of {check.beside}"
        if column.role == "value" and check.ratio:
            name = f"added to {name}"
        return f"{name} ({column.unit})" if column.unit else name

    def python(self, claim: Json) -> str:
        """Three lines that load what the check was decided on."""
        check, file = self.shown(claim), self._told[claim["id"]]["file"]
        assert check is not None, "asked for claims with such a check only"
        i = check.place
        return f'import numpy as np\nsamples = np.load("{file}")\nvalues = dict(zip(samples["ids_{i}"], samples["values_{i}"]))'

    def spec(self, claim: Json, pack: Pack, group: str) -> int:
        """The number of the part by which a script finds all that it draws the claim's prompts from."""
        key, checks = self._told[claim["id"]]["texts"], self.checks(claim)
        about = {
            "file": self._told[claim["id"]]["file"],
            "texts": None if key is None else pack.data("prompts", self._set(key)),
            "chosen": next(i for i, check in enumerate(checks) if check is self.shown(claim)),
            "broken": sorted({p["id"] for found in claim["counterexamples"] for p in found["prompts"]}),
            "checks": [self._packed(claim, check, key, pack, f"{group}values") for check in checks],
        }
        return pack.data(f"{group}values", _json(about))

    def _set(self, key: str) -> str:
        """A set of prompts for a script, which many claims are about."""
        if key not in self._sets:
            self._sets[key] = _json(_packed_texts(self._texts[key]))
        return self._sets[key]

    def _packed(self, claim: Json, check: Check, key: str | None, pack: Pack, group: str) -> Json:
        """A check for a script: what is the same for several checks of the page, as a clean value is, is packed once."""
        expectation = claim["expectations"][check.place]
        chosen = sorted(check.order[:_MOST])
        rows = [-1] * len(chosen) if key is None else [self._rows[key].get(check.ids[i], -1) for i in chosen]
        unknown = [[check.templates[i], check.ids[i]] for i in chosen] if -1 in rows else None
        return {
            "title": check.title,
            "claimed": threshold_text(expectation),
            "meaning": meaning(expectation, check),
            "side": check.side,
            "tie": check.tie,
            "edges": () if expectation["kind"] == "rate" or region(expectation) == (None, None) else edges(expectation),
            "n": len(check.ids),
            "rows": None if rows == [*range(len(rows))] else pack.data(group, " ".join(map(str, rows))),
            "unknown": None if unknown is None else pack.data(group, _json(unknown)),
            "columns": [[self.heading(claim, check, c), pack.data(group, " ".join(c.values[i] for i in chosen))] for c in check.columns],
        }

    def _line(self, key: str | None, check: Check, row: int) -> Line:
        values, wrong = [column.values[row] for column in check.few], row in check.wrong
        at = -1 if key is None else self._rows[key].get(check.ids[row], -1)
        if key is None or at < 0:
            return Line([Part(f"{check.ids[row][:10]}, {check.templates[row]}")], None, values, wrong)
        texts = self._texts[key]
        answer, foil = (texts[what][at] if texts[what] is not None else None for what in ("answers", "foils"))
        parts = _parts(texts, at, answer, foil)
        return Line(parts, None if any(part.look == "ans" for part in parts) else answer, values, wrong)


def meaning(expectation: Json, check: Check) -> str:
    """What to make of single prompts, where what is claimed is of all of them together."""
    n, wrong, said = len(check.ids), len(check.wrong), []
    if check.side != (None, None):
        where = f"{wrong:,} of {n:,} values are not on the claimed side" if wrong else f"All {n:,} values are on the claimed side"
        said.append(f"{where}; what is claimed is {'their share' if expectation['kind'] == 'rate' else 'their mean'}, not each of them.")
    if check.ratio:
        said.append(
            "A ratio of means has no value for a single prompt: shown is what each adds to it, to first order; their mean is the ratio."
        )
    if n > _MOST:
        said.append(f"The page has the worst {_MOST:,} of them.")
    return " ".join(said)


def _check(claim: Json, place: int, found: Json) -> Check:
    expectation, unit, operands, decoys = (
        claim["expectations"][place],
        claim["expectations"][place]["unit"],
        found["operands"],
        found["decoys"],
    )
    value = Column(found["name"] or "value", unit, "value", [*map(_digits, found["values"])])
    columns = [value, *(Column(one["name"] or "value", one["unit"], "operand", [*map(_digits, one["values"])]) for one in operands)]
    if decoys is not None:
        columns.append(Column("", unit, "beside", [*map(_digits, decoys["values"])]))
    side, sign = _side(expectation), operands[0]["sign"] if operands else 0
    tie = sign if side.high is None else -sign if side.low is None else 0
    # As they are shown, so that a script, which knows no more digits, orders them alike.
    scores = [_score(float(shown), side) for shown in value.values]
    firsts = [tie * float(shown) for shown in columns[1].values] if tie else [0.0] * len(scores)
    order = sorted(range(len(scores)), key=lambda i: (math.isnan(scores[i]), scores[i], 0.0 if math.isnan(firsts[i]) else firsts[i]))
    wrong = {i for i, score in enumerate(scores) if score <= 0 and side != (None, None)}
    title = f"{check_place(claim, place)}{expectation['label']}"
    beside = 0 if decoys is None else decoys["n"]
    return Check(place, title, side, tie, columns, order, wrong, found["ids"], found["templates"], found["ratio"], beside)


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


def _digits(value: float) -> str:
    return f"{value:.4g}"


def _below(folder: Path, page: Path) -> Path | None:
    """The way from the page's folder down to the evidence's; None where it does not lie there: another reader's would be another."""
    try:
        way = Path(os.path.relpath(folder, page))
    except ValueError:  # on another drive
        return None
    return None if ".." in way.parts else way


def _json(value: Any) -> str:
    return json.dumps(_visible(value), ensure_ascii=False, separators=(",", ":"))


def _visible(value: Any) -> Any:
    """Made visible before it is packed: afterwards an escape would be taken for what it stands for."""
    if isinstance(value, str):
        return visible(value)
    if isinstance(value, dict):
        return {key: _visible(one) for key, one in value.items()}
    return [*map(_visible, value)] if isinstance(value, list | tuple) else value


def _packed_texts(texts: Json) -> Json:
    """A set of prompts for a script."""
    templates = {name: i for i, name in enumerate(dict.fromkeys(texts["templates"]))}
    cut = [_shortened(texts, row) for row in range(len(texts["ids"]))]
    return {
        "between": _between(texts["words"]),
        "words": [*texts["words"], _CUT],
        "names": texts["names"],
        "templates": [*templates],
        "of": " ".join(str(templates[name]) for name in texts["templates"]),
        "tokens": [" ".join(map(str, tokens)) for tokens, _ in cut],
        "marks": [" ".join(map(str, marks)) for _, marks in cut],
        "answers": texts["answers"],
        "foils": texts["foils"],
        "ids": texts["ids"],
    }


def _between(words: list[str]) -> str:
    """What to put between tokens to read them as text: nothing where some say themselves that a word begins."""
    return "" if any(word.startswith(_BEGINNINGS) and len(word) > 1 for word in words) else " "


def _shortened(texts: Json, row: int) -> tuple[list[int], list[int]]:
    """A prompt's tokens and marks, without the middle of a long one."""
    tokens, marks = texts["tokens"][row], texts["marks"][row]
    if len(tokens) <= _LONGEST:
        return tokens, marks
    half = _LONGEST // 2
    return [*tokens[:half], len(texts["words"]), *tokens[-half:]], [*marks[:half], 0, *marks[-half:]]


def _parts(texts: Json, row: int, answer: str | None, foil: str | None) -> list[Part]:
    """A prompt's text, each marked token apart."""
    words, between = [*texts["words"], _CUT], _between(texts["words"])
    parts: list[Part] = []
    for number, mark in zip(*_shortened(texts, row), strict=True):
        word, names = words[number], texts["names"][mark]
        part = Part(word, names, "ans" if answer and word == answer else "foil" if foil and word == foil else "")
        if part.marked or not parts or parts[-1].marked:
            parts.append(part)
        else:
            parts[-1] = Part(f"{parts[-1].text}{between}{word}")
    return parts
