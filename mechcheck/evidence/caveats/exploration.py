"""Caveat of prompts: what was found on them is not confirmed on them."""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from mechcheck.circuits.edge_search import ID
from mechcheck.evidence.caveats.known import HEIMERSHEIM

if TYPE_CHECKING:
    from mechcheck.notation.circuit import Circuit
    from mechcheck.prompts.prompt_set import PromptSet
    from mechcheck.stats.measurement import Measurement


def seen_prompts(circuit: "Circuit | None", sets: "Sequence[PromptSet]", samples: "Sequence[Measurement]") -> Iterator[str]:
    """Prompts that decide, and that the circuit's file says it was found on: by its list of them, or, where it has none, all or none.

    What a claim fits on the discovery prompts before it measures is right to be run on them.

    Args:
        circuit: with what its file says.
        sets: all prompts that were run.
        samples: what was measured behind each expectation.
    """
    recorded = None if circuit is None else circuit.notes.get("found_on")
    if not isinstance(recorded, dict):
        return
    known = set(str(recorded.get("ids", "")).split())
    run = {name for measured in samples for name in measured.ids}
    seen = {name for name in run if name[:ID] in known}
    for prompts in sets:
        seen |= run & {*prompts.ids} if prompts.sha256 == recorded.get("prompts_sha256") else set()
    if seen:
        split = f", split {recorded['split']!r}" if "split" in recorded else ""
        yield (
            f"{len(seen)} of {len(run)} prompts ({len(seen) / len(run):.0%}) are among those that the circuit was found on{split}: what "
            f"was chosen to fit them is not confirmed by them ({HEIMERSHEIM})"
        )
