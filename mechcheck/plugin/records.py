"""The record of one claim, as the evidence schema has it."""

import json
import shlex
from collections.abc import Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from mechcheck.evidence.store import slug, write_json
from mechcheck.plugin.selection import claim_id
from mechcheck.plugin.settings import SETTINGS
from mechcheck.verdicts.claim import ClaimSpec

if TYPE_CHECKING:
    from mechcheck.plugin.contrast import Contrast
    from mechcheck.prompts.prompt_set import PromptSet
    from mechcheck.verdicts.check import Check
    from mechcheck.verdicts.for_all import Counterexample
    from mechcheck.verdicts.verdict import Expectation

PROPERTY = "mechcheck"
EXAMPLES = 8
"""Prompts shown to a reader."""

Record = dict[str, Any]


def new_record(item: pytest.Item, spec: ClaimSpec) -> Record:
    """A record of a claim that was started and not decided: what remains if its process dies."""
    callspec = getattr(item, "callspec", None)
    params = {key: str(value) for key, value in (callspec.params if callspec else {}).items() if key != "model"}
    return {
        "id": claim_id(item, spec),
        "statement": spec.statement,
        "source": spec.source,
        "task": spec.task,
        "kind": spec.kind,
        "nodeid": item.nodeid,
        "params": params,
        "expect": spec.expected(_model_param(item), params),
        "verdict": "errored",
        "met": False,
        "reason": "the process ended before this claim was decided",
        "command": _command(item),
        "model": None,
        "circuit": None,
        "prompts": None,
        "expectations": [],
        "decoys": None,
        "counterexamples": [],
        "figures": [],
        "drift": None,
        "duration_s": 0.0,
    }


def _model_param(item: pytest.Item) -> str | None:
    from mechcheck.plugin.selection import model_name

    callspec = getattr(item, "callspec", None)
    name = callspec.params.get("model") if callspec else None
    return model_name(name) if isinstance(name, str) else None


def _command(item: pytest.Item) -> str:
    settings = item.config.stash[SETTINGS]
    words = ["pytest", item.nodeid, f"--mech-profile={settings.profile}", f"--mech-seed={settings.seed}"]
    words += [f"--mech-model={name}" for name in settings.models]
    if settings.circuits is not None:
        words.append(f"--mech-circuits={settings.circuits}")
    if settings.device != "cpu" or settings.dtypes != ("float32",):
        words += [f"--mech-device={settings.device}", f"--mech-dtype={','.join(settings.dtypes)}"]
    return shlex.join(words)


def describe_arguments(arguments: Mapping[str, Any]) -> Record:
    """What the claim was measured on."""
    from mechcheck.models.loading import provenance
    from mechcheck.notation.circuit import Circuit
    from mechcheck.prompts.prompt_set import PromptSet

    found: Record = {}
    if "model" in arguments:
        loaded = asdict(provenance(arguments["model"]))
        del loaded["directory"]
        found["model"] = loaded
    if isinstance(arguments.get("prompts"), PromptSet):
        found["prompts"] = _describe_prompts(arguments["prompts"])
    if isinstance(arguments.get("circuit"), Circuit):
        circuit = arguments["circuit"]
        found["circuit"] = {"source": circuit.source, "roles": {role: str(sites) for role, sites in circuit.roles.items()}}
    return found


def _describe_prompts(prompts: "PromptSet") -> Record:
    policy = prompts.policy
    return {
        "ids_sha256": prompts.sha256,
        "n": len(prompts),
        "templates": len(set(prompts.templates)),
        "lengths": [int(prompts.lengths.min()), int(prompts.lengths.max())],
        "tokens": None if policy is None else asdict(policy) | {"before": list(policy.before), "after": list(policy.after)},
        "examples": [_describe_prompt(prompts, row) for row in range(min(EXAMPLES, len(prompts)))],
    }


def _describe_prompt(prompts: "PromptSet", row: int) -> Record:
    tokens = prompts.words[row] if prompts.words else map(str, prompts.tokens[row, : prompts.lengths[row]].tolist())
    return {
        "id": prompts.ids[row],
        "template": prompts.templates[row],
        "tokens": list(tokens),
        "positions": {name: int(at[row]) for name, at in prompts.positions.items()},
        "answer": prompts.vocabulary[int(prompts.answers[row])],
        "foil": prompts.vocabulary[int(prompts.foils[row])],
    }


def describe_expectation(expectation: "Expectation") -> Record:
    """An expectation as the schema has it; p-values are adjusted when the run is merged."""
    record = asdict(expectation)
    if isinstance(expectation.threshold, tuple):
        record["threshold"] = list(expectation.threshold)
    record["p_adjusted"] = None
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


def describe_counterexample(found: "Counterexample") -> Record:
    """What broke a claim about all examples, as the schema has it."""
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
        "prompts": [_describe_prompt(found.prompts, row) for row in range(min(EXAMPLES, n))] if found.prompts is not None else [],
    }


def describe_contrast(found: "Contrast") -> Record:
    """Decoys or positive controls as the schema has them."""
    runs = [{"label": run.label, "verdict": run.verdict, "values": dict(run.values)} for run in found.runs]
    return {"kind": found.kind, "n": len(runs), "supported": found.supported, "runs": runs}


def save_record(item: pytest.Item, record: Record) -> None:
    """Write the record where the run's records are collected."""
    write_json(item.config.stash[SETTINGS].parts / "claims" / f"{slug(record['nodeid'])}.json", record)


def save_samples(item: pytest.Item, record: Record, check: "Check") -> None:
    """Write the per-prompt values behind each expectation, by claim id; drift between runs is told by pairing them."""
    folder = item.config.stash[SETTINGS].parts / "samples"
    folder.mkdir(parents=True, exist_ok=True)
    arrays: dict[str, Any] = {}
    for i, measured in enumerate(check.samples):
        arrays |= {f"values_{i}": measured.values, f"ids_{i}": np.array(measured.ids), f"templates_{i}": np.array(measured.templates)}
        if measured.denominator is not None:
            arrays[f"denominator_{i}"] = measured.denominator
    np.savez_compressed(folder / f"{slug(record['id'])}.npz", **arrays)


def attach(item: pytest.Item, record: Record) -> None:
    """Put the record's essentials on the test report, as plain text that survives xdist and JUnit XML."""
    slim = record | {"figures": [], "prompts": record["prompts"] and record["prompts"] | {"examples": []}}
    slim["expectations"] = [e | {"by_template": {}, "control": None} for e in record["expectations"]]
    item.user_properties.append((PROPERTY, json.dumps(slim, allow_nan=False)))
    item.user_properties.append((f"{PROPERTY}.verdict", record["verdict"]))
    if record["expectations"]:
        estimate = record["expectations"][0]["estimate"]
        item.user_properties.append((f"{PROPERTY}.effect", f"{estimate['value']:.6g}"))
        if record["expectations"][0]["kind"] != "for_all":  # a search has no interval
            item.user_properties.append((f"{PROPERTY}.interval", f"[{estimate['low']:.6g}, {estimate['high']:.6g}]"))
        item.user_properties.append((f"{PROPERTY}.n", str(estimate["n"])))
    for found in record["counterexamples"]:
        item.user_properties.append((f"{PROPERTY}.counterexample", found["example"]))
