"""Compiled models: weights set by hand, so that the circuit is known.

They calibrate the instrument: every row of a model's truth table says what an intervention must lead to.

    model, circuit = load_model("compiled-ioi"), known_circuit("compiled-ioi")
    prompts = task_prompts(task_of("compiled-ioi"), model, n=96, seed=0)
    assert not disagreements(model, prompts, truth_table("compiled-ioi"), circuit)  # of mechcheck.conformance.truth_tables

A circuit of one's own, here a head that says again the name that stands just before:

    name, place = words("name", ["Mary", "John"]), positions("place", 40)
    before = Head("repeats", "END", (Match("place", "place", 30.0, offset=-1),), (Move("name", "said", 10.0),))
    own = Blueprint("parrot", (name, place, scratch("said", like=name)), {"0.0": before}, outputs={"said": "name"})
    save_model(own, Path("parrot"))
    model = load_model("./parrot")
"""

import hashlib
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import NamedTuple

from mechcheck.base.errors import ModelError
from mechcheck.compiled import induction, ioi, negative, redundant
from mechcheck.compiled._blueprint import (
    ALWAYS,
    LOGITS,
    Blueprint,
    CompileError,
    Edge,
    Head,
    Match,
    Move,
    Register,
    codes,
    flag,
    positions,
    scratch,
    words,
)
from mechcheck.compiled._compiler import compile_weights, config_of, lay_out, save_model, token_ids
from mechcheck.compiled._directories import built
from mechcheck.compiled._truth import Attention, Method, Near, Row
from mechcheck.compiled._wiring import wiring
from mechcheck.notation.circuit import Circuit
from mechcheck.notation.sites import Sites

__all__ = [
    "ALWAYS", "LOGITS", "Attention", "Blueprint", "CompileError", "Edge", "Head", "Match", "Method", "Move", "Near",
    "Register", "Row", "blueprint", "built_edges", "codes", "compile_weights", "compiled_directory", "compiled_models", "config_of",
    "flag", "known_circuit", "known_edges", "lay_out", "positions",
    "save_model", "scratch", "task_of", "token_ids", "truth_table", "wiring", "words",
]  # fmt: skip


class _Compiled(NamedTuple):
    blueprint: Callable[[], Blueprint]
    truth: tuple[Row, ...]
    task: str


_COMPILED = {
    "compiled-induction": _Compiled(induction.blueprint, induction.TRUTH, induction.TASK),
    "compiled-ioi": _Compiled(ioi.blueprint, ioi.TRUTH, ioi.TASK),
    "compiled-negative": _Compiled(negative.blueprint, negative.TRUTH, negative.TASK),
    "compiled-redundant": _Compiled(redundant.blueprint, redundant.TRUTH, redundant.TASK),
}


def compiled_models() -> tuple[str, ...]:
    """Names of the compiled models."""
    return tuple(_COMPILED)


@cache
def blueprint(name: str) -> Blueprint:
    """What a compiled model was built from."""
    return _find(name).blueprint()


def truth_table(name: str) -> tuple[Row, ...]:
    """Which intervention on which roles leads to what, and why; measured on prompts of `task_of(name)` by `measure_row`.

    The tolerances hold for 48 prompts or more: what a mean is over decides how much of each name is in it.
    """
    return _find(name).truth


def task_of(name: str) -> str:
    """The task that a compiled model does: its prompts are `task_prompts(task_of(name), model, n=..., seed=...)`."""
    return _find(name).task


def compiled_directory(name: str) -> Path:
    """The model's Hugging Face directory, built on demand (about a second) in a per-user cache; no network is used.

    The folder is named by a hash of everything the model is made from, so that it is never out of date. The cache is
    $MECHCHECK_CACHE, or the platform's own folder for caches; what was not asked for in 30 days is removed from it when
    another model is built.
    """
    return built(blueprint(name))


def known_circuit(name: str) -> Circuit:
    """The circuit as it was built: every role, with the position at which its heads act."""
    weights = hashlib.sha256((compiled_directory(name) / "model.safetensors").read_bytes()).hexdigest()
    return Circuit(blueprint(name).circuit_roles, f"mechcheck.compiled: {name} was built so", weights)


def known_edges(name: str) -> frozenset[Edge]:
    """The connections between roles as they were built: who writes what is read by whom, as query, key or value."""
    return blueprint(name).edges


def built_edges(name: str) -> Sites:
    """The edges of the model's graph (see `mechcheck.graph`) as they were built: all through which a word can come to count in the logits.

    Beside the connections of `known_edges` that lead there, what heads read of the input.
    """
    return wiring(blueprint(name))


def _find(name: str) -> _Compiled:
    if name not in _COMPILED:
        raise ModelError(f"no compiled model {name!r}; there are {', '.join(_COMPILED)}")
    return _COMPILED[name]
