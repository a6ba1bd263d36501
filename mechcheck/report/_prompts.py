"""Single prompts on the page: what each gave, which are the worst, and the columns that a script draws all of them from."""

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, NamedTuple
from urllib.parse import quote

from mechcheck.drawing.text import visible
from mechcheck.report._claims import edges, region
from mechcheck.report._glyphs import threshold_text
from mechcheck.report._pack import Pack
from mechcheck.report._texts import Part, packed_texts, parts_of
from mechcheck.report._values import MOST, Check, Column, bins, check_of, meaning

Json = dict[str, Any]
Which = Literal["all", "worst", "none"]

WORST = 5
"""Prompts of a claim that stand in the page itself."""


class Line(NamedTuple):
    """A prompt with what it gave."""

    parts: list[Part]
    asked: str | None
    """Its answer, where that does not stand in the text."""
    values: list[str]
    wrong: bool
    """Whether it is not on the claimed side."""


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
                check_of(claim, place, found) for place, found in kept if claim["expectations"][place]["kind"] != "for_all" and found["ids"]
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
        return f"{first} for {check.title} ({threshold_text(e)}). {self._meaning(claim, check)}".strip()

    def _meaning(self, claim: Json, check: Check) -> str:
        """What to make of these values, and which of the claim's prompts have none."""
        key, own = self._told[claim["id"]]["texts"], claim["prompts"]["n"] if claim["prompts"] else 0
        known, here, left = [] if key is None else self._texts[key]["ids"], set(check.ids), ""
        # The claim's own prompts come first; one that was drawn twice stands there twice.
        missing = sum(name not in here for name in known[:own])
        if here.isdisjoint(known):
            left = "Their texts are not kept: their ids and templates are known alone."
        elif own and missing == own:
            left = f"These are other prompts than the claim's {own:,}."
        elif missing:
            left = f"{missing:,} of the claim's {own:,} prompts have no value here."
        return f"{meaning(claim['expectations'][check.place], check)} {left}".strip()

    def heading(self, claim: Json, check: Check, column: Column) -> str:
        """What stands above a column."""
        name = column.name
        if column.role == "beside":
            one = "positive control" if claim["expect"] == "refuted" else "decoy"
            name = one if check.beside == 1 else f"{one}s, mean of {check.beside}"
        if column.role == "value" and check.ratio:
            name = "added to the ratio"
        return f"{name} ({column.unit})" if column.unit else name

    def python(self, claim: Json) -> str:
        """Three lines that load what the check was decided on."""
        check, file = self.shown(claim), self._told[claim["id"]]["file"]
        assert check is not None, "asked for claims with such a check only"
        i = check.place
        return f'import numpy as np\nsamples = np.load("{file}")\nids, values = samples["ids_{i}"], samples["values_{i}"]'

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
            self._sets[key] = _json(packed_texts(self._texts[key]))
        return self._sets[key]

    def _packed(self, claim: Json, check: Check, key: str | None, pack: Pack, group: str) -> Json:
        """A check for a script: what is the same for several checks of the page, as a clean value is, is packed once."""
        expectation = claim["expectations"][check.place]
        chosen = sorted(check.order[:MOST])
        rows = [-1] * len(chosen) if key is None else [self._rows[key].get(check.ids[i], -1) for i in chosen]
        unknown = [[check.templates[i], check.ids[i]] for i in chosen] if -1 in rows else None
        return {
            "title": check.title,
            "claimed": threshold_text(expectation),
            "meaning": self._meaning(claim, check),
            "side": check.side,
            "tie": check.tie,
            "edges": _ends(expectation),
            "n": len(check.ids),
            "bins": None if len(chosen) == len(check.ids) else bins(check, _ends(expectation)),
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
        parts = parts_of(texts, at, answer, foil)
        return Line(parts, None if any(part.look == "ans" for part in parts) else answer, values, wrong)


def _ends(expectation: Json) -> tuple[float, ...]:
    """The thresholds that stand on the axis of single values."""
    return () if expectation["kind"] == "rate" or region(expectation) == (None, None) else edges(expectation)


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
