"""Decoys and positive controls: proof that a claim can fail, or, if it is expected to be refuted, that it can hold."""

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from mechcheck.verdicts.decoys import Change, Decoys, decoys_of, described
from mechcheck.verdicts.specificity import Specificity, Whole, as_a_whole, judge, told
from mechcheck.verdicts.supplies import default_models
from mechcheck.verdicts.trial import Rerun, Trial

if TYPE_CHECKING:
    from mechcheck.stats.measurement import Measurement
    from mechcheck.verdicts.verdict import Expectation


Beside = Mapping[str, "Measurement"]
"""For one expectation: label of a contrast run -> what it measured."""

_HOLDS = ("supported", "method_dependent")
"""What is expected of a claim where the same test can be supported: under one of its methods at least."""
FRUITLESS = 4
"""Runs without an answer after which no more are tried."""


@dataclass(frozen=True)
class Contrast:
    """All contrast runs of a claim."""

    kind: str
    runs: tuple[Rerun, ...]
    vacuous: str | None
    """Why the claim says nothing, or None."""
    caveat: str | None = None
    """Which of its checks alternatives satisfy by themselves, and what could not be told."""
    specificity: tuple[tuple[Specificity, ...], ...] = ()
    """For each of the claim's expectations, one for each kind of alternative; none for preconditions, nor from positive controls."""

    @property
    def supported(self) -> int:
        """Runs that came out supported."""
        return sum(run.verdict == "supported" for run in self.runs)

    @property
    def rejected(self) -> int:
        """Runs that came out refuted; what decides nothing rejects nothing."""
        return sum(run.verdict == "refuted" for run in self.runs)

    def beside(self, labels: Sequence[str]) -> list[Beside]:
        """For each expectation, by its label in their order, what the runs that reached it measured."""
        found: list[Beside] = []
        for place in range(len(labels)):
            reached = ((run.label, run.result(labels, place)) for run in self.runs)
            found.append({label: result.measured for label, result in reached if result is not None})
        return found


def contrast(trial: Trial, expectations: "Sequence[Expectation]", samples: "Sequence[Measurement]") -> Contrast:
    """Run the claim's decoys (if it was expected to be supported) or its positive controls (if refuted).

    Args:
        trial: the claim as it was run.
        expectations: what it came to.
        samples: the measurement behind each.
    """
    __tracebackhide__ = True
    if trial.case.expect == "refuted":
        return _positive_controls(trial)
    found: list[list[Specificity]] = [[] for _ in expectations]
    kinds: list[str] = []
    runs: list[Rerun] = []
    vacuous: list[str] = []
    for decoy in trial.case.spec.decoys:
        decoys = decoys_of(trial, decoy)
        those = _run(trial, decoys)
        whole = Whole(decoys.kind, as_a_whole(those), decoys.total)
        for place, (expectation, measured) in enumerate(zip(expectations, samples, strict=True)):
            if expectation.role == "claim":
                found[place].append(judge(expectations, place, measured, those, decoys.kind, decoys.total, trial.check().confidence))
        if whole.decision == "vacuous":
            vacuous.append(f"{whole.text} ({whole.kind}), so it says nothing about this {_subject(whole.kind)}{_apart(found)}")
        kinds.append(decoys.kind)
        runs += those
    specificity = tuple(map(tuple, found))
    kind = "; ".join(dict.fromkeys(kinds))
    return Contrast(kind, tuple(runs), "; ".join(vacuous) or None, _caveat(expectations, specificity), specificity)


def _run(trial: Trial, decoys: Decoys) -> list[Rerun]:
    """Alternatives, one by one, until the share of those that satisfy the claim is told from one half, or the budget is spent.

    Where the first few all decide nothing, nor would others.
    """
    __tracebackhide__ = True
    runs: list[Rerun] = []
    for change in itertools.islice(decoys.draw(), trial.case.conditions.decoys):
        runs.append(trial.rerun(change.arguments, change.label))
        found = as_a_whole(runs)
        if told(found, decoys.total) or found.neither == found.n >= FRUITLESS:
            break
    return runs


def _subject(kind: str) -> str:
    return "circuit" if kind.startswith("random") else "model" if kind.startswith("re-init") else "case"


def _apart(found: Sequence[Sequence[Specificity]]) -> str:
    """Thresholds that would tell the claim from its alternatives, where there are such."""
    thresholds = [one.separating for told_of in found for one in told_of if one.decision == "vacuous" and one.separating is not None]
    return f"; a threshold of {thresholds[0]:.3g} would tell it from them" if thresholds else ""


def _caveat(expectations: "Sequence[Expectation]", specificity: Sequence[Sequence[Specificity]]) -> str | None:
    """The checks that alternatives satisfy too, or that could not be told from those."""
    lines = [
        f"{expectation.label}: {one.text} ({one.kind})"
        for expectation, found in zip(expectations, specificity, strict=True)
        for one in found
        if one.decision != "specific"
    ]
    return "; ".join(lines) or None


def _positive_controls(trial: Trial) -> Contrast:
    """Look for arguments under which the same body is supported: the claim's own, then another model's."""
    __tracebackhide__ = True
    runs: list[Rerun] = []
    for case in _cases_expected_supported(trial):
        runs.append(trial.rerun(trial.arguments_for(case.arguments), case.label))
        if runs[-1].verdict == "supported":
            return Contrast("positive control", tuple(runs), None)
    tried = f"; tried: {', '.join(f'{run.label} ({run.verdict})' for run in runs)}" if runs else ""
    reason = f"nothing was found on which the same test is supported{tried}. Name one: @claim(positive_control=...)"
    if any(run.verdict in ("inconclusive", "not_applicable") for run in runs):
        return Contrast("positive control", tuple(runs), None, f"whether the test can be satisfied is not known: {reason}")
    return Contrast("positive control", tuple(runs), f"its refutation says nothing: {reason}")


def _cases_expected_supported(trial: Trial) -> Iterator[Change]:
    from mechcheck.models.loading import provenance

    case, spec = trial.case, trial.case.spec
    own = provenance(trial.arguments["model"]).name if "model" in trial.arguments else None
    others = [name for name in default_models(spec, case.near, case.conditions.circuits) if name != own] if own else []
    settings: list[Mapping[str, Any]] = [{}, dict(spec.positive_control)] if spec.positive_control else [{}]
    for name, changed in itertools.product([own, *others], settings):
        unchanged = name == own and all(case.params.get(key) == value for key, value in changed.items())
        asked = name == own and bool(changed)
        if unchanged or not (asked or spec.expected(name, {**case.params, **changed}) in _HOLDS):
            continue
        arguments = dict(changed) if name == own else {"model": name, **changed}
        yield Change(described(arguments), arguments)
