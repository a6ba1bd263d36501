"""What is on the page as a pytest file: the same sites and change, on prompts of the task that the page did not show."""

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass

from mechcheck.explorer.bodies import Json, Problem
from mechcheck.explorer.written import write_change
from mechcheck.notation.interventions import Intervention
from mechcheck.notation.sites import Sites

FILE = re.compile(r"test_[a-z0-9_]{1,60}\.py")
"""Names that a file may have: none of them leads out of a folder, and each is the name of a function too."""
STATEMENT = 500
"""Characters of a statement at most."""
_EXPECTED = {
    "below": "check.below(changed, THRESHOLD)",
    "above": "check.above(changed, THRESHOLD)",
    "rate": "check.rate(changed < 0, above=THRESHOLD)",
}
_SOURCE = '''"""A claim that was made on the page of `mechcheck explore`."""

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
    # Its decoys are random sites like these, outside of the circuit: this must not hold of them.
    changed = run(model, prompts, {change})
    {expected}


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
_CIRCUIT = """
@pytest.fixture
def circuit_for():
    return lambda model: Circuit({"chosen": {read}(SITES)})

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
    elif body["expects"] == "rate" and not 0 < threshold < 1:
        problems.append(Problem("threshold", "a share of prompts lies between 0 and 1, and could not fail, or hold, at these"))
    return threshold, problems


def source(body: Json, model: str, done: Sequence[Intervention], sites: Sites, role: str | None, explored: Explored, fresh: int) -> str:
    """The file. What the user wrote stands in it as literals alone.

    Args:
        body: what the page asked, of which `claimed` found nothing wrong.
        model: the name that the claim is about.
        done: what is done to the sites.
        sites: these.
        role: the role of the recorded circuit that they are, if they are one.
        explored: what the claim must not be verified on.
        fresh: the seed of the prompts that it is verified on.
    """
    function, of = body["file"].removesuffix(".py"), body.get("of", "heads")
    where = "circuit[ROLE]" if role else 'circuit["chosen"]'
    written = write_change(done, where, of, body)
    used = {*written.uses, "claim", "run"} | (set() if role else {"Circuit", of})
    # Only what takes something away can show that it was needed.
    necessity = body["do"] not in ("scale", "steer", "noise") and body["expects"] != "above"
    rows = [" ".join(explored.ids[at : at + 5]) for at in range(0, len(explored.ids), 5)]
    return _SOURCE.format(
        imported=", ".join(sorted(used, key=lambda name: (name.islower(), name))),
        about=f"ROLE = {role!r}" if role else f"SITES = {sites.places!r}", threshold=repr(claimed(body)[0]),
        task=repr(explored.task), split=repr(explored.split), seed=explored.seed, fresh=fresh,
        ids="\n".join(f"    {row}" for row in rows), circuit="" if role else _CIRCUIT.replace("{read}", of), helper=written.helper,
        statement=repr(body["statement"].strip()), model_name=repr(model), kind='\n    kind="necessity",' if necessity else "",
        function=function, change=written.call, expected=_EXPECTED[body["expects"]],
    )  # fmt: skip
