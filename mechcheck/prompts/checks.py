"""What must hold of prompts before they become a set: lengths, counts, positions, alignment."""

from collections.abc import Mapping, Sequence, Sized

from torch import Tensor

from mechcheck.base.errors import PromptError


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
        if given is not None and len(given) != n:
            raise PromptError(f"{len(given)} {what} for {n} prompts")


def check_aligned(n: int, others: Mapping[str, Sized | None]) -> None:
    """Raise unless the counterfactual and the reference, as far as they are given, have a prompt for each of the `n` prompts."""
    for name, other in others.items():
        if other is not None and len(other) != n:
            raise PromptError(f"the {name} has {len(other)} prompts for {n}; they must stand one for one")


def check_positions(named: Mapping[str, Tensor], lengths: Sequence[int], cut: Sequence[int] | None = None) -> None:
    """Raise unless each named position is one of its prompt's own tokens, and none of the padding; `cut` of which stood in front."""
    for name, at in named.items():
        for prompt, (position, length, front) in enumerate(zip(at.tolist(), lengths, cut or [0] * len(lengths), strict=True)):
            if not 0 <= position < length:
                raise PromptError(
                    f"position {name} is {position + front} in prompt {prompt}, which has tokens {front}-{front + length - 1}"
                )
