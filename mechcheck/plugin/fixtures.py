"""The fixtures of a claim: model, prompts, circuit, check; and what makes them for another model."""

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

import pytest

from mechcheck.models.names import directory_of, model_name, place_of
from mechcheck.plugin.cases import case_of, first_values
from mechcheck.plugin.drawing import draw_of
from mechcheck.plugin.instrument import examine
from mechcheck.plugin.settings import SETTINGS
from mechcheck.verdicts.case import Case
from mechcheck.verdicts.supplies import CircuitFor, PromptsFor, circuit_of, default_models, load, recorded_at, task_generator

if TYPE_CHECKING:
    from transformer_lens.model_bridge import TransformerBridge

    from mechcheck.notation.circuit import Circuit
    from mechcheck.prompts.prompt_set import PromptSet
    from mechcheck.verdicts.check import Check
    from mechcheck.verdicts.designs.replicas import Replicas


PROMPTS_FOR = pytest.StashKey[PromptsFor]()
"""How an item's prompts are made for another model, as its fixtures said; they do not where the user's own `prompts` asks none of ours."""
CIRCUIT_FOR = pytest.StashKey[CircuitFor]()
"""Likewise its circuit."""


def _case(request: pytest.FixtureRequest, otherwise: str) -> Case:
    """The claim that asks for a fixture; an error that says what it needs where it is none."""
    from mechcheck.base.errors import ClaimError

    case = case_of(request.node)
    if case is None:
        raise ClaimError(otherwise)
    return case


@pytest.fixture
def model(request: pytest.FixtureRequest) -> "TransformerBridge":
    """The model under test, as a TransformerBridge; kept in memory between claims, unless one of them changed it."""
    settings, first = request.config.stash[SETTINGS], first_values(request.node)
    if "models" in first:
        return load(settings, place_of(first["models"], settings.models), first.get("dtype"))
    if not hasattr(request, "param"):
        from mechcheck.models.names import embedded_models

        return load(settings, (settings.models or embedded_models())[0])
    return load(settings, request.param, first.get("dtype", getattr(request.param, "dtype", None)))


@pytest.fixture
def partner(request: pytest.FixtureRequest) -> "Callable[[TransformerBridge], TransformerBridge]":
    """partner(model): the other model of a claim about two, `@claim(models={model: other})`, in the same dtype and on the same device.

    It comes from where `--mech-model` says, if it is given too (`--mech-model ~/gpt2 --mech-model ~/pythia-410m`), else from the
    embedded models or the local cache of the hub. Where it is not at hand the claim is skipped.
    """
    from mechcheck.base.errors import ClaimError, ModelError
    from mechcheck.models.hub import HubError
    from mechcheck.models.loading import load_model, provenance

    needed = "the `partner` fixture needs @claim(..., models={model: other})"
    case = _case(request, needed)
    spec, given = case.spec, case.conditions.models
    if not spec.partners:
        raise ClaimError(needed)

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
def make_prompts(request: pytest.FixtureRequest) -> "Callable[..., PromptSet]":
    """make_prompts(model, n=..., seed=..., split=...): how the claim's prompts are made; by its task's generator.

    Override it for prompts of your own: the run says how many, with which seed, for which model, also for those of a contrast.
    """
    from mechcheck.base.errors import ClaimError

    needed = 'the `prompts` fixture needs @claim(..., task="..."), or define a `make_prompts` or `prompts` fixture of your own'
    case = _case(request, needed)
    if case.spec.task is None:
        raise ClaimError(needed)
    return task_generator(case)


@pytest.fixture
def prompts_for(request: pytest.FixtureRequest, make_prompts: "Callable[..., PromptSet]") -> PromptsFor:
    """prompts_for(model): the claim's verification prompts for a model, as many and with the seed that the run says.

    Of a claim that draws its prompts part after part they are those that it has drawn so far.
    """
    settings, draw = request.config.stash[SETTINGS], draw_of(request.node)
    usual = first_values(request.node).get("seeds", settings.seed)

    def made(model: "TransformerBridge", *, seed: int = usual) -> "PromptSet":
        n = settings.n_prompts if draw is None else draw.budget
        whole = make_prompts(model, n=n, seed=seed, split="verify")
        return whole if draw is None else draw.drawn(whole)

    request.node.stash[PROMPTS_FOR] = made
    return made


@pytest.fixture
def prompts(request: pytest.FixtureRequest, prompts_for: PromptsFor, model: "TransformerBridge") -> "PromptSet":
    """Verification prompts of the claim's task, the same for all claims of a task."""
    from mechcheck.base.errors import PromptError
    from mechcheck.models.provenance import check_bridge, provenance

    check_bridge(model)
    request.node.stash[PROMPTS_FOR] = prompts_for
    try:
        return prompts_for(model)
    except PromptError as error:
        case, name = case_of(request.node), provenance(model).name
        if case is None or case.spec.task is None or recorded_at(case, name) is not None:
            raise  # nobody doubts, or somebody knows, that this model can be asked
        pytest.skip(f"{name} cannot be asked about {case.spec.task!r}: {error}")


@pytest.fixture
def circuit_for(request: pytest.FixtureRequest) -> CircuitFor:
    """circuit_for(model): the circuit recorded for a model and the claim's task."""
    from mechcheck.base.errors import ClaimError

    needed = 'the `circuit` fixture needs @claim(..., task="...")'
    case = _case(request, needed)
    if case.spec.task is None:
        raise ClaimError(needed)
    return lambda model: circuit_of(case, model)


@pytest.fixture
def circuit(request: pytest.FixtureRequest, circuit_for: CircuitFor, model: "TransformerBridge") -> "Circuit":
    """The circuit recorded for the model and the claim's task."""
    from mechcheck.models.provenance import check_bridge
    from mechcheck.notation.circuit import traced

    check_bridge(model)
    request.node.stash[CIRCUIT_FOR] = circuit_for
    return traced(circuit_for(model))


@pytest.fixture
def replicas(request: pytest.FixtureRequest, prompts_for: PromptsFor, circuit_for: CircuitFor) -> "Replicas":
    """The models of several training seeds, each with its prompts and its circuit, for a claim about all of them at once.

    Those that `--mech-model` says, of which the claim is about; by default the embedded ones of `@claim(models=[...])` that have a
    circuit for its task.
    """
    from mechcheck.verdicts.designs.replicas import Replica, Replicas

    case = _case(request, "the `replicas` fixture is for claims: decorate the test with @claim(..., task=..., models=[...])")
    spec, settings = case.spec, case.conditions
    asked = [name for name in settings.models if not spec.models or spec.about(model_name(name)) is not None]
    names = asked if settings.models else default_models(spec, case.near, settings.circuits)
    if len(names) < 2:
        found = ", ".join(names) or "none"
        pytest.skip(f"a claim about several seeds at once needs at least 2 models, got {found}: give each with --mech-model")

    def made(name: str, _: str) -> "TransformerBridge":
        found = load(settings, name)
        examine(request.config, {"model": found, "prompts": prompts_for(found)})
        return found

    # A directory is called by its last part; revisions of one model are told apart.
    called = [name if directory_of(name) is None else model_name(name) for name in names]
    return Replicas([Replica(shown, partial(made, name), prompts_for, circuit_for) for shown, name in zip(called, names, strict=True)])


@pytest.fixture
def check(request: pytest.FixtureRequest) -> "Check":
    """Takes the claim's expectations: check.above(...), check.rate(...), ..."""
    case = _case(request, "the `check` fixture is for claims: decorate the test with @claim(...)")
    names = request.fixturenames
    chosen = request.getfixturevalue("model") if "model" in names else None
    if "model" in names:
        from mechcheck.models.provenance import check_bridge

        check_bridge(chosen)
    found = request.getfixturevalue("circuit") if "circuit" in names else None
    draw = draw_of(request.node)
    return case.check(chosen, found, confidence=None if draw is None else draw.at_look)
