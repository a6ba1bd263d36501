"""Writes the table of docs/guides/published.md from the data in claims/published.

    python docs/published_table.py

A test tells when the table is not what the data say.
"""

from collections.abc import Iterator
from pathlib import Path

from mechcheck.circuits.published import Publication, published, published_names

PAGE = Path(__file__).parent / "guides" / "published.md"
BEGIN, END = "<!-- table: begin -->", "<!-- table: end -->"
# Every publication is in the rehearsal (tests/whole/test_published_rehearsal.py); no model hub is
# within reach where this is written.
RUN_HERE = "no; rehearsed"


def with_table(page: str) -> str:
    """The page with the table that the data make."""
    before, rest = page.split(BEGIN)
    _, after = rest.split(END)
    return f"{before}{BEGIN}\n\n{table()}\n{END}{after}"


def table() -> str:
    """A row for each figure, and below what was left out."""
    papers = [published(name) for name in published_names()]
    head = [
        "| paper | claim | figure | counts as found again | model | run here |",
        "|---|---|---|---|---|---|",
    ]
    rows = [row for paper in papers for row in _rows(paper)]
    left = [f"- {paper.source}: {'; '.join(paper.left_out)}." for paper in papers if paper.left_out]
    return "\n".join([*head, *rows, "", "What is not here, and why:", "", *left, ""])


def _rows(paper: Publication) -> Iterator[str]:
    for figure in paper.values():
        source, models = f"{paper.source}, {figure.where}", ", ".join(paper.models)
        cells = (source, figure.claim, str(figure), figure.replicates, models, RUN_HERE)
        yield f"| {' | '.join(cells)} |"


if __name__ == "__main__":
    PAGE.write_text(with_table(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
