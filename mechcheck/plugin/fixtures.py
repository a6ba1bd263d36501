"""The fixtures of a claim: model, prompts, circuit, check."""

from collections.abc import Callable
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import pytest

from mechcheck.plugin.selection import claim_id, claim_spec, place_of
from mechcheck.plugin.settings import SETTINGS, Settings

if TYPE_CHECKING:
    from transformer_lens.model_bridge import TransformerBridge

    from mechcheck.notation.circuit import Circuit
    from mechcheck.prompts.prompt_set import PromptSet
    from mechcheck.verdicts.check import Check

MAKE_PROMPTS = pytest.StashKey[Callable[["TransformerBridge"], "PromptSet"]]()
"""How a claim's prompts are made for another model; absent where the user's own fixture made them."""


def load(settings: Settings, name: str, dtype: str | None = None) -> "TransformerBridge":
    """A model as the run's options want it, from this machine only; in the first of their dtypes unless one is given."""
    import torch

    from mechcheck.base.device import repeat_exactly
    from mechcheck.base.progress import be_quiet
    from mechcheck.models.loading import load_model

    if settings.threads:
        torch.set_num_threads(settings.threads)
    repeat_exactly()
    be_quiet(settings.quiet)
    return load_model(name, device=settings.device, dtype=dtype or settings.dtype, offline=True)


def recorded_circuit(item: pytest.Item, task: str, model: "TransformerBridge") -> "Circuit":
    """The circuit recorded for a model and task, checked against its weights."""
    from mechcheck.base.errors import CircuitError
    from mechcheck.circuits.files import check_circuit, circuit_path, load_circuit
    from mechcheck.models.loading import provenance

    name = provenance(model).name
    path = circuit_path(task, name, item.path.parent, item.config.stash[SETTINGS].circuits)
    if path is None:
        raise CircuitError(f"no circuit is recorded for {name} and task {task!r}")
    circuit = load_circuit(path)
    check_circuit(circuit, model)
    return circuit


@pytest.fixture
def model(request: pytest.FixtureRequest) -> "TransformerBridge":
    """The model under test, as a TransformerBridge; kept in memory between claims, unless one of them changed it."""
    settings = request.config.stash[SETTINGS]
    if not hasattr(request, "param"):
        from mechcheck.models.loading import embedded_models

        return load(settings, (settings.models or embedded_models())[0])
    return load(settings, request.param, getattr(request.param, "dtype", None))


@pytest.fixture
def partner(request: pytest.FixtureRequest) -> "Callable[[TransformerBridge], TransformerBridge]":
    """partner(model): the other model of a claim about two, `@claim(models={model: other})`, in the same dtype and on the same device.

    It comes from where `--mech-model` says, if it is given too (`--mech-model ~/gpt2 --mech-model ~/pythia-410m`), else from the
    embedded models or the local cache of the hub. Where it is not at hand the claim is skipped.
    """
    from mechcheck.base.errors import ClaimError, ModelError
    from mechcheck.models.hub import HubError
    from mechcheck.models.loading import load_model, provenance

    spec, given = claim_spec(request.node), request.config.stash[SETTINGS].models
    if spec is None or not spec.partners:
        raise ClaimError("the `partner` fixture needs @claim(..., models={model: other})")

    def load_partner(of: "TransformerBridge") -> "TransformerBridge":
        known = provenance(of)
        about = spec.about(known.name.partition("#")[0])
        if about is None:
            raise ClaimError(f"this claim names no partner for {known.name}: @claim(..., models={{{known.name!r}: other}})")
        name = spec.partners[about]
        try:
            return load_model(place_of(name, given), device=known.device, dtype=known.dtype, offline=True)
        except ModelError as error:
            if not isinstance(error.__cause__, HubError):
                raise
            pytest.skip(
                f"{known.name} is compared with {name}, which is not on this machine: fetch it (mechcheck prefetch {name}), "
                f"or give the directory that it is in as well (--mech-model path/to/{name.rpartition('/')[2]})"
            )

    return load_partner


@pytest.fixture
def prompts(request: pytest.FixtureRequest, model: "TransformerBridge") -> "PromptSet":
    """Verification prompts of the claim's task, the same for all claims of a task."""
    from mechcheck.base.errors import ClaimError, PromptError
    from mechcheck.circuits.files import circuit_path
    from mechcheck.models.loading import provenance

    spec, settings = claim_spec(request.node), request.config.stash[SETTINGS]
    if spec is None or spec.task is None:
        raise ClaimError('the `prompts` fixture needs @claim(..., task="..."), or define a `prompts` fixture of your own')

    def make(for_model: "TransformerBridge") -> "PromptSet":
        return _prompts(spec.task, for_model, settings.n_prompts, settings.seed, tuple(sorted(spec.prompts.items())))

    request.node.stash[MAKE_PROMPTS] = make
    try:
        return make(model)
    except PromptError as error:
        name = provenance(model).name
        if circuit_path(spec.task, name, request.path.parent, settings.circuits) is not None:
            raise  # somebody knows this model to do the task
        pytest.skip(f"{name} cannot be asked about {spec.task!r}: {error}")


@pytest.fixture
def circuit(request: pytest.FixtureRequest, model: "TransformerBridge") -> "Circuit":
    """The circuit recorded for the model and the claim's task."""
    from mechcheck.base.errors import ClaimError

    spec = claim_spec(request.node)
    if spec is None or spec.task is None:
        raise ClaimError('the `circuit` fixture needs @claim(..., task="...")')
    from mechcheck.notation.circuit import traced

    return traced(recorded_circuit(request.node, spec.task, model))


@pytest.fixture
def check(request: pytest.FixtureRequest) -> "Check":
    """Takes the claim's expectations: check.above(...), check.rate(...), ..."""
    from mechcheck.base.errors import ClaimError

    spec = claim_spec(request.node)
    if spec is None:
        raise ClaimError("the `check` fixture is for claims: decorate the test with @claim(...)")
    names = request.fixturenames
    chosen = request.getfixturevalue("model") if "model" in names else None
    found = request.getfixturevalue("circuit") if "circuit" in names else None
    return make_check(request.config.stash[SETTINGS], claim_id(request.node, spec), chosen, found)


def make_check(settings: Settings, claim: str, chosen: "TransformerBridge | None", found: "Circuit | None") -> "Check":
    """A fresh check whose seed comes from the claim's id and --mech-seed alone."""
    from hashlib import sha256

    from mechcheck.stats.estimates import Sampling
    from mechcheck.verdicts.check import Check

    seed = int.from_bytes(sha256(f"{claim}|{settings.seed}".encode()).digest()[:4], "big")
    sampling = Sampling(settings.confidence, settings.resamples, seed)
    return Check(sampling, chosen, found.sites if found is not None else None, seed, examples=settings.n_prompts)


@lru_cache(maxsize=32)
def _prompts(task: str, model: "TransformerBridge", n: int, seed: int, options: tuple[tuple[str, Any], ...]) -> "PromptSet":
    from mechcheck.tasks.shipped import task_prompts

    return task_prompts(task, model, n=n, seed=seed, split="verify", **dict(options))
