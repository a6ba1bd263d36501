"""Caveat of what interventions can show: noising that something is needed, denoising that it is enough."""

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

import torch

from mechcheck.base.errors import MechcheckError, NonFiniteError
from mechcheck.engine.run import run
from mechcheck.evidence.caveats.known import HEIMERSHEIM
from mechcheck.notation.interventions import Ablate, Intervention, KnockOut, Noise, Patch, Permute, Scale
from mechcheck.notation.metrics import logit_diff

if TYPE_CHECKING:
    from transformer_lens.model_bridge import TransformerBridge

    from mechcheck.engine.watch import Ran
    from mechcheck.evidence.caveats.jointly import Subject, SubjectOf
    from mechcheck.notation.sites import Sites
    from mechcheck.prompts.prompt_set import PromptSet

Direction = Literal["noised", "denoised", "either"]
"""Noised: a clean run lost what made it so at some sites; denoised: a corrupted one got it back there. Either: nobody can tell."""
_HEADS = ("head", "q", "k", "v", "pattern")
_PARTS = (*_HEADS, "mlp_out", "attn_out")
"""Kinds of which a model has so many, so that one can tell whether most were changed, which is a change of all but the others."""


@dataclass
class Directions:
    """In which directions a claim changed what."""

    found: "dict[tuple[Direction, Sites, int], TransformerBridge | None]" = field(default_factory=dict)
    """In which model each was, too."""
    patched: "dict[tuple[int, int], tuple[TransformerBridge | None, PromptSet]]" = field(default_factory=dict)
    """Corrupted prompts whose activations were put into clean runs, and of which model."""
    judged: bool = True
    """False once something was changed of which nobody can tell which way it goes."""

    def add(self, ran: "Ran") -> None:
        """What was changed in one run."""
        for one in (one for variant in ran.variants for one in variant) if self.judged else ():
            way = direction_of(one, ran.prompts)
            if way == "either" or any(site.to is not None for site in one.sites):
                self.judged = False
                self.found.clear()
                return
            self.found[way, one.sites, id(ran.model)] = ran.model
            if way == "noised" and isinstance(one, Patch) and (source := one.source or ran.prompts.counterfactual) is not None:
                self.patched[id(ran.model), id(source)] = ran.model, source

    def look_at_corrupted(self, subject_of: "SubjectOf") -> None:
        """Run the corrupted prompts: where the model prefers the foil there, they have an answer of their own, and what is patched from
        them brings that as it takes the other, so that nobody can tell which way it goes."""
        for where, source in self.patched.values():
            if not self.judged:
                return
            model = subject_of(where).model
            if model is None:
                continue
            with suppress(MechcheckError, NonFiniteError):  # without foils there is no other answer
                self.judged &= not run(model, source, metric=logit_diff).mean < 0


def direction_of(intervention: Intervention, prompts: "PromptSet") -> Direction:
    """Which way an intervention in a run of these prompts goes.

    A patch between prompts that are asked for other answers goes either way: what is noising for the one is denoising for the other. So
    does steering, which is neither.
    """
    match intervention:
        case Ablate() | Noise() | Permute():
            return "noised"
        case KnockOut():
            return "either" if intervention.only else "noised"
        case Scale():
            return "noised" if 0 <= intervention.factor < 1 else "either"
        case Patch():
            source = intervention.source or prompts.counterfactual
            if source is None or not _ask_the_same(prompts, source):
                return "either"
            return (
                "noised" if _alike(prompts.counterfactual, source) else "denoised" if _alike(source.counterfactual, prompts) else "either"
            )
    return "either"


def _alike(one: "PromptSet | None", other: "PromptSet") -> bool:
    """Whether these are the same prompts, whatever is asked of them: a corrupted prompt may be asked for the clean one's answer."""
    return one is other or (one is not None and torch.equal(one.tokens, other.tokens))


def _ask_the_same(prompts: "PromptSet", source: "PromptSet") -> bool:
    one, other = prompts.answers, source.answers
    return one.shape == other.shape and torch.equal(one, other) and prompts.answer_sets == source.answer_sets


def wrong_direction(kind: str | None, directions: Directions, subject_of: "SubjectOf") -> Iterator[str]:
    """A claim of necessity that only denoised, or of sufficiency that only noised, what it is about.

    To noise all but a part shows that the part is enough, so that a claim which changed what is not of its circuit, or, without a
    circuit, most of the model's parts of a kind, is not judged.
    """
    ways = {way for way, *_ in directions.found}
    if (
        not directions.judged
        or kind not in ("necessity", "sufficiency")
        or len(ways) != 1
        or not all(_own(sites, subject_of(model)) for (_, sites, _), model in directions.found.items())
    ):
        return
    if kind == "necessity" and ways == {"denoised"}:
        yield (
            "called a claim of necessity, and activations were only put back into a corrupted run: that shows them to be enough, and not "
            f"that nothing else would do; noise them in the clean run, too ({HEIMERSHEIM})"
        )
    if kind == "sufficiency" and ways == {"noised"}:
        yield (
            "called a claim of sufficiency, and activations were only taken from a clean run: that shows them to be needed, and not that "
            f"they are enough; put them into the corrupted run, or cut all else ({HEIMERSHEIM})"
        )


def _own(sites: "Sites", subject: "Subject") -> bool:
    """Whether these are what a claim is about, and not all but that."""
    model, circuit, _ = subject
    if circuit is not None:
        own = {(site.kind, site.layer, site.index) for site in circuit.sites}
        return all((site.kind, site.layer, site.index) in own for site in sites)
    if model is None or any(site.kind not in _PARTS for site in sites):
        return False
    changed = {(site.kind, site.layer, site.index) for site in sites}
    for kind in {kind for kind, _, _ in changed}:
        of = model.cfg.n_layers * (model.cfg.n_heads if kind in _HEADS else 1)
        if sum(other == kind for other, _, _ in changed) > of / 2:
            return False
    return True
