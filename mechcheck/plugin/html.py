"""pytest-html: columns for verdict, effect, interval and n, and a link from each claim to its place on the evidence page.

Register an `HtmlAdapter` only where pytest-html may be installed; its hooks are optional, so that nothing breaks without it.
"""

import os
from html import escape
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from mechcheck.plugin.properties import attached
from mechcheck.report import anchor, percent, rank, row, sort_key, with_unit

# Behind "Result" and "Test", whose places other plugins rely on.
_AT = 2


def _cell(name: str, text: str = "", key: str = "") -> str:
    """A table cell; pytest-html sorts by all that is in it, as text, so the key goes first and out of sight."""
    hidden = f"<span hidden>{key}</span>" if key else ""
    # A line break would end the match with which pytest-html takes the text out of the cell.
    return f'<td class="col-{name}">{hidden}{escape(" ".join(text.split()))}</td>'


def _number_key(x: float | None) -> str:
    # "~" stands behind every hexadecimal digit: a claim without a number comes after those with one.
    return "~" if x is None else sort_key(x)


def relative_link(page: Path, html_report: Path) -> str:
    """The address of the page as seen from the pytest-html report."""
    page, start = page.absolute(), html_report.absolute().parent
    try:
        return quote(Path(os.path.relpath(page, start)).as_posix())
    except ValueError:  # on another drive than the report
        return page.as_uri()


class HtmlAdapter:
    """The plugin object: `page` is where the evidence page will be, `level` the level of the run's intervals."""

    def __init__(self, page: Path, level: float = 0.95) -> None:
        self._page = page
        self._level = level
        self._link = page.name

    def pytest_configure(self, config: pytest.Config) -> None:
        """Find where pytest-html writes; pluggy calls this also for a plugin that is registered late."""
        html = config.getoption("htmlpath", None)
        if html:
            self._link = relative_link(self._page, Path(os.path.expandvars(html)).expanduser())

    @pytest.hookimpl(optionalhook=True)
    def pytest_html_results_table_header(self, cells: list[str]) -> None:
        """Name the columns."""
        columns = [("verdict", "Verdict"), ("effect", "Effect"), ("interval", f"{percent(self._level)} CI"), ("n", "n")]
        cells[_AT:_AT] = [f'<th class="sortable" data-column-type="{name}">{title}</th>' for name, title in columns]

    @pytest.hookimpl(optionalhook=True)
    def pytest_html_results_table_row(self, report: Any, cells: list[str]) -> None:
        """Fill the columns of a claim; those of any other test stay empty."""
        if not cells:  # another plugin has dropped the row
            return
        claim = attached(report)
        if claim is None:
            cells[_AT:_AT] = [_cell("verdict"), _cell("effect"), _cell("interval"), _cell("n")]
            return
        r = row(claim)
        effect = with_unit(r.effect, r.unit)
        other_level = f" ({percent(r.level)})" if r.level is not None and abs(r.level - self._level) > 1e-9 else ""
        cells[_AT:_AT] = [
            _cell("verdict", r.verdict, str(rank(claim))),
            _cell("effect", f"{effect} ({r.check})" if r.check else effect, _number_key(r.value)),
            _cell("interval", r.interval + other_level, _number_key(r.low)),
            _cell("n", r.n, _number_key(r.size)),
        ]
        address = escape(f"{self._link}#{anchor(claim['id'])}")
        link = f'<a class="col-links__extra url" target="_blank" href="{address}">evidence</a>'
        for i, cell in enumerate(cells):
            if 'class="col-links"' in cell:
                cells[i] = cell.replace("</td>", f"{link}</td>")
