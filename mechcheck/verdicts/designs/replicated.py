"""An effect over training seeds, with what a reader must know beside its interval."""

from collections.abc import Mapping
from dataclasses import replace

from mechcheck.stats.estimates import Confidence
from mechcheck.stats.measurement import Measurement
from mechcheck.stats.replication import Replication, replication
from mechcheck.verdicts.verdict import Region


def replicated(effects: Mapping[str, Measurement], region: Region, confidence: Confidence) -> Replication:
    """The same as `replication`, whose caveat says what the seeds do one by one."""
    found = replication(effects, confidence)
    low, high = found.another
    alone = f"by itself so in {found.supported(*region)} of {len(found.by_seed)} seeds"
    apart = f"seeds differ by {found.between:.2g} (I^2 {found.heterogeneity:.0%})"
    told = "; ".join(filter(None, [found.estimate.caveat, alone, apart, f"another such seed: {low:.3g} to {high:.3g}"]))
    estimate = replace(found.estimate, caveat=told)
    return replace(found, estimate=estimate, interval=replace(found.interval, estimate=estimate))
