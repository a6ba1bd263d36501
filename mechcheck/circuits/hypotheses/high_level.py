"""High-level causal models: a Python function of a prompt that names its variables, run as it is or with some of them set."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from mechcheck.base.errors import CircuitError, PromptError
from mechcheck.prompts.one import Prompt

Let = Callable[[str, Any], Any]
"""`value = let("name", value)` names a variable: it gives the value, or what the variable is set to."""
HighLevel = Callable[[Prompt, Let], int]
"""From a prompt to the token that the model is to say, by way of its variables."""


class Said(NamedTuple):
    """One run of the function."""

    output: int
    """A token."""
    values: dict[str, Any]
    """Variable -> its value, as it is read by what follows."""


def said(function: HighLevel, prompt: Prompt, given: Mapping[str, Any] | None = None) -> Said:
    """Run the function on a prompt, with the variables of `given` set to these values.

    Raises:
        CircuitError: it fails, names a variable twice, or gives something else than a token.
    """
    name = getattr(function, "__name__", "the function")
    given, values = given or {}, {}

    def let(variable: str, value: Any) -> Any:
        if variable in values:
            raise CircuitError(f"{name} names the variable {variable!r} twice; give each value a name of its own")
        values[variable] = given.get(variable, value)
        return values[variable]

    try:
        output = function(prompt, let)
    except (CircuitError, PromptError):
        raise
    except Exception as error:
        how = f" with {', '.join(map(repr, given))} set" if given else ""
        raise CircuitError(f"{name} failed on prompt {prompt.id}{how}: {type(error).__name__}: {error}") from error
    if isinstance(output, bool) or not hasattr(output, "__index__"):
        raise CircuitError(f"{name} gave {type(output).__name__}, expected the number of a token, as prompt['NAME'] gives")
    return Said(int(output), values)


def every_said(function: HighLevel, prompts: Sequence[Prompt], given: Sequence[Mapping[str, Any]] | None = None) -> list[Said]:
    """The same of several prompts, each with values of its own."""
    return [said(function, prompt, given[row] if given else None) for row, prompt in enumerate(prompts)]


def check_variables(aligned: Sequence[str], found: Sequence[Said], d_vocab: int) -> None:
    """Raise `CircuitError` unless the function names exactly the aligned variables on every prompt, and tokens that the model has."""
    for one in found:
        unnamed = [variable for variable in aligned if variable not in one.values]
        if unnamed:
            raise CircuitError(f"the variable {unnamed[0]!r} is aligned, and the function does not name it on every prompt")
        loose = [variable for variable in one.values if variable not in aligned]
        if loose:
            raise CircuitError(f"the variable {loose[0]!r} is aligned with no site: align it, or leave it a value without a name")
        if not 0 <= one.output < d_vocab:
            raise CircuitError(f"the function gave token {one.output}, and the model has tokens 0-{d_vocab - 1}")
