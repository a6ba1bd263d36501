"""Truth tables: what must come out when a compiled model's heads are silenced, averaged, resampled or patched, and why."""

from dataclasses import dataclass
from typing import Literal, NamedTuple

Method = Literal["untouched", "zero", "mean", "resample", "patch"]
"""How the roles' heads are changed. Mean and resample draw from the task's reference (three other people; fresh tokens),
patch from its counterfactual (second subject flipped; nothing to repeat)."""


class Near(NamedTuple):
    """A number with its tolerance."""

    value: float
    within: float


ABLATIONS: tuple[Method, ...] = ("zero", "mean", "resample")
CHANGES: tuple[Method, ...] = (*ABLATIONS, "patch")
CERTAIN, NEVER = Near(1.0, 0.001), Near(0.0, 0.001)


class Attention(NamedTuple):
    """The mean attention of a role's heads between two named positions."""

    role: str
    query: str
    key: str
    expected: Near


@dataclass(frozen=True)
class Row:
    """One line of a truth table: an intervention and everything it must lead to."""

    roles: tuple[str, ...]
    """Roles whose heads are changed, all at once; none for the untouched model."""
    method: Method
    why: str
    logit_diff: Near | None = None
    """Mean over prompts, in logits."""
    prefers_foil: Near | None = None
    """Share of prompts with a logit difference below 0."""
    attention: tuple[Attention, ...] = ()

    def __str__(self) -> str:
        return f"{self.method} {' + '.join(self.roles)}".strip()
