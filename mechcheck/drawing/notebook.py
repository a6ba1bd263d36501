"""What a notebook shows: a figure as a picture, a few facts as a table. Nothing here styles the page around it."""

from collections.abc import Iterable, Sequence
from typing import Any

from markupsafe import Markup, escape

from mechcheck.drawing import charts
from mechcheck.drawing.page import page
from mechcheck.drawing.picture import picture
from mechcheck.drawing.text import visible

Json = dict[str, Any]


def shown(figure: Json) -> str:
    """A figure: a picture, a table, or, where one picks heads and tokens or switches between grids, a page within the page."""
    if figure["kind"] == "table":
        view = charts.table(figure)
        return table(figure["title"], view.head, view.rows, view.numeric)
    if figure["kind"] == "attention" or (figure["kind"] == "lens" and "others" in figure["data"]):
        return _within(figure)
    return picture(figure)


def table(title: str, head: Sequence[str], rows: Iterable[Sequence[str]], numeric: Sequence[bool]) -> str:
    """A table; columns of numbers are set to the right."""
    sides = ["right" if right else "left" for right in numeric]
    top, *lines = (_line(tag, row, sides) for tag, row in [("th", head), *(("td", row) for row in rows)])
    return visible(Markup("<table>{}<thead>{}</thead><tbody>{}</tbody></table>").format(_caption(title), top, Markup("").join(lines)))


def facts(title: str, told: Iterable[tuple[str, str]], drawn: str = "") -> str:
    """Names and what is to be said of them, below each other, and a picture (SVG) below these."""
    lines = [Markup("<tr>{}{}</tr>").format(_cell("th", name, "left"), _cell("td", said, "left")) for name, said in told]
    listed = Markup("<table>{}<tbody>{}</tbody></table>").format(_caption(title), Markup("").join(lines))
    return visible(Markup("<div>{}{}</div>").format(listed, Markup(drawn)))


def _caption(title: str) -> Markup:
    return Markup('<caption style="text-align:left;font-weight:600">{}</caption>').format(title) if title else Markup("")


def _line(tag: str, cells: Sequence[str], sides: Sequence[str]) -> Markup:
    return Markup("<tr>{}</tr>").format(Markup("").join(_cell(tag, said, side) for said, side in zip(cells, sides, strict=True)))


def _cell(tag: str, said: str, side: str) -> Markup:
    return Markup('<{0} style="text-align:{1};padding-right:1em">{2}</{0}>').format(Markup(tag), side, said)


def _within(figure: Json) -> str:
    """The page of a figure in a frame of its own, which may run the page's script and nothing else of the notebook's."""
    frame = Markup(
        '<iframe sandbox="allow-scripts allow-downloads" title="{}" style="width:100%;height:{}px;border:0;resize:vertical" '
        'srcdoc="{}"></iframe>'
    ).format(figure["title"], _high(figure), escape(page(figure)))
    return str(frame)


def _high(figure: Json) -> int:
    """Pixels in which all of it can be seen, about; of several prompts, the longest."""
    every = [figure["data"], *figure["data"].get("others", ())]
    if figure["kind"] == "lens":
        return 260 + 24 * len(every[0]["layers"])
    across = max(len(one["tokens"]) for one in every)
    picked = 330 + 60 * (len(every[0]["patterns"]) // 20) + 40 * (len(every) > 1)
    return picked + max(120, min(24 * across, 440) + 90)
