"""An effect along training: its mean at each checkpoint, and between which checkpoints it began."""

from mechcheck.measures.figures.charts import Lines
from mechcheck.stats.onset import Onset


def onset_figure(found: Onset, title: str | None = None) -> Lines:
    """The effect at each checkpoint with its interval, the threshold, and the onset in the title.

    Args:
        found: from `check.onset`, or `onset`.
        title: above the figure, before the onset; by default the effect's name.
    """
    label = f"{found.name or 'effect'}, with {found.level:.0%} interval"
    values = [one.value for one in found.estimates]
    ends = [one.low for one in found.estimates], [one.high for one in found.estimates]
    series = {label: values, f"threshold {found.threshold:g}": [found.threshold] * len(values)}
    return Lines(
        f"{found.name if title is None else title}: {found.text}",
        found.steps,
        series,
        "training step",
        found.unit or found.name,
        {label: ends},
    )
