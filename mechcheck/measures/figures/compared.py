"""Several figures of a kind as one: heatmaps beside each other on one scale; logit lenses, or attention on prompts, one at a time."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from mechcheck.base.errors import MechcheckError
from mechcheck.drawing.figure import Figure
from mechcheck.measures.figures.charts import Heatmap
from mechcheck.measures.figures.model import AttentionView, LensGrid

_TOLD_ONCE = {"heatmap": ("unit", "row_label", "col_label"), "lens": ("layers",), "attention": ()}
"""Kind -> of its data, what must be the same in all."""


@dataclass(frozen=True)
class Compared(Figure):
    """Figures that are to be compared: clean beside corrupted, one prompt after the other.

    Heatmaps stand beside each other and share one scale, which goes from the least to the greatest value of all. Of logit lenses and
    of attention one is seen at a time, the first to begin with, and a reader switches; what is picked stays picked.
    """

    title: str
    figures: Mapping[str, Heatmap] | Mapping[str, LensGrid] | Mapping[str, AttentionView]
    """What tells each from the others -> the figure, whose own title is not shown."""

    def __post_init__(self) -> None:
        made = {name: figure.data() for name, figure in self.figures.items()}
        kinds = {data["kind"] for data in made.values()}
        if len(kinds) != 1 or not kinds <= set(_TOLD_ONCE):
            raise MechcheckError(
                f"{self.title!r}: heatmaps, lens grids or attention views can be compared, and at least one, all of a kind"
            )
        (kind,) = kinds
        (first, one), *others = ((name, self._alike(kind, data["data"])) for name, data in made.items())
        for name, other in others:
            if differing := [what for what in one if one[what] != other[what]]:
                raise MechcheckError(
                    f"{self.title!r}: {first!r} and {name!r} cannot be compared, as they differ in: {', '.join(differing)}"
                )

    @staticmethod
    def _alike(kind: str, data: dict[str, Any]) -> dict[str, Any]:
        """What must be the same in all: labels, which heads there are, and whether something optional is there."""
        optional = {name: data[name] is None for name in ("p_foil", "top", "weighted") if name in data}
        heads = {"heads": [packed["head"] for packed in data["patterns"]]} if kind == "attention" else {}
        return {name: data[name] for name in _TOLD_ONCE[kind]} | heads | optional

    def data(self) -> dict[str, Any]:
        """The figure as the evidence schema has it: the first, and the others with it."""
        first, *others = ({"name": name} | figure.data()["data"] for name, figure in self.figures.items())
        kind = next(iter(self.figures.values())).data()["kind"]
        return {"kind": kind, "title": self.title, "data": first | {"others": others}}
