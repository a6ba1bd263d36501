"""What a design needs of the check that it is a part of."""

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from transformer_lens.model_bridge import TransformerBridge

    from mechcheck.stats.estimates import Confidence, Estimate
    from mechcheck.stats.measurement import Measurement


class Comparing(Protocol):
    """Decides single comparisons, as `Check` does."""

    confidence: "Confidence"
    model: "TransformerBridge | None"

    def above(self, measured: "Measurement", threshold: float, label: str | None = None) -> "Estimate": ...

    def greater(self, a: "Measurement", b: "Measurement", margin: float = 0.0, label: str | None = None) -> "Estimate": ...

    def requires(self, measured: "Measurement", *, above: float | None = None, label: str | None = None) -> "Estimate": ...
