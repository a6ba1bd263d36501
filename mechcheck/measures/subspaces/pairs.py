"""Pairs of prompts, base and source, and the token that the base is expected to say with what is taken from the source."""

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import NamedTuple

import torch
from jaxtyping import Int
from torch import Tensor

from mechcheck.base.errors import PromptError, SiteError
from mechcheck.notation.sites import Site, Sites
from mechcheck.prompts.prompt_set import PromptSet

Tokens = Int[Tensor, " prompt"] | Sequence[int]


class Pairs(NamedTuple):
    """Base prompts and sources, aligned one for one. Of both the answer is what the base says, the foil what it is expected to say."""

    base: PromptSet
    source: PromptSet


def pairs_of(prompts: PromptSet, source: PromptSet | None = None, expected: Tokens | None = None) -> Pairs:
    """The pairs, with what is expected of each in the foils.

    Args:
        prompts: the bases.
        source: aligned prompts; the counterfactual by default.
        expected: one token each. By default the source's answers, where it asks for others than the base does; else the foils.

    Raises:
        PromptError: no source, or one of another number of prompts; no foils where they are needed; nothing that could be told apart.
    """
    other = source or prompts.counterfactual
    if other is None:
        raise PromptError("an interchange takes activations from a source: give source=<aligned prompts>, or prompts with a counterfactual")
    if len(other) != len(prompts):
        raise PromptError(f"{len(other)} sources for {len(prompts)} prompts; they must be aligned one for one")
    answers = prompts.asked("answers")
    if expected is None:
        own = other.answers
        wanted = own if len(own) and not torch.equal(own, answers) else prompts.asked("foils")
    else:
        wanted = torch.as_tensor(expected)
        if wanted.shape != answers.shape or wanted.is_floating_point() or wanted.dtype == torch.bool:
            raise PromptError(f"expected=... is one token id for each of {len(prompts)} prompts, got shape {tuple(wanted.shape)}")
    rivals = answers.clone()
    same = wanted == answers
    if same.any():
        rivals[same] = prompts.asked("foils")[same]
    if (wanted == rivals).any():
        row = int((wanted == rivals).int().argmax())
        raise PromptError(f"prompt {row} ({prompts.ids[row]}) is expected to say the token that it is compared with: nothing could be told")
    return Pairs(*(replace(some, answers=rivals, foils=wanted, ids=prompts.ids) for some in (prompts, other)))


def traces(*sets: PromptSet) -> frozenset[str]:
    """What prompts are known by again: their ids, and hashes of their texts, whatever these are asked."""
    found = {name for some in sets for name in some.ids}
    for some in sets:
        for row, length in zip(some.tokens.tolist(), some.lengths.tolist(), strict=True):
            found.add(hashlib.sha256(str(row[:length]).encode()).hexdigest()[:16])
    return frozenset(found)


def check_unseen(sites: Sites, *sets: PromptSet) -> None:
    """Raise where a subspace was found on some of these prompts.

    Raises:
        PromptError: names the subspace and how many of its prompts are here again.
    """
    each = [traces(*(some[[row]] for some in sets)) for row in range(len(sets[0]))]
    _refuse_seen(sites, each)


def check_ids_unseen(sites: Sites, ids: Iterable[str]) -> None:
    """Raise where a subspace was found on prompts with some of these ids.

    Raises:
        PromptError: as `check_unseen`.
    """
    _refuse_seen(sites, [frozenset([name]) for name in ids])


def _refuse_seen(sites: Sites, prompts: Sequence[frozenset[str]]) -> None:
    for site in sites:
        fitted_on = getattr(site.code, "fitted_on", None) or frozenset()
        again = sum(bool(known & fitted_on) for known in prompts)
        if again:
            raise PromptError(
                f"{site} was fitted on {again} of these prompts, or on their sources, so what it does there is no evidence: verify it on "
                'others, for example those of split="verify"'
            )


def single(sites: Sites, prompts: PromptSet) -> Site:
    """The one site at which a subspace is fitted.

    Raises:
        SiteError: none or several, one within a subspace already, or one that does not stand at one position of each prompt.
    """
    members = list(sites)
    if len(members) != 1 or members[0].at is None or prompts.several(members[0].at):
        raise SiteError(f"a subspace is fitted at one site and one named position, for example resid('1@END'), got {sites or 'none'}")
    if members[0].code is not None:
        raise SiteError(f"{members[0]} is within a subspace already: name the site alone")
    if members[0].kind == "pattern" or (members[0].kind == "neuron" and not members[0].together):
        raise SiteError(f"no subspace is fitted at {members[0].named}: name a head, a stream, or an MLP's output or hidden activation")
    return members[0]
