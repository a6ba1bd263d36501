"""What a calibration came to: a table for the terminal, and a page that is made of the same numbers."""

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any, NamedTuple

from mechcheck.base.text import columns

Json = Mapping[str, Any]


class Row(NamedTuple):
    """A line of a table."""

    name: str
    path: tuple[str, ...]
    """Where its shares stand in a profile's results."""
    wanted: str = ""


HEADLINES = (
    Row("null claims decided (threshold at the true value)", ("false_positive_rate",), "5% nominal"),
    Row("true claims supported, 1 standard error away", ("power_by_distance", "1")),
    Row("true claims supported, 2 standard errors away", ("power_by_distance", "2")),
    Row("true claims supported, 4 standard errors away", ("power",), "95%"),
    Row("true claims inconclusive, at the three distances", ("inconclusive_rate",)),
    Row("true claims refuted", ("true_claims_refuted",), "2.5% at most"),
    Row("false claims supported", ("false_claims_supported",), "2.5% at most"),
    Row("vacuous expectations found", ("vacuity_detection",), "95%"),
    Row("true claims about one circuit or model called vacuous", ("true_called_vacuous",), "5% at most"),
    Row("null claims whose interval is said not to be valid", ("not_valid",)),
)
SECTIONS = (
    ("Null claims decided, by kind of expectation", ("null_by_kind",)),
    ("True claims supported at 4 standard errors, by kind of expectation", ("power_by_kind", "4")),
    ("True claims supported at 4 standard errors, by data", ("power_by_data",)),
    ("True claims supported at 4 standard errors, by number of templates", ("power_by_templates",)),
    ("Most that can be had there: a t test of normal values", ("power_of_a_t_test",)),
    ("False claims supported, by what makes them false", ("false_by_kind",)),
    ("Vacuous expectations found, by the alternatives and how many of them satisfy it", ("vacuity_by_share",)),
    ("Searches (for_all)", ("for_all",)),
    ("Null claims decided, by task and model", ("null_by_subject",)),
    ("True claims supported at 4 standard errors, by task and model", ("power_by_subject",)),
)


def share_text(share: Json | float | None) -> str:
    """A share with its interval: "4.9% [4.4%, 5.4%] of 8000"; "-" where there is none."""
    if isinstance(share, float):
        return f"{share:.1%}"
    if share is None or share["value"] is None:
        return "-"
    return f"{share['value']:.1%} [{share['low']:.1%}, {share['high']:.1%}] of {share['n']}"


def _at(result: Json, path: Sequence[str]) -> Any:
    found: Any = result
    for key in path:
        found = found.get(key) if isinstance(found, Mapping) else None
    return found


def table(results: Mapping[str, Json]) -> list[str]:
    """The headlines, a column for each profile, and what they are of."""
    lines = [[row.name, *(share_text(_at(result, row.path)) for result in results.values()), row.wanted] for row in HEADLINES]
    lines.insert(0, ["", *results, "wanted"])
    return [*columns(lines), *(f"{profile}: {_of(result)}" for profile, result in results.items())]


def _of(result: Json) -> str:
    of = result["of"]
    return (
        f"{of['prompts']} prompts and at most {of['decoys']} decoys a claim, {of['claims']} null claims, seed {of['seed']}, "
        f"on {', '.join(of['subjects'])}"
    )


def page(results: Mapping[str, Json]) -> str:
    """The same and more as one HTML file that needs no other, and no script."""
    parts = [_html_table([(row.name, row.path, row.wanted) for row in HEADLINES], results, wanted=True)]
    for title, path in SECTIONS:
        names = list(dict.fromkeys(name for result in results.values() for name in (_at(result, path) or {})))
        if names:
            parts += [f"<h2>{escape(title)}</h2>", _html_table([(name, (*path, name), "") for name in names], results)]
    parts += [f"<p>{escape(profile)}: {escape(_of(result))}</p>" for profile, result in results.items()]
    return _PAGE.format(body="\n".join(parts))


def _html_table(rows: Sequence[tuple[str, Sequence[str], str]], results: Mapping[str, Json], *, wanted: bool = False) -> str:
    last = ["wanted"] if wanted else []
    head = "".join(f'<th scope="col">{escape(name)}</th>' for name in ["", *results, *last])
    body = []
    for name, path, target in rows:
        cells = [share_text(_at(result, path)) for result in results.values()] + ([target] if wanted else [])
        body.append(f'<tr><th scope="row">{escape(name)}</th>' + "".join(f"<td>{escape(cell)}</td>" for cell in cells) + "</tr>")
    return f"<table><thead><tr>{head}</tr></thead><tbody>{''.join(body)}</tbody></table>"


_PAGE = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Calibration of verdicts</title>
<style>
:root {{ color-scheme: light dark; }}
body {{ font: 15px/1.5 system-ui, sans-serif; max-width: 75rem; margin: 2rem auto; padding: 0 1rem; }}
table {{ border-collapse: collapse; display: block; overflow-x: auto; }}
th, td {{ text-align: left; padding: .2rem 1rem .2rem 0; border-bottom: 1px solid #8884; font-variant-numeric: tabular-nums; }}
tbody th {{ font-weight: normal; }}
</style>
<h1>Calibration of verdicts</h1>
<p>Claims were planted of which it is known whether they are true, and decided as every claim is. Shares have exact 95% intervals.</p>
{body}
</html>
"""
