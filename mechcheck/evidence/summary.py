"""Evidence as a Markdown table for a CI job's page: one row per statement and parameters, one column per model."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from mechcheck.evidence.caveats.known import caveat_lines, failing_caveats
from mechcheck.evidence.deciding import deciding_check, deciding_name, estimate_text
from mechcheck.evidence.drift_text import SYMBOLS, tally, telling
from mechcheck.evidence.grids.models import models_of
from mechcheck.verdicts.words import verdict_word

LIMIT = 1024 * 1024
"""Bytes that a CI job's page takes (GitHub refuses a step summary above 1 MiB)."""

_MARKS = {
    "supported": "✓", "refuted": "✗", "inconclusive": "?", "vacuous": "∅", "not_applicable": "∘", "errored": "!", "method_dependent": "≠",
}  # fmt: skip
_GONE = 20


@dataclass
class _Row:
    """One statement and its parameters, on all models."""

    task: str
    statement: str
    claims: dict[str, Mapping[str, Any]] = field(default_factory=dict)
    """By model."""
    changes: list[str] = field(default_factory=list)
    quiet: bool = True
    """As claimed and unchanged on every model: what is left out first where there is no room."""

    @property
    def shown(self) -> str | None:
        """Which check every cell shows; None where they are not the same, or not in the same unit, so that each has to say it itself."""
        found = {
            (deciding_name(c), deciding["unit"])
            for c in self.claims.values()
            if (deciding := deciding_check(c)) and c["verdict"] != "errored"
        }
        return next(iter(found))[0] if len(found) == 1 else None if found else ""

    @property
    def several(self) -> bool:
        """Whether one of the claims has more than one check."""
        return any(len(claim["expectations"]) > 1 for claim in self.claims.values())

    def head(self) -> str:
        """The statement, and, where every cell shows the same of several checks, which."""
        which = f"<br>{_escape(self.shown)}" if self.shown and self.several else ""
        return f"{_escape(self.statement)}{which}"

    def cell(self, model: str) -> str:
        """Verdict and deciding check on a model; nothing where it was not run."""
        return _cell(self.claims[model], named=self.shown is None) if model in self.claims else ""


def markdown(runs: Sequence[Mapping[str, Any]], only: Collection[str] = (), limit: int = LIMIT, match: str = "") -> str:
    """A table of every claim that was run (on the models `only`, if any are named), of at most `limit` bytes.

    With `match`, only claims whose statement or task contains these words, whatever their case.

    A cell has the verdict, and the estimate and interval of the check that decided it. Numbers that stand in one row are of one
    check: where the claims of a row were decided by different ones, each cell names its own. "as claimed" marks a refutation that
    the claim predicted. Where a run was compared with a baseline, a column says what changed on which model. Rows that do not fit are
    left out, those in which all is as claimed and unchanged first, and a note says how many.
    """
    claims = [c for run in runs for c in run["claims"] if c["verdict"] != "skipped" and (not only or {*models_of(c), _model(c)} & {*only})]
    claims = [c for c in claims if match.lower() in f"{c['task'] or ''} {c['statement']}".lower()]
    met = list(dict.fromkeys(_model(claim) for claim in claims))
    models = sorted(met, key=lambda name: [*only, name].index(name))
    compared = [baseline for run in runs if (baseline := run["run"].get("baseline"))]
    rows = _rows(claims)
    head = ["task", "claim", *models, *(["since the baseline"] if compared else [])]
    lines = [_line(head), _line(["---"] * len(head))]
    table = [
        _line([_escape(row.task), row.head()] + [row.cell(model) for model in models] + (["<br>".join(row.changes)] if compared else []))
        for row in rows
    ]
    foot = [*_totals(claims), *(line for baseline in compared for line in _since(baseline))]
    note = "**{} of {} rows are left out, for want of room; the report has them all.**"
    room = limit - sum(_size(line) for line in [*lines, *foot, note]) - 64
    kept = _fitting(table, [row.quiet for row in rows], room)
    lines += [line for i, line in enumerate(table) if i in kept]
    if len(kept) < len(table):
        lines += ["", note.format(len(table) - len(kept), len(table))]
    return "\n".join([*lines, *foot])


def _rows(claims: Iterable[Mapping[str, Any]]) -> list[_Row]:
    rows: dict[tuple[str, str], _Row] = {}
    for claim in claims:
        method = ", ".join(claim["params"].values())
        key = (claim["task"] or "", f"{claim['statement']}{f' ({method})' if method else ''}")
        row = rows.setdefault(key, _Row(*key))
        row.claims[_model(claim)] = claim
        drift = claim.get("drift")
        if drift and drift["status"] != "same":
            row.changes.append(f"{_escape(_model(claim))}: {_change(drift)}")
        row.quiet &= bool(claim["met"]) and not failing_caveats(claim) and (not drift or drift["status"] in ("same", "new"))
    return list(rows.values())


def _fitting(lines: Sequence[str], quiet: Sequence[bool], room: int) -> set[int]:
    """The lines that fit, those that ask for attention first."""
    kept = set()
    for i in sorted(range(len(lines)), key=lambda i: (quiet[i], i)):
        if _size(lines[i]) <= room:
            kept.add(i)
            room -= _size(lines[i])
    return kept


def _totals(claims: Sequence[Mapping[str, Any]]) -> list[str]:
    counts = {verdict: sum(claim["verdict"] == verdict for claim in claims) for verdict in _MARKS}
    said = ", ".join(f"{count} {verdict_word(verdict)}" for verdict, count in counts.items() if count)
    failed = sum(bool(failing_caveats(claim)) for claim in claims)
    strict = f" {failed} failed by their caveats, as the run was strict." if failed else ""
    caveats = [f"- caveat: {_escape(line)}" for line in caveat_lines(claims)]
    lines = ["", f"{len(claims)} claims: {said}; {sum(bool(claim['met']) for claim in claims)} as claimed.{strict}"]
    return [*lines, *(["", *caveats] if caveats else [])]


def _since(baseline: Mapping[str, Any]) -> list[str]:
    lines = ["", *(f"{_escape(line)}.  " for line in tally(baseline))]
    gone = baseline["missing"]
    lines += [f"- {SYMBOLS['missing']} missing: `{claim['id'].replace('`', '')}`{_accepted(claim)}" for claim in gone[:_GONE]]
    return lines + ([f"- and {len(gone) - _GONE} more that are missing"] if len(gone) > _GONE else [])


def _change(drift: Mapping[str, Any]) -> str:
    found = telling(drift)
    numbers = ""
    if found:
        d = found["difference"]
        numbers = f" {d['value']:+.2g} [{d['low']:+.2g}, {d['high']:+.2g}]"
    return f"{SYMBOLS[drift['status']]} {drift['status']}{numbers}{_accepted(drift)}"


def _accepted(change: Mapping[str, Any]) -> str:
    known = change["accepted"]
    return f" (accepted: {_escape(known['why'])})" if known else ""


def _model(claim: Mapping[str, Any]) -> str:
    if not claim["model"]:
        return "-"
    if len(several := models_of(claim)) > 1:
        return ", ".join(several)
    model = claim["model"]
    return f"{model['name']} {model['dtype']}" if claim.get("by_dtype") else str(model["name"])


def _cell(claim: Mapping[str, Any], named: bool) -> str:
    mark = f"{_MARKS[claim['verdict']]} {verdict_word(claim['verdict'])}"
    if claim["verdict"] != "supported" and claim["met"]:
        mark += ", as claimed"
    if failing_caveats(claim):
        mark += ", failed by its caveats"
    deciding = deciding_check(claim)
    if deciding is None or claim["verdict"] == "errored":
        return mark
    said = f"{mark}<br>{estimate_text(deciding, '.2f')}"
    if deciding["kind"] == "for_all":
        broken = (found for found in claim["counterexamples"] if found["expectation"] == deciding["label"])
        said += "".join(f": {_escape(example['example'])}" for example in list(broken)[:1])
    return f"{said}<br>{_escape(deciding_name(claim))}" if named else said


def _line(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _escape(text: str) -> str:
    return text.replace("|", "\\|").replace("<", "&lt;").replace("\n", " ")


def _size(line: str) -> int:
    return len(line.encode("utf-8", "backslashreplace")) + 1
