"""One claim on one model with one set of parameters: all that is known before anything is measured."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mechcheck.base.seeds import seed_from
from mechcheck.verdicts.claim import ClaimSpec, Expected

if TYPE_CHECKING:
    from transformer_lens.model_bridge import TransformerBridge

    from mechcheck.notation.circuit import Circuit
    from mechcheck.stats.estimates import Confidence
    from mechcheck.verdicts.check import Check

PROFILES = {
    # prompts per claim, decoys per claim at most
    "smoke": (96, 16),
    "ci": (240, 16),
    "full": (960, 48),
}


@dataclass(frozen=True)
class Conditions:
    """Under what all claims of a run are measured."""

    models: tuple[str, ...]
    """Those that were asked for; none for the embedded ones."""
    device: str
    dtypes: tuple[str, ...]
    seed: int
    profile: str
    n_prompts: int
    decoys: int
    """At most; fewer where fewer tell."""
    threads: int
    """Of torch, on a CPU; 0 for its own choice."""
    circuits: Path | None = None
    """Folder with circuits that were found on this machine."""
    quiet: bool = False
    """Show no progress bars."""
    confidence: float = 0.975
    """One-sided, in every profile: intervals have level 0.95."""
    budget: int | None = None
    """Prompts that a claim may draw, part after part until it is decided; None for `n_prompts` at once."""

    @property
    def dtype(self) -> str:
        """The dtype of models that a claim does not choose itself: the first."""
        return self.dtypes[0]


@dataclass(frozen=True)
class Case:
    """A claim that is about to be measured."""

    id: str
    """The claim's own id, which does not change when its file moves: task/name[parameters]."""
    spec: ClaimSpec
    conditions: Conditions
    near: Path
    """The folder of the claim's file: circuits are looked for there first."""
    model: str | None = None
    """What the model that it runs on is called; None for a claim without one, or with a model of its own."""
    params: Mapping[str, Any] = field(default_factory=dict)
    """The test's parameters, but for the model."""
    nodeid: str = ""
    """Where pytest finds it."""
    command: str = ""
    """What measures it again."""
    line: int | None = None
    """Where the test begins in its file, counted from 1."""

    @property
    def expect(self) -> Expected:
        """The verdict that counts as met."""
        return self.spec.expected(self.model, self.params)

    @property
    def seed(self) -> int:
        """Of controls: from the claim's id and the run's seed alone."""
        return seed_from(f"{self.id}|{self.conditions.seed}", 4)

    def check(
        self, model: "TransformerBridge | None" = None, circuit: "Circuit | None" = None, *,
        draws: bool = True, confidence: "Confidence | None" = None,
    ) -> "Check":  # fmt: skip
        """A fresh check, as each run of the body needs one.

        Args:
            model: what random controls are drawn from.
            circuit: what they must avoid.
            draws: whether anybody will see its figures and counterexamples.
            confidence: with which it decides; the run's by default.
        """
        from mechcheck.notation.circuit import untraced
        from mechcheck.stats.estimates import Confidence
        from mechcheck.verdicts.check import Check

        outside = untraced(circuit).sites | untraced(circuit).edges if circuit is not None else None
        sure = Confidence(self.conditions.confidence) if confidence is None else confidence
        return Check(sure, model, outside, self.seed, draws=draws, examples=self.conditions.n_prompts, over=self.spec.over)
