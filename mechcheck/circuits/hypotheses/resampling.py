"""Which other prompt stands for a prompt: one of its template and length that agrees with it on what matters."""

from collections import defaultdict
from collections.abc import Callable, Hashable, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import torch
from torch.nn.functional import pad

from mechcheck.base.errors import CircuitError, PromptError
from mechcheck.base.seeds import seed_from
from mechcheck.prompts.one import Prompt
from mechcheck.prompts.prompt_set import PromptSet

Kind = tuple[str, int]


class Classes(NamedTuple):
    """Prompts by what matters of them."""

    of: Sequence[tuple[Kind, Hashable]]
    """Of each prompt: its template and length, and what matters."""
    members: dict[tuple[Kind, Hashable], list[int]]
    """The prompts of each, of equal ones the first alone, in the order of their ids."""
    places: Sequence[int]
    """Where each prompt, or its equal, stands among these."""

    def alone(self, rows: Sequence[int]) -> int:
        """How many of these no other agrees with."""
        return sum(len(self.members[self.of[row]]) == 1 for row in rows)


def together(prompts: PromptSet, others: PromptSet | None) -> PromptSet:
    """Prompts and others behind them, to be run: without what they are asked, with the places that both have."""
    none = torch.empty(0, dtype=torch.long)
    bare: dict[str, Any] = {
        "answers": none, "foils": none, "answer_sets": (), "foil_sets": (), "words": (),
        "counterfactual": None, "reference": None, "appended": None,
    }  # fmt: skip
    if others is None:
        return replace(prompts, **bare)
    both = (prompts, others)
    width = max(one.tokens.shape[1] for one in both)
    spans = [name for name in prompts.spans if name in others.spans]
    single = [name for name in prompts.positions if name in others.positions and name not in {*prompts.spans, *others.spans}]
    return replace(
        prompts,
        tokens=torch.cat([pad(one.tokens, (0, width - one.tokens.shape[1])) for one in both]),
        lengths=torch.cat([one.lengths for one in both]),
        positions={name: torch.cat([one.positions[name] for one in both]) for name in (*single, *spans)},
        spans={name: torch.cat([pad(one.span(name), (0, width - one.tokens.shape[1])) for one in both]) for name in spans},
        templates=prompts.templates + others.templates,
        ids=prompts.ids + others.ids,
        **bare,
    )


def kind_of(prompt: Prompt) -> Kind:
    """What must be alike for positions of one to be positions of the other."""
    return prompt.template, len(prompt.tokens)


def classes(prompts: Sequence[Prompt], feature: Callable[[Prompt], Hashable], what: str) -> Classes:
    """The prompts by a feature.

    Args:
        prompts: all that may stand for each other.
        feature: what matters.
        what: it matters to, for errors.

    Raises:
        CircuitError: the feature fails on a prompt, or gives what cannot be compared.
    """
    of: list[tuple[Kind, Hashable]] = []
    members: dict[tuple[Kind, Hashable], dict[str, int]] = defaultdict(dict)
    for row, prompt in enumerate(prompts):
        try:
            own = (kind_of(prompt), feature(prompt))
            members[own].setdefault(prompt.id, row)
        except PromptError:
            raise
        except TypeError as error:
            if "unhashable" not in str(error):
                raise _failed(what, prompt, error) from error
            raise CircuitError(
                f"what matters to {what} is {error}, which prompts cannot be compared by: let the function give a number, a text or a tuple"
            ) from error
        except Exception as error:
            raise _failed(what, prompt, error) from error
        of.append(own)
    names = {own: sorted(rows) for own, rows in members.items()}
    places = {own: {name: place for place, name in enumerate(some)} for own, some in names.items()}
    return Classes(
        of,
        {own: [members[own][name] for name in some] for own, some in names.items()},
        [places[own][prompt.id] for own, prompt in zip(of, prompts, strict=True)],
    )


def _failed(what: str, prompt: Prompt, error: Exception) -> CircuitError:
    return CircuitError(f"what matters to {what} could not be told of prompt {prompt.id}: {type(error).__name__}: {error}")


def check_resampled(prompts: Sequence[Prompt]) -> None:
    """Raise `PromptError` where a prompt has no other of its template and length."""
    sizes: dict[Kind, set[str]] = defaultdict(set)
    for prompt in prompts:
        sizes[kind_of(prompt)].add(prompt.id)
    lonely = [kind for kind, ids in sizes.items() if len(ids) < 2]
    if lonely:
        raise PromptError(
            f"what does not matter is taken from another prompt of the same template and length, and {lonely[0][0]!r} has one only "
            f"({lonely[0][1]} tokens): give at least 2 different prompts of each"
        )


def drawn(found: Classes, refs: Sequence[int], key: str, names: Sequence[str]) -> list[int]:
    """For each of `refs` another prompt of its class, itself where it is alone.

    A draw depends on the key, on the name of the prompt that it is for, and on which prompts there are: not on their order.

    Args:
        found: the classes of all prompts.
        refs: the prompts that others are to agree with.
        key: what the draws are for.
        names: of the prompts that are measured, one for each of `refs`.
    """
    chosen = []
    for ref, name in zip(refs, names, strict=True):
        alike, own = found.members[found.of[ref]], found.places[ref]
        if len(alike) == 1:
            chosen.append(ref)
        else:
            place = seed_from(f"{key}|{name}") % (len(alike) - 1)
            chosen.append(alike[place + (place >= own)])
    return chosen
