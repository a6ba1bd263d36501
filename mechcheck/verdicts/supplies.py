"""What a claim is given: its model, the prompts of its task, the circuit recorded for them. From this machine only."""

from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mechcheck.base.handed import hand_out
from mechcheck.verdicts.case import Case, Conditions
from mechcheck.verdicts.claim import ClaimSpec

if TYPE_CHECKING:
    from transformer_lens.model_bridge import TransformerBridge

    from mechcheck.notation.circuit import Circuit
    from mechcheck.prompts.prompt_set import PromptSet
    from mechcheck.tasks.registry import Split

PromptsFor = Callable[..., "PromptSet"]
"""(model, *, seed): a claim's prompts, for whichever model; with the run's seed unless another is given."""
CircuitFor = Callable[["TransformerBridge"], "Circuit"]
"""A claim's circuit, for whichever model."""


def load(conditions: Conditions, name: str, dtype: str | None = None) -> "TransformerBridge":
    """A model as the run wants it; in the first of its dtypes unless one is given."""
    from mechcheck.models.loading import load_model

    prepare(conditions)
    return load_model(name, device=conditions.device, dtype=dtype or conditions.dtype, offline=True)


def prepare(conditions: Conditions) -> None:
    """Have torch compute as the run wants it: for a claim that brings its own model too, whatever ran before it."""
    import torch

    from mechcheck.base.device import repeat_exactly
    from mechcheck.base.progress import be_quiet

    if conditions.threads:
        torch.set_num_threads(conditions.threads)
    repeat_exactly()
    be_quiet(conditions.quiet)


def default_models(spec: ClaimSpec, near: Path, given: Path | None) -> tuple[str, ...]:
    """The embedded models that a claim runs on when none is asked for: those that have a circuit for its task."""
    from mechcheck.circuits.recorded import models_with_circuit
    from mechcheck.models.names import embedded_models

    known = embedded_models()
    if spec.task is not None:
        known = tuple(name for name in known if name in models_with_circuit(spec.task, near, given))
    elif not spec.models:
        known = known[:1]
    return tuple(name for name in known if not spec.models or name in spec.models)


def task_generator(case: Case) -> Callable[..., "PromptSet"]:
    """(model, *, n, seed, split) -> prompts of the claim's task, the same object for all claims that ask for the same.

    The options of the generator are those that the model's recorded circuit was found with, and what the claim says besides.
    """
    task = case.spec.task
    assert task is not None

    def generated(model: "TransformerBridge", *, n: int, seed: int, split: "Split") -> "PromptSet":
        options = _options_recorded(case, model) | dict(case.spec.prompts)
        return hand_out(_task_prompts(task, model, n, seed, split, tuple(sorted(options.items()))))

    return generated


def _options_recorded(case: Case, model: "TransformerBridge") -> dict[str, Any]:
    """What the circuit recorded for a model and the claim's task says of its prompts (segments of another length, say)."""
    from mechcheck.circuits.files import load_circuit
    from mechcheck.models.loading import provenance

    path = recorded_at(case, provenance(model).name)
    found_on: Any = {} if path is None else load_circuit(path).notes.get("found_on", {})
    options = found_on.get("options", {})
    return {name: tuple(value) if isinstance(value, list) else value for name, value in options.items()}


def circuit_of(case: Case, model: "TransformerBridge") -> "Circuit":
    """The circuit recorded for a model and the claim's task, checked against its weights.

    Raises:
        NoCircuitError: none is recorded.
        CircuitError: it is for other weights.
    """
    from mechcheck.base.errors import NoCircuitError
    from mechcheck.circuits.files import check_circuit, load_circuit
    from mechcheck.models.loading import provenance

    name = provenance(model).name
    path = recorded_at(case, name)
    if path is None:
        if "#" in name:
            raise NoCircuitError(f"{name} has random weights, and no circuit: name another decoy, @claim(decoy={{...}})")
        how = how_to_find(case.spec.task, case.near, name, case.conditions.circuits)
        raise NoCircuitError(f"no circuit is recorded for {name} and task {case.spec.task!r}{how}")
    circuit = load_circuit(path)
    check_circuit(circuit, model)
    return circuit


def recorded_at(case: Case, model: str) -> Path | None:
    """The file of the circuit that is recorded for a model and the claim's task."""
    from mechcheck.circuits.recorded import circuit_path

    return None if case.spec.task is None else circuit_path(case.spec.task, model, case.near, case.conditions.circuits)


def how_to_find(task: str | None, near: Path, name: str, given: Path | None) -> str:
    """The commands that find a circuit for the model, where there is a search for the claims of this folder, or for their task."""
    from mechcheck.base.paths import data_dir
    from mechcheck.circuits.discover_scripts import searches

    shipped, folder = data_dir("claims"), given or "circuits"
    own = near.relative_to(shipped).as_posix() if near.is_relative_to(shipped) else None
    search = next((known for known in (own, task) if known in searches()), None)
    if search is None:
        return ""
    return f"; to find one: mechcheck discover {search} {name} --out {folder}, then pytest --mech-circuits {folder}"


@lru_cache(maxsize=32)
def _task_prompts(
    task: str, model: "TransformerBridge", n: int, seed: int, split: "Split", options: tuple[tuple[str, Any], ...]
) -> "PromptSet":
    from mechcheck.tasks.shipped import task_prompts

    return task_prompts(task, model, n=n, seed=seed, split=split, **dict(options))
