"""Decoys and positive controls: proof that a claim can fail, or, if it is expected to be refuted, that it can hold."""

import inspect
import itertools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest

from mechcheck.base.errors import ClaimError, NonFiniteError
from mechcheck.plugin.fixtures import MAKE_PROMPTS, load, make_check, recorded_circuit
from mechcheck.plugin.selection import claim_id, default_models
from mechcheck.plugin.settings import SETTINGS
from mechcheck.plugin.untouched import left_untouched
from mechcheck.verdicts.claim import ClaimSpec
from mechcheck.verdicts.verdict import Expectation, Outcome, combine

if TYPE_CHECKING:
    from mechcheck.notation.circuit import Circuit

# Re-initialised twins differ by their seed only, so two are as telling as many.
MAX_TWINS = 2


@dataclass(frozen=True)
class ContrastRun:
    """The same test body under other arguments."""

    label: str
    verdict: Outcome
    values: Mapping[str, float]
    """Expectation's label -> estimate."""


@dataclass(frozen=True)
class Contrast:
    """All contrast runs of a claim."""

    kind: str
    runs: tuple[ContrastRun, ...]
    vacuous: str | None
    """Why the claim says nothing, or None."""

    @property
    def supported(self) -> int:
        """Runs that came out supported."""
        return sum(run.verdict == "supported" for run in self.runs)


def contrast(item: pytest.Function, spec: ClaimSpec, arguments: Mapping[str, Any], expected: str) -> Contrast:
    """Run the claim's decoys (if it was expected to be supported) or its positive controls (if refuted)."""
    if expected == "refuted":
        return _positive_controls(item, spec, arguments)
    kinds: list[str] = []
    runs: list[ContrastRun] = []
    vacuous: list[str] = []
    for decoy in spec.decoys:
        kind, variants = _decoys(item, spec, arguments, decoy)
        those = [_run(item, spec, {**arguments, **changed}, label) for label, changed in variants]
        passed = sum(run.verdict == "supported" for run in those)
        if 2 * passed >= len(those):
            vacuous.append(f"{passed} of {len(those)} decoys ({kind}) satisfy it too, so it says nothing about this {_subject(kind)}")
        kinds.append(kind)
        runs += those
    return Contrast("; ".join(dict.fromkeys(kinds)), tuple(runs), "; ".join(vacuous) or None)


def _subject(kind: str) -> str:
    return "circuit" if kind.startswith("random") else "model" if kind.startswith("re-init") else "case"


def _decoys(
    item: pytest.Function, spec: ClaimSpec, arguments: Mapping[str, Any], decoy: str | Mapping[str, Any] | None
) -> tuple[str, list[tuple[str, dict[str, Any]]]]:
    """What kind of decoys these are, and each with its label and the arguments that it changes."""
    settings = item.config.stash[SETTINGS]
    seed = make_check(settings, claim_id(item, spec), None, None).seed
    if isinstance(decoy, Mapping):
        return "named by the claim", [(_describe(decoy), _replaced(item, spec, arguments, decoy))]
    if decoy == "reinitialised" or (decoy is None and "circuit" not in arguments):
        return "re-initialised weights", _twins(arguments, settings.decoys)
    from mechcheck.base.errors import NoControlError
    from mechcheck.verdicts.controls import random_circuits

    if "circuit" not in arguments:
        raise ClaimError('decoy="random_sites" needs the claim to use the `circuit` fixture')
    used = getattr(arguments["circuit"], "used", None) or None  # all roles, if the circuit is no traced one
    try:
        circuits = random_circuits(arguments["model"], arguments["circuit"], n=settings.decoys, seed=seed, roles=used)
    except NoControlError:
        if decoy is not None:
            raise
        return "re-initialised weights, as too few sites lie outside the circuit", _twins(arguments, settings.decoys)
    return "random sites of the same kinds, layers and number", [(_roles(c), {"circuit": c}) for c in circuits]


def _twins(arguments: Mapping[str, Any], n: int) -> list[tuple[str, dict[str, Any]]]:
    from mechcheck.models.loading import reinitialised

    if "model" not in arguments:
        raise ClaimError("a claim without `model` and `circuit` has no decoy of its own: name one with @claim(decoy={...})")
    return [(f"weights drawn with seed {i}", {"model": reinitialised(arguments["model"], i)}) for i in range(min(n, MAX_TWINS))]


def _positive_controls(item: pytest.Function, spec: ClaimSpec, arguments: Mapping[str, Any]) -> Contrast:
    """Look for arguments under which the same body is supported: the claim's own, then another model's."""
    runs: list[ContrastRun] = []
    for label, changed in _cases_expected_supported(item, spec, arguments):
        runs.append(_run(item, spec, {**arguments, **_replaced(item, spec, arguments, changed)}, label))
        if runs[-1].verdict == "supported":
            return Contrast("positive control", tuple(runs), None)
    tried = f"; tried: {', '.join(run.label for run in runs)}" if runs else ""
    reason = (
        f"nothing was found on which the same test is supported, so its refutation says nothing{tried}. "
        "Name one: @claim(positive_control=...)"
    )
    return Contrast("positive control", tuple(runs), reason)


def _cases_expected_supported(item: pytest.Function, spec: ClaimSpec, arguments: Mapping[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    from mechcheck.models.loading import provenance

    own = provenance(arguments["model"]).name if "model" in arguments else None
    given = item.config.stash[SETTINGS].circuits
    others = [name for name in default_models(spec, item.path.parent, given) if name != own] if own else []
    params = _parameters(item)
    settings = [{}, dict(spec.positive_control)] if spec.positive_control else [{}]
    for name, changed in itertools.product([own, *others], settings):
        unchanged = name == own and all(params.get(key) == value for key, value in changed.items())
        asked = name == own and bool(changed)
        if unchanged or not (asked or spec.expected(name, params | changed) == "supported"):
            continue
        case = dict(changed) if name == own else {"model": name, **changed}
        yield _describe(case), case


def _parameters(item: pytest.Function) -> dict[str, Any]:
    callspec = getattr(item, "callspec", None)
    return {key: value for key, value in callspec.params.items() if key != "model"} if callspec else {}


def _replaced(item: pytest.Function, spec: ClaimSpec, arguments: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """Arguments for the changes: another model brings its own prompts and circuit."""
    unknown = set(changes) - set(inspect.signature(item.obj).parameters)
    if unknown:
        raise ClaimError(f"the contrast changes {', '.join(sorted(unknown))}, which the test does not take")
    new = dict(changes)
    if isinstance(new.get("model"), str):
        new["model"] = load(item.config.stash[SETTINGS], new["model"], _dtype(arguments))
        if "prompts" in arguments and "prompts" not in new:
            if MAKE_PROMPTS not in item.stash:
                raise ClaimError("a contrast on another model needs prompts for it: register the task's generator with @mechcheck.task")
            new["prompts"] = item.stash[MAKE_PROMPTS](new["model"])
        if "circuit" in arguments and "circuit" not in new and spec.task:
            new["circuit"] = recorded_circuit(item, spec.task, new["model"])
    if isinstance(new.get("circuit"), Mapping) and not hasattr(new["circuit"], "roles"):
        new["circuit"] = _with_roles(arguments["circuit"], new["circuit"])
    return new


def _dtype(arguments: Mapping[str, Any]) -> str | None:
    from mechcheck.models.loading import provenance

    return provenance(arguments["model"]).dtype if "model" in arguments else None


def _with_roles(circuit: "Circuit", roles: Mapping[str, Any]) -> "Circuit":
    from dataclasses import replace

    from mechcheck.notation.sites import heads

    return replace(circuit, roles={**circuit.roles, **{role: heads(sites) for role, sites in roles.items()}})


def _run(item: pytest.Function, spec: ClaimSpec, arguments: Mapping[str, Any], label: str) -> ContrastRun:
    """The test body once more; a failed assertion is a refusal, any other exception is the claim's own error, as is a changed model."""
    settings = item.config.stash[SETTINGS]
    check = make_check(settings, claim_id(item, spec), arguments.get("model"), arguments.get("circuit"))
    check.draws = False
    with left_untouched(item, arguments.get("model"), label):
        try:
            item.obj(**{name: check if name == "check" else value for name, value in arguments.items()})
        except (AssertionError, pytest.fail.Exception):
            return ContrastRun(label, "refuted", _values(check.expectations))
        except NonFiniteError:  # where there is no effect there is no share of it either
            return ContrastRun(label, "inconclusive", _values(check.expectations))
        except pytest.skip.Exception as skipped:
            raise ClaimError(f"the test skipped its contrast ({label}): {skipped.msg}") from skipped
        except Exception as error:
            raise ClaimError(f"the test crashed on its contrast ({label}): {type(error).__name__}: {error}") from error
    return ContrastRun(label, combine(e.verdict for e in check.expectations), _values(check.expectations))


def _values(expectations: list[Expectation]) -> dict[str, float]:
    return {e.label: e.estimate.value for e in expectations}


def _roles(circuit: "Circuit") -> str:
    return "; ".join(f"{role} {sites}" for role, sites in circuit.roles.items())


def _describe(changes: Mapping[str, Any]) -> str:
    return ", ".join(f"{key}: {_describe(value) if isinstance(value, Mapping) else value}" for key, value in changes.items())
