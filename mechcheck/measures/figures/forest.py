"""Effects of several seeds, one under the other, with their mean over seeds: a forest plot."""

from mechcheck.measures.figures.charts import Bars
from mechcheck.stats.replication import Replication


def forest_figure(found: Replication, title: str | None = None, threshold: float | None = None) -> Bars:
    """Each seed's effect with the interval over its prompts; below, the mean over seeds with its own, and where another seed would lie.

    Args:
        found: from `check.replicates`, or `replication`.
        title: above the figure; by default the effect's name.
        threshold: where a line is drawn across all bars.
    """
    rows = [*found.by_seed.items(), ("mean over seeds", found.estimate)]
    labels, shown = [name for name, _ in rows], [estimate for _, estimate in rows]
    low, high = found.another
    return Bars(
        found.pooled.name if title is None else title,
        [*labels, "another such seed"],
        [*(one.value for one in shown), found.estimate.value],
        [*(one.low for one in shown), low],
        [*(one.high for one in shown), high],
        found.pooled.unit,
        threshold,
    )
