"""What a design needs of the check that it is a part of."""

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from transformer_lens.model_bridge import TransformerBridge

    from mechcheck.stats.estimates import Confidence, Estimate, Interval
    from mechcheck.stats.measurement import Measurement
    from mechcheck.verdicts.verdict import ExpectationKind, Region


class Comparing(Protocol):
    """Decides single comparisons, as `Check` does."""

    confidence: "Confidence"
    model: "TransformerBridge | None"

    def _test(
        self, kind: "ExpectationKind", measured: "Measurement", interval: "Interval", region: "Region",
        threshold: float | tuple[float, float], label: str, *, margin: float | None = None,
    ) -> "Estimate": ...  # fmt: skip

    def above(self, measured: "Measurement", threshold: float, label: str | None = None) -> "Estimate": ...

    def below(self, measured: "Measurement", threshold: float, label: str | None = None) -> "Estimate": ...

    def greater(self, a: "Measurement", b: "Measurement", margin: float = 0.0, label: str | None = None) -> "Estimate": ...

    def requires(self, measured: "Measurement", *, above: float | None = None, label: str | None = None) -> "Estimate": ...
