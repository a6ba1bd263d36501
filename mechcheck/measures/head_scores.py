"""One number per head and prompt."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from mechcheck.base.errors import SiteError
from mechcheck.drawing.figure import Pictured
from mechcheck.measures.figures.charts import Heatmap, head_heatmap
from mechcheck.notation.sites import Sites, heads
from mechcheck.stats.arrays import LikeArray
from mechcheck.stats.measurement import Measurement


@dataclass(frozen=True, eq=False)
class HeadScores(Pictured, LikeArray):
    """A score of every head on every prompt. To numpy it is its values: `scores[0, 3]` are head 0.3's, one per prompt."""

    values: Float[np.ndarray, "layer head prompt"]
    ids: tuple[str, ...]
    """Prompt ids."""
    templates: tuple[str, ...]
    """Template id of each prompt."""
    name: str = ""
    unit: str = ""

    @property
    def mean(self) -> Float[np.ndarray, "layer head"]:
        """The mean over prompts."""
        return self.values.mean(-1)

    def figure(self, title: str | None = None) -> Heatmap:
        """The mean over prompts as a heatmap of layers and heads; the title is the scores' name unless told otherwise."""
        return head_heatmap(self.name if title is None else title, self.mean, self.unit)

    def of(self, sites: Sites | str) -> Measurement:
        """The mean over these heads, for each prompt. Positions in the sites do not matter."""
        pairs = sorted(set(heads(sites).pairs))
        if not pairs:
            raise SiteError("no heads are given; write some, for example heads('9.6')")
        n_layers, n_heads, _ = self.values.shape
        unknown = [f"{layer}.{head}" for layer, head in pairs if not (0 <= layer < n_layers and 0 <= head < n_heads)]
        if unknown:
            raise SiteError(f"no head {unknown[0]}: the scores are of layers 0-{n_layers - 1}, heads 0-{n_heads - 1}")
        values = np.mean([self.values[layer, head] for layer, head in pairs], axis=0)
        return Measurement(values, self.ids, self.templates, self.name, self.unit)

    def top(self, n: int) -> tuple[tuple[int, int], ...]:
        """(layer, head) of the `n` heads with the largest mean, largest first; `heads(scores.top(3))` makes sites of them."""
        order = np.argsort(-self.mean, axis=None, kind="stable")[:n]
        return tuple((int(i) // self.values.shape[1], int(i) % self.values.shape[1]) for i in order)
