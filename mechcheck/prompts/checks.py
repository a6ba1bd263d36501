"""What must hold of prompts before they become a set: lengths, counts, positions, alignment."""

from collections.abc import Mapping, Sequence, Sized
from typing import Any

from torch import Tensor

from mechcheck.base.errors import PromptError
from mechcheck.base.text import no_text


def position_names(given: Sequence[str] | str) -> list[str]:
    """Names of positions that are given as one name or as several.

    Raises:
        PromptError: none.
    """
    named = [given] if isinstance(given, str) else list(given)
    if not named:
        raise PromptError("positions is empty: name at least one (END, say), or leave it out where every position is meant by that")
    return named


def check_lengths(lengths: Sequence[int], *, padded: bool) -> None:
    """Raise unless there are prompts, none of them empty, and all equally long where nothing fills the shorter ones."""
    if not lengths or not all(lengths):
        raise PromptError("no prompts, or an empty prompt")
    if len(set(lengths)) > 1 and not padded:
        raise PromptError(
            f"prompts of different lengths ({min(lengths)} to {max(lengths)} tokens): "
            "give pad=<token id> to fill them on the right, or make them equally long"
        )


def check_counts(n: int, values: Mapping[str, Sized | None]) -> None:
    """Raise unless everything that is given is given for each of the `n` prompts."""
    for what, given in values.items():
        if given is None:
            continue
        if not _is_sized(given):
            raise PromptError(f"{what}: one for each of {n} prompts is expected, got {given!r:.60}")
        if len(given) != n:
            raise PromptError(f"{len(given)} {what} for {n} prompts")


def _is_sized(given: object) -> bool:
    """Whether there can be one for each prompt in it; one text is none for each, nor is an array of one number."""
    return not isinstance(given, str | bytes) and isinstance(given, Sized) and getattr(given, "ndim", 1) > 0 and not isinstance(given, type)


def check_aligned(n: int, others: Mapping[str, Sized | None]) -> None:
    """Raise unless the counterfactual and the reference, as far as they are given, have a prompt for each of the `n` prompts."""
    for name, other in others.items():
        if other is not None and not _is_sized(other):
            raise PromptError(f"the {name} is {other!r:.60}, and it must have a prompt for each of {n}")
        if other is not None and len(other) != n:
            raise PromptError(f"the {name} has {len(other)} prompts for {n}; they must stand one for one")


def named_by_text(given: object, what: str) -> Mapping[str, Any]:
    """What is given by name, if it is given so; nothing where nothing is.

    Raises:
        PromptError: no mapping, or one whose keys are no names.
    """
    if given is None:
        return {}
    if not isinstance(given, Mapping) or not all(isinstance(name, str) and at is not None for name, at in given.items()):
        raise PromptError(f"{what} is a mapping from names, as in {what}={{'S2': [...]}}, not {given!r:.60}")
    return given


def template_ids(given: Sequence[str] | None, n: int) -> tuple[str, ...]:
    """The template of each of the `n` prompts; all one where none are given.

    Raises:
        PromptError: something else than text.
    """
    for number, one in enumerate(() if given is None else given):
        if problem := no_text(one):
            raise PromptError(f"the template of prompt {number}: {problem}")
    return ("all",) * n if given is None else tuple(given)


def check_list(given: object, what: str) -> None:
    """Raise unless something is given for each prompt; one text is a list of its letters to Python, and never meant so."""
    if isinstance(given, str | bytes) or not isinstance(given, Sequence):
        raise PromptError(f"{what}: a list with one for each prompt is expected, not {given!r:.60}")


def check_companions(*, decode: object, **others: object) -> None:
    """Raise unless the counterfactual and the reference are prompts, and `decode` a mapping, as far as they are given."""
    for name, other in others.items():
        if other is not None and not hasattr(other, "lengths"):
            raise PromptError(f"the {name} is a PromptSet, not {other!r:.60}")
    if decode is not None and not isinstance(decode, Mapping):
        raise PromptError(f"decode is a mapping from token ids to their texts, not {decode!r:.60}")


def check_positions(named: Mapping[str, Tensor], lengths: Sequence[int], cut: Sequence[int] | None = None) -> None:
    """Raise unless each named position is one of its prompt's own tokens, and none of the padding; `cut` of which stood in front."""
    for name, at in named.items():
        for prompt, (position, length, front) in enumerate(zip(at.tolist(), lengths, cut or [0] * len(lengths), strict=True)):
            if not 0 <= position < length:
                raise PromptError(
                    f"position {name} is {position + front} in prompt {prompt}, which has tokens {front}-{front + length - 1}"
                )
