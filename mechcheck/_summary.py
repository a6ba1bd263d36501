"""Evidence as a Markdown table: one row per statement and parameters, one column per model."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

_MARKS = {"supported": "✓", "refuted": "✗", "inconclusive": "?", "vacuous": "∅", "errored": "!"}


def markdown(runs: Sequence[Mapping[str, Any]], only: Collection[str] = ()) -> str:
    """A table of every claim that was run (on the models `only`, if any are named).

    A cell has the verdict, the first expectation's estimate and its interval; "as claimed" marks a refutation that the
    claim predicted.
    """
    claims = [c for run in runs for c in run["claims"] if c["verdict"] != "skipped" and (not only or _model(c) in only)]
    models = list(dict.fromkeys(_model(claim) for claim in claims))
    rows: dict[tuple[str, str], dict[str, str]] = {}
    for claim in claims:
        method = ", ".join(claim["params"].values())
        rows.setdefault((claim["task"] or "", f"{claim['statement']}{f' ({method})' if method else ''}"), {})[_model(claim)] = _cell(claim)
    lines = [_line(["task", "claim", *models]), _line(["---"] * (2 + len(models)))]
    lines += [_line([task, _escape(statement), *(cells.get(model, "") for model in models)]) for (task, statement), cells in rows.items()]
    counts = {verdict: sum(claim["verdict"] == verdict for claim in claims) for verdict in _MARKS}
    said = ", ".join(f"{count} {verdict}" for verdict, count in counts.items() if count)
    return "\n".join([*lines, "", f"{len(claims)} claims: {said}; {sum(bool(claim['met']) for claim in claims)} as claimed."])


def _model(claim: Mapping[str, Any]) -> str:
    return claim["model"]["name"] if claim["model"] else "-"


def _cell(claim: Mapping[str, Any]) -> str:
    mark = f"{_MARKS[claim['verdict']]} {claim['verdict']}"
    if claim["verdict"] == "refuted" and claim["met"]:
        mark += ", as claimed"
    if not claim["expectations"]:
        return mark
    e = claim["expectations"][0]["estimate"]
    return f"{mark}<br>{e['value']:.2f} [{e['low']:.2f}, {e['high']:.2f}]"


def _line(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _escape(text: str) -> str:
    return text.replace("|", "\\|").replace("<", "&lt;").replace("\n", " ")
