"""Truth tables, measured: does a compiled model do under an intervention what its table says?"""

from collections.abc import Iterable
from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor

from mechcheck.compiled import Attention, Near, Row
from mechcheck.engine.edit import Rows
from mechcheck.engine.hooks import Reader
from mechcheck.engine.run import observe_all
from mechcheck.measures.attention.patterns import pattern_hook
from mechcheck.notation.circuit import Circuit
from mechcheck.notation.interventions import Ablate, Intervention, Patch
from mechcheck.notation.metrics import logit_diff
from mechcheck.notation.sites import Sites
from mechcheck.prompts.prompt_set import PromptSet

if TYPE_CHECKING:
    from transformer_lens.model_bridge import TransformerBridge


class Found(NamedTuple):
    """One measured number of a row."""

    what: str
    expected: Near
    measured: float

    @property
    def agrees(self) -> bool:
        """Within the tolerance."""
        return abs(self.measured - self.expected.value) <= self.expected.within


def row_interventions(row: Row, circuit: Circuit) -> list[Intervention]:
    """What the engine has to do for a row."""
    if row.method == "untouched":
        return []
    sites = Sites(site for role in row.roles for site in circuit[role])
    return [Patch(sites)] if row.method == "patch" else [Ablate(sites, row.method)]


def measure_row(model: "TransformerBridge", prompts: PromptSet, row: Row, circuit: Circuit) -> list[Found]:
    """Measure everything that a row says, in one forward pass under its interventions.

    Args:
        model: the compiled model.
        prompts: prompts of its task.
        row: a line of its truth table.
        circuit: its roles (`known_circuit`).
    """
    readers: dict = {(i, place): _reader(place, wanted) for i, wanted in enumerate(row.attention) for place in circuit[wanted.role].pairs}
    seen = observe_all(model, prompts, readers, row_interventions(row, circuit))
    found = []
    for i, wanted in enumerate(row.attention):
        shares = [float(seen.recorded[i, place].cpu().double().mean()) for place in circuit[wanted.role].pairs]
        found.append(Found(f"{wanted.role}: attention from {wanted.query} to {wanted.key}", wanted.expected, sum(shares) / len(shares)))
    preference = logit_diff(seen.logits, prompts).cpu()
    if row.logit_diff is not None:
        found.append(Found("logit difference", row.logit_diff, float(preference.mean())))
    if row.prefers_foil is not None:
        found.append(Found("share that prefers the foil", row.prefers_foil, float((preference < 0).double().mean())))
    return found


def disagreements(model: "TransformerBridge", prompts: PromptSet, rows: Iterable[Row], circuit: Circuit) -> list[str]:
    """Every number of the truth table that is not measured as it must be; empty if the instrument and the model agree."""
    return [
        f"{row}: {found.what} is {found.measured:.4g}, must be {found.expected.value:g} within {found.expected.within:g} ({row.why})"
        for row in rows
        for found in measure_row(model, prompts, row, circuit)
        if not found.agrees
    ]


def _reader(place: tuple[int, int], wanted: Attention) -> Reader:
    """One head's attention between two named positions: [row]."""
    layer, head = place

    def keep(pattern: Tensor, rows: Rows) -> Tensor:
        row = torch.arange(len(pattern), device=pattern.device)
        return pattern[row, head, rows.at(wanted.query).to(pattern.device), rows.at(wanted.key).to(pattern.device)]

    return pattern_hook(layer), keep
