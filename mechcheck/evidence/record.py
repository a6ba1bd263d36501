"""The record of one claim, as the evidence schema has it."""

import math
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from mechcheck.base.outgoing import message_of, outgoing
from mechcheck.tasks.versions import task_version

if TYPE_CHECKING:
    from transformer_lens.model_bridge import TransformerBridge

    from mechcheck.notation.circuit import Circuit
    from mechcheck.prompts.prompt_set import PromptSet
    from mechcheck.verdicts.case import Case
    from mechcheck.verdicts.contrast import Contrast
    from mechcheck.verdicts.for_all import Counterexample
    from mechcheck.verdicts.grids.decision import GridFound
    from mechcheck.verdicts.outcome import Outcome
    from mechcheck.verdicts.specificity import Specificity
    from mechcheck.verdicts.verdict import Expectation

EXAMPLES = 8
"""Prompts shown to a reader."""

Record = dict[str, Any]

NOT_MEASURED: Record = {"model": None, "circuit": None, "prompts": None, "interventions": [], "caveats": []}


def record_of(case: "Case", outcome: "Outcome", subject: Record = NOT_MEASURED, duration: float = 0.0) -> Record:
    """A claim's record.

    Args:
        case: what was to be measured.
        outcome: what became of it.
        subject: what it was measured on (`describe_arguments`), and how (`Used.record`).
        duration: seconds.
    """
    spec = case.spec
    record: Record = {
        "id": case.id,
        "statement": spec.statement,
        "source": spec.source,
        "task": spec.task,
        "version": spec.version,
        "task_version": None if subject["prompts"] is None else task_version(spec.task),
        "kind": spec.kind,
        "nodeid": case.nodeid,
        "line": case.line,
        "params": {name: message_of(value) for name, value in case.params.items()},
        "expect": case.expect,
        "verdict": outcome.verdict,
        "met": outcome.met,
        "reason": outcome.reason,
        "command": case.command,
        **subject,
        "sampling": None if outcome.sampling is None else asdict(outcome.sampling) | {"text": outcome.sampling.text},
        "expectations": _expectations(outcome),
        "deciding": outcome.deciding,
        **({} if outcome.grid is None else {"grid": _grid(outcome.grid)}),
        "p_adjusted": None,
        "decoys": None if outcome.contrast is None else _contrast(outcome.contrast),
        "counterexamples": [_counterexample(found) for found in outcome.counterexamples],
        "figures": list(outcome.figures),
        "drift": None,
        "duration_s": round(duration, 4),
    }
    return outgoing(record)


def describe_arguments(arguments: Mapping[str, Any]) -> Record:
    """What a claim was measured on: model, circuit and prompts among its arguments.

    Raises:
        ModelError: a model of which nothing is known.
    """
    from mechcheck.notation.circuit import Circuit
    from mechcheck.prompts.prompt_set import PromptSet

    found = dict(NOT_MEASURED)
    if "model" in arguments:
        found["model"] = _model(arguments["model"])
    if isinstance(arguments.get("circuit"), Circuit):
        found["circuit"] = _circuit(arguments["circuit"])
    if isinstance(arguments.get("prompts"), PromptSet):
        found["prompts"] = _prompts(arguments["prompts"])
    return found


def describe_others(own: Record | None, models: "Iterable[TransformerBridge]") -> Record:
    """The models that a claim ran besides its own: those of a grid, of several seeds, its partner; nothing where there are none."""
    found = [one for one in map(_model, models) if one != own]
    return {"models": [one for place, one in enumerate(found) if one not in found[:place]]} if found else {}


def _model(model: "TransformerBridge") -> Record:
    from mechcheck.models.loading import provenance

    record = asdict(provenance(model))
    del record["directory"]
    return record


def _circuit(circuit: "Circuit") -> Record:
    from mechcheck.notation.circuit import untraced

    circuit = untraced(circuit)
    unmet = {role: f"{stated.text} ({stated.measured})" if stated.measured else stated.text for role, stated in circuit.unmet.items()}
    return {
        "source": circuit.source,
        "roles": {role: str(sites) for role, sites in circuit.roles.items()},
        "criteria": {"met": circuit.met, "unmet": unmet},
        **({"edges": str(circuit.edges)} if circuit.edges else {}),
    }


def _prompts(prompts: "PromptSet") -> Record:
    policy = prompts.policy
    return {
        "ids_sha256": prompts.sha256,
        "n": len(prompts),
        "templates": len(set(prompts.templates)),
        "lengths": [int(prompts.lengths.min()), int(prompts.lengths.max())],
        "left_out": dict(prompts.left_out),
        "unaligned": prompts.unaligned,
        "tokens": None if policy is None else asdict(policy) | {"before": list(policy.before), "after": list(policy.after)},
        "examples": [_prompt(prompts, row) for row in range(min(EXAMPLES, len(prompts)))],
    }


def shown_tokens(prompts: "PromptSet", row: int) -> list[str]:
    """A prompt's tokens as text, or, where nobody knows their text, as numbers."""
    return [*prompts.words[row]] if prompts.words else [*map(str, prompts.tokens[row, : prompts.lengths[row]].tolist())]


def _prompt(prompts: "PromptSet", row: int) -> Record:
    return {
        "id": prompts.ids[row],
        "template": prompts.templates[row],
        "tokens": shown_tokens(prompts, row),
        "positions": {name: int(at[row]) for name, at in prompts.positions.items() if name not in prompts.spans},
        "spans": {name: prompts.span(name)[row].nonzero()[:, 0].tolist() for name in prompts.spans},
        "answer": prompts.shown("answers", row),
        "foil": prompts.shown("foils", row),
    }


def _expectations(outcome: "Outcome") -> list[Record]:
    told = outcome.contrast.specificity if outcome.contrast is not None else ()
    rows = [_expectation(e) | {"specificity": []} for e in outcome.expectations]
    for row, found in zip(rows, told, strict=False):  # without decoys there is none
        row["specificity"] = [_specificity(one) for one in found]
    return rows


def _specificity(found: "Specificity") -> Record:
    contrast = None
    if found.contrast is not None:
        contrast = asdict(found.contrast)
        contrast |= {end: _finite(contrast[end]) for end in ("value", "low", "high")}
    return {
        "kind": found.kind,
        "decision": found.decision.replace(" ", "_"),
        "text": found.text,
        "satisfied": found.tally.satisfied,
        "failed": found.tally.failed,
        "neither": found.tally.neither,
        "alternatives": found.alternatives,
        "share": list(found.bounds),
        "contrast": contrast,
        "separating": found.separating,
    }


def _expectation(expectation: "Expectation") -> Record:
    """An expectation; p-values are adjusted when the run is merged."""
    record = asdict(expectation)
    record["region"] = [_finite(end) for end in expectation.region]
    record["estimate"] |= {end: _finite(record["estimate"][end]) for end in ("value", "low", "high")}
    if isinstance(expectation.threshold, tuple):
        record["threshold"] = list(expectation.threshold)
    record["p_adjusted"] = None
    if expectation.cell is None:
        del record["cell"]
    record["by_template"] = {t: {"value": value, "n": n} for t, (value, n) in expectation.by_template.items()}
    if expectation.control is not None:
        control = expectation.control
        record["control"] = {
            "kind": control.kind,
            "n": len(control.values),
            "values": list(control.values),
            "labels": list(control.labels),
            "effect": control.effect,
        }
    return record


def _grid(found: "GridFound") -> Record:
    """What a claim came to over its grid."""
    record = asdict(found) | {"text": found.text}
    del record["deciding"]
    for cell in record["cells"]:
        cell["expectations"] = list(cell.pop("places"))
    for one in record["differences"]:
        one["expectation"] = one.pop("place")
        if one["estimate"] is not None:
            one["estimate"] |= {end: _finite(one["estimate"][end]) for end in ("value", "low", "high")}
    return record | {"axes": {axis: list(values) for axis, values in found.axes.items()}}


def _finite(number: float) -> float | None:
    """JSON has no infinity; an open side, or a value that is not defined, is null."""
    return number if math.isfinite(number) else None


def _counterexample(found: "Counterexample") -> Record:
    """What broke a claim about all examples."""
    n = len(found.prompts) if found.prompts is not None else 0
    return {
        "expectation": found.label,
        "example": found.example,
        "tried": found.tried,
        "shrunk": found.shrunk,
        "measured": found.measured,
        "unit": found.unit,
        "values": list(found.values[:EXAMPLES]),
        "n_prompts": n,
        "prompts": [_prompt(found.prompts, row) for row in range(min(EXAMPLES, n))] if found.prompts is not None else [],
    }


def _contrast(found: "Contrast") -> Record:
    """Decoys or positive controls."""
    runs = [
        {"label": run.label, "verdict": run.verdict, "values": {label: _finite(v) for label, v in run.values.items()}, "note": run.note}
        for run in found.runs
    ]
    counts = {"n": len(runs), "supported": found.supported, "rejected": found.rejected}
    return {"kind": found.kind, **counts, "caveat": found.caveat, "runs": runs}
