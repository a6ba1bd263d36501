"""The kinds of figures, each with its numbers readable without a script: which kind is prepared by what."""

from collections.abc import Callable
from typing import Any

from mechcheck.drawing import attention, charts, graph, heatmaps

Json = dict[str, Any]

_PREPARED: dict[str, Callable[[Json], Any]] = {
    "heatmap": lambda figure: (heatmaps.compared if "others" in figure["data"] else heatmaps.heatmap)(figure),
    "lens": heatmaps.lens,
    "lines": charts.lines,
    "bars": charts.bars,
    "search": charts.search,
    "table": charts.table,
    "circuit": graph.graph,
    "attention": attention.view,
}


def prepared(figure: Json) -> Any:
    """What the template of the figure's kind draws; None for a kind that only a newer version knows."""
    prepare = _PREPARED.get(figure["kind"])
    return prepare(figure) if prepare else None
