"""A claim's body with the arguments that it was given, to be run again under others."""

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, TypeVar

from mechcheck.base.errors import ClaimError, NonFiniteError
from mechcheck.base.text import did_you_mean
from mechcheck.verdicts.case import Case
from mechcheck.verdicts.guard import Guard
from mechcheck.verdicts.supplies import CircuitFor, PromptsFor, load
from mechcheck.verdicts.verdict import Expectation, Verdict, combine

if TYPE_CHECKING:
    from transformer_lens.model_bridge import TransformerBridge

    from mechcheck.notation.circuit import Circuit

Made = TypeVar("Made")


class BodySkipped(Exception):
    """The body asked to be skipped."""


@dataclass(frozen=True)
class Rerun:
    """The same body under other arguments."""

    label: str
    verdict: Verdict
    values: Mapping[str, float]
    """Expectation's label -> estimate."""


@dataclass(frozen=True)
class Trial:
    """One claim as it was run, which is all that its contrasts are made from."""

    case: Case
    body: Callable[..., object]
    """The test function; a failed assertion is an AssertionError, a skip `BodySkipped`."""
    arguments: Mapping[str, Any]
    """The body's arguments by name."""
    guard: Guard
    prompts_for: PromptsFor | None = None
    """How the claim's prompts are made for another model; None where nobody said so."""
    circuit_for: CircuitFor | None = None
    """Likewise its circuit."""

    def rerun(self, changes: Mapping[str, Any], label: str) -> Rerun:
        """The body once more; a failed assertion is a refusal, any other exception is the claim's own error, as is a changed model.

        Args:
            changes: arguments in place of those it was given.
            label: what is changed, for a reader.

        Raises:
            ClaimError: the body crashed, or was skipped.
            HookError: the body left the model changed.
        """
        __tracebackhide__ = True
        arguments = {**self.arguments, **changes}
        check = self.case.check(arguments.get("model"), arguments.get("circuit"), draws=False)
        if "check" in arguments:
            arguments["check"] = check
        with self.guard.untouched(arguments.get("model"), label):
            try:
                self.body(**arguments)
            except AssertionError:
                return Rerun(label, "refuted", _values(check.expectations))
            except NonFiniteError:  # where there is no effect there is no share of it either
                return Rerun(label, "inconclusive", _values(check.expectations))
            except BodySkipped as skipped:
                raise ClaimError(f"the test skipped its contrast ({label}): {skipped}") from skipped
            except Exception as error:
                raise ClaimError(f"the test crashed on its contrast ({label}): {type(error).__name__}: {error}") from error
        return Rerun(label, combine(check.expectations), _values(check.expectations))

    def arguments_for(self, changes: Mapping[str, Any]) -> dict[str, Any]:
        """Arguments for what a claim says of a contrast: another model brings its own prompts and circuit.

        Raises:
            ClaimError: the test takes no such argument, or nobody said how prompts for another model are made.
        """
        __tracebackhide__ = True
        takes = inspect.signature(self.body).parameters
        unknown = sorted(set(changes) - set(takes))
        if unknown:
            meant = did_you_mean(unknown[0], takes)
            raise ClaimError(f"the contrast changes {', '.join(unknown)}, which the test does not take{meant}")
        new = dict(changes)
        if isinstance(new.get("model"), str):
            new["model"] = load(self.case.conditions, new["model"], self._dtype)
            if "prompts" in self.arguments and "prompts" not in new:
                if self.prompts_for is None:
                    raise ClaimError(
                        "a contrast on another model needs prompts for it: write a fixture `make_prompts` in the place of `prompts`, "
                        "or register the task's generator with @mechcheck.task"
                    )
                new["prompts"] = self._made(self.prompts_for, new["model"], "prompts")
            if "circuit" in self.arguments and "circuit" not in new and self.circuit_for is not None:
                new["circuit"] = self._made(self.circuit_for, new["model"], "circuit")
        if isinstance(new.get("circuit"), Mapping) and not hasattr(new["circuit"], "roles"):
            new["circuit"] = _with_roles(self.arguments["circuit"], new["circuit"])
        return new

    def _made(self, make: "Callable[[TransformerBridge], Made]", model: "TransformerBridge", what: str) -> "Made":
        """What a contrast on another model needs; a skip there would let a claim go that has been measured."""
        from mechcheck.models.loading import provenance

        try:
            return make(model)
        except BodySkipped as skipped:
            raise ClaimError(f"making the {what} of its contrast on {provenance(model).name} was skipped: {skipped}") from skipped

    @property
    def _dtype(self) -> str | None:
        from mechcheck.models.loading import provenance

        return provenance(self.arguments["model"]).dtype if "model" in self.arguments else None


def _values(expectations: Sequence[Expectation]) -> dict[str, float]:
    return {e.label: e.estimate.value for e in expectations}


def _with_roles(circuit: "Circuit", roles: Mapping[str, Any]) -> "Circuit":
    from mechcheck.notation.sites import heads

    for role in roles:
        if role not in circuit.roles:
            meant = did_you_mean(role, circuit.roles)
            raise ClaimError(f"the contrast changes the role {role!r}, which the circuit does not have{meant}")
    return replace(circuit, roles={**circuit.roles, **{role: heads(sites) for role, sites in roles.items()}})
