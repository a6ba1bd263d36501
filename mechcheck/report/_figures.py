"""The figures of a claim, each with its numbers readable without a script: which kind is prepared by what."""

from collections.abc import Callable
from typing import Any

from mechcheck.report import _attention, _charts, _graph, _heatmaps

Json = dict[str, Any]

_PREPARED: dict[str, Callable[[Json], Any]] = {
    "heatmap": _heatmaps.heatmap,
    "lens": _heatmaps.lens,
    "lines": _charts.lines,
    "bars": _charts.bars,
    "search": _charts.search,
    "table": _charts.table,
    "circuit": _graph.graph,
    "attention": _attention.view,
}


def prepared(figure: Json) -> Any:
    """What the template of the figure's kind draws; None for a kind that only a newer version knows."""
    prepare = _PREPARED.get(figure["kind"])
    return prepare(figure) if prepare else None
