"""What is on the page as a pytest file: the same sites and change, on prompts of the task that the page did not show."""

import hashlib
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

from mechcheck.circuits.edge_scores import Instead
from mechcheck.explorer.bodies import Json, Problem
from mechcheck.explorer.measures import MEASURES
from mechcheck.explorer.written import write_change
from mechcheck.notation.circuit import Circuit
from mechcheck.notation.interventions import Intervention
from mechcheck.notation.sites import Sites

FILE = re.compile(r"test_[a-z0-9_]{1,60}\.py")
"""Names that a file may have: none of them leads out of a folder, and each is the name of a function too."""
STATEMENT = 500
"""Characters of a statement at most."""
_SOURCE = '''"""A claim that was made on the page of `mechcheck explore`."""
{path}
import pytest
from mechcheck import {imported}

{about}
THRESHOLD = {threshold}  # chosen before the prompts of this claim were measured
FRESH = {fresh}  # the seed of these prompts, to which --mech-seed is added


@pytest.fixture
def make_prompts(make_prompts):
    def fresh(model, *, n, seed, split):
        drawn = make_prompts(model, n=n, seed=FRESH + seed, split=split)
        explored = set(EXPLORED["ids"])
        return drawn[[i for i, name in enumerate(drawn.ids) if name not in explored]]

    return fresh

{helper}{circuit}
@claim(
    {statement},
    task={task},
    models=[{model_name}],{kind}
)
def {function}(model, prompts, circuit, check):
    # Its decoys are {decoys}, outside of the circuit: this must not hold of them.
{body}


# Every prompt that the page could show. The claim is verified on none of them.
EXPLORED = {{
    "task": {task},
    "split": {split},
    "seed": {seed},
    "ids": """
{ids}
    """.split(),
}}
'''
_CHOSEN = """
@pytest.fixture
def circuit_for():
    return lambda model: Circuit({"chosen": {read}(SITES)})

"""
_LOADED = """
@pytest.fixture
def circuit_for():
    def found(model):
        circuit = load_circuit(CIRCUIT)
        assert circuit.weights_sha256 in (None, provenance(model).weights_sha256), "the circuit was found in other weights"
        return circuit

    return found

"""


@dataclass(frozen=True)
class Explored:
    """Prompts of a task that a page can show."""

    task: str
    """Its name."""
    split: str
    """Which of the task's prompts."""
    seed: int
    """That they were drawn by."""
    ids: Sequence[str]
    """Of each."""


def claimed(body: Json) -> tuple[float, list[Problem]]:
    """The threshold, and what of the claim's own fields does not fit."""
    problems = []
    if not body["statement"].strip():
        problems.append(Problem("statement", "say in a sentence of your own what you claim"))
    elif len(body["statement"]) > STATEMENT:
        problems.append(Problem("statement", f"{len(body['statement'])} characters: say it in {STATEMENT}"))
    if FILE.fullmatch(body["file"]) is None:
        problems.append(Problem("file", "a file is called test_, then small letters, digits and _, then .py: test_flips.py"))
    try:
        threshold = float(body["threshold"])
    except ValueError:
        threshold = math.nan
    if not math.isfinite(threshold):
        problems.append(Problem("threshold", "choose a number that the value has to be below, or above"))
    elif MEASURES[measure_of(body)].share and not 0 < threshold < 1:
        problems.append(Problem("threshold", "a share of prompts lies between 0 and 1, and could not fail, or hold, at these"))
    elif measure_of(body) == "faithful" and not 0 < threshold < 1:
        problems.append(Problem("threshold", "how far from 1, the whole model's, is still faithful lies between 0 and 1"))
    if measure_of(body) == "faithful" and body["expects"] != "below":
        problems.append(Problem("expects", "a circuit is faithful where the distance is below a margin"))
    return threshold, problems


def measure_of(body: Json) -> str:
    """What of the prompts the claim is about; the logit difference where the body is silent."""
    found: str = body.get("measure", "logit_diff")
    return found


def beside(file: str) -> str:
    """The name of the circuit's file that belongs to a claim's."""
    return f"{file.removesuffix('.py')}.toml"


def measured(body: Json, change: str) -> str:
    """The lines that measure and expect, of what is done."""
    measure, expects = MEASURES[measure_of(body)], body["expects"]
    asked = f", {measure.metric}" if measure.metric else ""
    expected = f"check.{expects}(changed, THRESHOLD)"
    if measure.share:
        expected = f"check.rate({measure.share.format('changed')}, {expects}=THRESHOLD)"
    return f"    changed = run(model, prompts, {change}{asked})\n    {expected}"


def faithful(circuit: Circuit) -> str:
    """The line that expects a circuit to be faithful: of its edges, or of the sites of its roles, as a claim's decoys need them."""
    parts = "circuit.edges" if circuit.edges else " | ".join(f"circuit[{role!r}]" for role in circuit)
    return f"    check.faithful({parts}, prompts, margin=THRESHOLD, instead={instead(circuit)!r})"


def instead(circuit: Circuit) -> Instead:
    """What all else carries, as it did where the circuit was found."""
    found = circuit.edge_record.instead if circuit.edge_record else ""
    return cast(Instead, found or "counterfactual")


@dataclass(frozen=True)
class Subject:
    """What a claim is about."""

    done: Sequence[Intervention]
    """What is done; nothing for a circuit that is faithful."""
    sites: Sites
    """To these."""
    role: str | None
    """The role of the circuit that they are, if they are one."""
    found: Circuit | None
    """A circuit that was found, and that the claim reads from the file beside it."""


def source(body: Json, model: str, subject: Subject, explored: Explored, fresh: int) -> str:
    """The file. What the user wrote stands in it as literals alone.

    Args:
        body: what the page asked, of which `claimed` found nothing wrong.
        model: the name that the claim is about.
        subject: its heads, and what is done to them, or a circuit.
        explored: what the claim must not be verified on.
        fresh: the seed of the prompts that it is verified on.
    """
    done, role, found, of = subject.done, subject.role, subject.found, body.get("of", "heads")
    function = body["file"].removesuffix(".py")
    used, about, helper = {"claim"}, [], ""
    if found is not None:
        used |= {"load_circuit", "provenance"}
        digest = hashlib.sha256(body["circuit"].encode()).hexdigest()
        about += [f"CIRCUIT = Path(__file__).with_name({beside(body['file'])!r})  # its sha256 is {digest[:16]} ..."]
    elif role is None:
        used |= {"Circuit", of}
        about += [f"SITES = {subject.sites.places!r}"]
    if not done:
        assert found is not None
        lines, kind = faithful(found), "sufficiency"
    else:
        written = write_change(done, "circuit[ROLE]" if role else 'circuit["chosen"]', of, body)
        used |= {*written.uses, "run"} | ({MEASURES[measure_of(body)].metric} - {""})
        about += [f"ROLE = {role!r}"] if role else []
        lines, kind, helper = measured(body, written.call), "", written.helper
        # Only what takes something away, and does harm, can show that it was needed.
        if body["do"] not in ("scale", "steer", "noise") and (body["expects"] == "above") == MEASURES[measure_of(body)].rises:
            kind = "necessity"
    rows = [" ".join(explored.ids[at : at + 5]) for at in range(0, len(explored.ids), 5)]
    return _SOURCE.format(
        path="" if found is None else "\nfrom pathlib import Path\n",
        imported=", ".join(sorted(used, key=lambda name: (name.islower(), name))),
        about="\n".join(about), threshold=repr(claimed(body)[0]),
        task=repr(explored.task), split=repr(explored.split), seed=explored.seed, fresh=fresh,
        ids="\n".join(f"    {row}" for row in rows), helper=helper,
        circuit=_LOADED if found else "" if role else _CHOSEN.replace("{read}", of),
        decoys="as many other edges" if not done and found and found.edges else "random sites like these",
        statement=repr(body["statement"].strip()), model_name=repr(model), kind=f'\n    kind="{kind}",' if kind else "",
        function=function, body=lines,
    )  # fmt: skip
