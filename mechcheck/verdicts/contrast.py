"""Decoys and positive controls: proof that a claim can fail, or, if it is expected to be refuted, that it can hold."""

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from mechcheck.base.errors import ClaimError
from mechcheck.verdicts.claim import Decoy
from mechcheck.verdicts.supplies import default_models
from mechcheck.verdicts.trial import Rerun, Trial

if TYPE_CHECKING:
    from mechcheck.notation.circuit import Circuit

# Re-initialised twins differ by their seed only, so two are as telling as many.
MAX_TWINS = 2


@dataclass(frozen=True)
class Contrast:
    """All contrast runs of a claim."""

    kind: str
    runs: tuple[Rerun, ...]
    vacuous: str | None
    """Why the claim says nothing, or None."""

    @property
    def supported(self) -> int:
        """Runs that came out supported."""
        return sum(run.verdict == "supported" for run in self.runs)


class Change(NamedTuple):
    """Other arguments for the body."""

    label: str
    arguments: Mapping[str, Any]


def contrast(trial: Trial) -> Contrast:
    """Run the claim's decoys (if it was expected to be supported) or its positive controls (if refuted)."""
    __tracebackhide__ = True
    if trial.case.expect == "refuted":
        return _positive_controls(trial)
    kinds: list[str] = []
    runs: list[Rerun] = []
    vacuous: list[str] = []
    for decoy in trial.case.spec.decoys:
        kind, changes = _decoys(trial, decoy)
        those = [trial.rerun(change.arguments, change.label) for change in changes]
        passed = sum(run.verdict == "supported" for run in those)
        if 2 * passed >= len(those):
            vacuous.append(f"{passed} of {len(those)} decoys ({kind}) satisfy it too, so it says nothing about this {_subject(kind)}")
        kinds.append(kind)
        runs += those
    return Contrast("; ".join(dict.fromkeys(kinds)), tuple(runs), "; ".join(vacuous) or None)


def _subject(kind: str) -> str:
    return "circuit" if kind.startswith("random") else "model" if kind.startswith("re-init") else "case"


def _decoys(trial: Trial, decoy: Decoy | Mapping[str, Any] | None) -> tuple[str, Sequence[Change]]:
    """What kind of decoys these are, and the decoys."""
    __tracebackhide__ = True
    arguments, n = trial.arguments, trial.case.conditions.decoys
    if isinstance(decoy, Mapping):
        return "named by the claim", [Change(_describe(decoy), trial.arguments_for(decoy))]
    if decoy == "reinitialised" or (decoy is None and "circuit" not in arguments):
        return "re-initialised weights", _twins(arguments, n)
    from mechcheck.base.errors import NoControlError
    from mechcheck.verdicts.controls import random_circuits

    if "circuit" not in arguments:
        raise ClaimError('decoy="random_sites" needs the claim to use the `circuit` fixture')
    used = getattr(arguments["circuit"], "used", None) or None  # all roles, if the circuit is no traced one
    try:
        circuits = random_circuits(arguments["model"], arguments["circuit"], n=n, seed=trial.case.seed, roles=used)
    except NoControlError:
        if decoy is not None:
            raise
        return "re-initialised weights, as too few sites lie outside the circuit", _twins(arguments, n)
    return "random sites of the same kinds, layers and number", [Change(_roles(circuit), {"circuit": circuit}) for circuit in circuits]


def _twins(arguments: Mapping[str, Any], n: int) -> list[Change]:
    __tracebackhide__ = True
    from mechcheck.models.loading import reinitialised

    if "model" not in arguments:
        raise ClaimError("a claim without `model` and `circuit` has no decoy of its own: name one with @claim(decoy={...})")
    return [Change(f"weights drawn with seed {i}", {"model": reinitialised(arguments["model"], i)}) for i in range(min(n, MAX_TWINS))]


def _positive_controls(trial: Trial) -> Contrast:
    """Look for arguments under which the same body is supported: the claim's own, then another model's."""
    __tracebackhide__ = True
    runs: list[Rerun] = []
    for case in _cases_expected_supported(trial):
        runs.append(trial.rerun(trial.arguments_for(case.arguments), case.label))
        if runs[-1].verdict == "supported":
            return Contrast("positive control", tuple(runs), None)
    tried = f"; tried: {', '.join(run.label for run in runs)}" if runs else ""
    reason = (
        f"nothing was found on which the same test is supported, so its refutation says nothing{tried}. "
        "Name one: @claim(positive_control=...)"
    )
    return Contrast("positive control", tuple(runs), reason)


def _cases_expected_supported(trial: Trial) -> Iterator[Change]:
    from mechcheck.models.loading import provenance

    case, spec = trial.case, trial.case.spec
    own = provenance(trial.arguments["model"]).name if "model" in trial.arguments else None
    others = [name for name in default_models(spec, case.near, case.conditions.circuits) if name != own] if own else []
    settings = [{}, dict(spec.positive_control)] if spec.positive_control else [{}]
    for name, changed in itertools.product([own, *others], settings):
        unchanged = name == own and all(case.params.get(key) == value for key, value in changed.items())
        asked = name == own and bool(changed)
        if unchanged or not (asked or spec.expected(name, {**case.params, **changed}) == "supported"):
            continue
        arguments = dict(changed) if name == own else {"model": name, **changed}
        yield Change(_describe(arguments), arguments)


def _roles(circuit: "Circuit") -> str:
    return "; ".join(f"{role} {sites}" for role, sites in circuit.roles.items())


def _describe(changes: Mapping[str, Any]) -> str:
    return ", ".join(f"{key}: {_describe(value) if isinstance(value, Mapping) else value}" for key, value in changes.items())
