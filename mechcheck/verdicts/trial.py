"""A claim's body with the arguments that it was given, to be run again under others."""

import contextlib
import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, TypeVar

from mechcheck.base.errors import ClaimError, NonFiniteError, TextError
from mechcheck.base.outgoing import error_text, message_of
from mechcheck.base.text import did_you_mean
from mechcheck.verdicts.case import Case
from mechcheck.verdicts.guard import Guard
from mechcheck.verdicts.supplies import CircuitFor, PromptsFor, load
from mechcheck.verdicts.verdict import Decision, Verdict, combine

if TYPE_CHECKING:
    from transformer_lens.model_bridge import TransformerBridge

    from mechcheck.notation.circuit import Circuit
    from mechcheck.stats.measurement import Measurement
    from mechcheck.verdicts.check import Check
    from mechcheck.verdicts.grids.grid import Cell

Made = TypeVar("Made")


class BodySkipped(Exception):
    """The body asked to be skipped."""


@dataclass(frozen=True)
class Result:
    """What an expectation came to under other arguments."""

    label: str
    verdict: Decision
    measured: "Measurement"


@dataclass(frozen=True)
class Rerun:
    """The same body under other arguments."""

    label: str
    verdict: Verdict
    results: tuple[Result, ...]
    """One for each expectation that was reached; none where there was nothing to measure."""
    note: str | None = None
    """Why it was not run to its end."""
    first: int = 0
    """Place of the first of them among the claim's expectations: not 0 in another cell of a claim's grid than the first."""

    @property
    def values(self) -> dict[str, float]:
        """Expectation's label -> what was measured."""
        return {result.label: result.measured.mean for result in self.results}

    def result(self, labels: Sequence[str], place: int) -> Result | None:
        """What became of an expectation: by its label, else (labels can name sites) by its place; None where it was not reached.

        What stands in its place under the label of another one is that other one, where a fixture's check is not made again.

        Args:
            labels: of all expectations of the claim.
            place: of this one among them.
        """
        named = next((result for result in self.results if result.label == labels[place]), None)
        place -= self.first
        if named is not None or not 0 <= place < len(self.results) or self.results[place].label in labels:
            return named
        return self.results[place]


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
    cell: "Cell | None" = None
    """Of a claim over a grid: under which methods this is."""

    def check(self, arguments: Mapping[str, Any] | None = None) -> "Check":
        """A check that nobody sees, for a run of the body under these arguments; as sure of itself as the claim's own."""
        arguments = self.arguments if arguments is None else arguments
        sure = getattr(self.arguments.get("check"), "confidence", None)
        check = self.case.check(arguments.get("model"), arguments.get("circuit"), draws=False, confidence=sure)
        check.cell = self.cell
        return check

    def rerun(self, changes: Mapping[str, Any], label: str) -> Rerun:
        """The body once more. What it reached decides: an assertion, a value that is not finite, or texts that ended
        differently where they must not, ends it, and decides nothing.

        Where a precondition is not met, there is nothing to measure. Any other exception is the claim's own error, as is a changed model.

        Args:
            changes: arguments in place of those it was given.
            label: what is changed, for a reader.

        Raises:
            ClaimError: the body crashed, or was skipped.
            HookError: the body left the model changed.
            StateError: it left something else changed that is shared.
        """
        __tracebackhide__ = True
        arguments = {**self.arguments, **changes}
        check, note = self.check(arguments), None
        arguments |= {"check": check} if "check" in arguments else {}
        arguments |= {name: _Unheard() for name in ("subtests",) if name in arguments}
        with self.guard.untouched(arguments, label):
            try:
                self.body(**arguments)
            except AssertionError as failed:
                note = f"an assertion ended it: {next(iter(message_of(failed).splitlines()), 'no message')}"
            except (NonFiniteError, TextError) as error:  # where there is no effect there is no share of it either
                note = str(error)
            except BodySkipped as skipped:
                raise ClaimError(f"the test skipped its contrast ({label}): {skipped}") from skipped
            except Exception as error:
                raise ClaimError(f"the test crashed on its contrast ({label}): {error_text(error)}") from error
        expectations = check.decided
        verdict = combine(expectations)
        results = tuple(Result(e.label, e.verdict, m) for e, m in zip(expectations, check.samples, strict=True))
        if verdict == "not_applicable":
            needed = next((e.label for e in expectations if e.role == "precondition" and e.verdict != "supported"), None)
            if needed is not None:
                note = f"nothing to measure: {needed}"
                results = tuple(replace(result, verdict="undefined") for result in results)
        return Rerun(label, "inconclusive" if note and verdict == "supported" else verdict, results, note)

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


class _Unheard:
    """Stands in for pytest's `subtests`: what fails there on a contrast is no failure of the claim, and decides nothing."""

    @contextlib.contextmanager
    def test(self, msg: str | None = None, **context: object) -> Iterator[None]:
        with contextlib.suppress(AssertionError):
            yield


def _with_roles(circuit: "Circuit", roles: Mapping[str, Any]) -> "Circuit":
    from mechcheck.notation.sites import heads

    for role in roles:
        if role not in circuit.roles:
            meant = did_you_mean(role, circuit.roles)
            raise ClaimError(f"the contrast changes the role {role!r}, which the circuit does not have{meant}")
    return replace(circuit, roles={**circuit.roles, **{role: heads(sites) for role, sites in roles.items()}})
