"""What claims will take, told from what they took before: on the same model, or on another one by its shape."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from mechcheck.base.shape import Shape
from mechcheck.models.stored import Stored
from mechcheck.verdicts.case import PROFILES, Case

Json = dict[str, Any]

BYTES = {"float64": 8, "float32": 4, "bfloat16": 2, "float16": 2}
_ASSUMED_TOKENS = 16
"""Of a prompt, where no evidence says it."""
_TWINS = "re-init"
_TWINS_NEEDED = 5
"""Models with other weights that a claim without a circuit is run on until it is told from them."""
# Measured on one core: what norms, softmax and copies add to products; reading, folding and checking weights; imports.
_BESIDE_PRODUCTS = 1.5
_LOADING = 4e-9
"""Seconds for each byte of weights in float32."""
_LOADED, _BEGINNING = 0.1, 6.0
_PROCESS = 650 * 2**20
"""Bytes that a process takes whose models are small: torch, transformers, and what the engine remembers."""
_RUNS, _BATCH, _PACKED = 512 * 2**20, 256 * 2**20, 512 * 2**20
"""Bytes that the engine remembers of untouched runs, and takes for a batch, at most; and of products up to which it lays them out anew."""
_LARGE = 30_000_000
_KEPT_TWINS = {True: 2, False: 0}
"""Beside a large model; small ones take no room to speak of."""


class Planned(NamedTuple):
    """What one claim is expected to take."""

    claim: str
    model: str
    forwards: int
    flops: float
    seconds: float
    """On one thread that has nothing else to do, or on the GPU; loading the model itself aside."""
    memory: int
    """Bytes at most, of the process or of the GPU."""
    known_from: str
    """The model that it was measured on; "assumed" where there is no evidence of the claim."""


class Machine(NamedTuple):
    """What is known of the place where the claims are to run."""

    speed: Callable[[int, int], float]
    """Operations in a second of products of d_model by d_mlp."""
    models: Callable[[str], Stored | None]
    """A model's files, by its name; None where they are not on this machine."""


def planned(cases: Iterable[Case], earlier: Sequence[Json], run: Json | None, machine: Machine) -> list[Planned]:
    """What the cases will take.

    Args:
        cases: claims on models whose files are there; those without a model take next to nothing and are left out.
        earlier: claims of an earlier run, as its evidence has them.
        run: what that evidence says of the run; None where there is none.
        machine: where they are to run.
    """
    known = [claim for claim in earlier if claim.get("cost") and claim.get("model") and claim.get("prompts")]
    profile = PROFILES[run["profile"]] if run and run["profile"] in PROFILES else None
    found = []
    for case in cases:
        model = None if case.model is None else machine.models(case.model)
        if case.model is not None and model is not None:
            found.append(_planned(case, model, _like(case, known), profile, machine))
    return found


def loading_seconds(model: Stored) -> float:
    """What it takes to load a model once."""
    return _LOADED + 4 * model.n_params * _LOADING


def total_seconds(plans: Sequence[Planned], models: Mapping[str, Stored]) -> float:
    """Of one process that runs them all: imports, each model loaded once, the claims."""
    return _BEGINNING + sum(map(loading_seconds, models.values())) + sum(plan.seconds for plan in plans)


def _like(case: Case, known: Sequence[Json]) -> Json | None:
    """What the same claim took: with the same parameters on the same model, else on another, else with others."""
    params = {name: str(value) for name, value in case.params.items()}
    same = [claim for claim in known if _base(claim["id"]) == _base(case.id)]
    return max(same, key=lambda claim: (claim["params"] == params, claim["model"]["name"] == case.model), default=None)


def _base(claim: str) -> str:
    return claim.partition("[")[0]


def _planned(case: Case, model: Stored, like: Json | None, profile: tuple[int, int] | None, machine: Machine) -> Planned:
    assert case.model is not None
    shape, conditions = model.shape, case.conditions
    speed = machine.speed(shape.d_model, max(shape.d_mlp, shape.d_model))
    if like is None:
        twins, kept = (_TWINS_NEEDED, "assumed")
        forwards = conditions.n_prompts * (1 + twins)
        flops, overhead = float(forwards * shape.operations(1, _ASSUMED_TOKENS, 1)), 0.1 * (1 + twins)
    else:
        kept, cost, before = like["model"]["name"], like["cost"], machine.models(like["model"]["name"])
        more = conditions.n_prompts / profile[0] if profile else 1.0
        twins = like["decoys"]["n"] if like["decoys"] and like["decoys"]["kind"].startswith(_TWINS) else 0
        forwards, flops = round(cost["forwards"] * more), cost["flops"] * more * _ratio(shape, before, like, model)
        overhead = _overhead(cost, like, before, twins, machine) * (shape.layers / before.shape.layers if before else 1.0)
    seconds = overhead + _BESIDE_PRODUCTS * flops / speed + twins * loading_seconds(model)
    memory = _memory(model, case, _width(like), twins=twins > 0)
    return Planned(case.id, case.model, forwards, flops, seconds, memory, kept)


def _ratio(shape: Shape, before: Stored | None, like: Json, model: Stored) -> float:
    """How much more a forward pass takes than on the model that the claim was measured on."""
    if before is None:
        return model.n_params / like["model"]["n_params"]
    width = _width(like)
    return shape.operations(1, width, 1) / before.shape.operations(1, width, 1)


def _overhead(cost: Json, like: Json, before: Stored | None, twins: int, machine: Machine) -> float:
    """Seconds that went into neither products nor twins: they grow with layers, not with weights."""
    if before is None:
        return min(cost["cpu_s"], 1.0)
    products = _BESIDE_PRODUCTS * cost["flops"] / machine.speed(before.shape.d_model, max(before.shape.d_mlp, before.shape.d_model))
    small = 0.05 * twins  # a small twin is made in a moment
    return max(0.0, cost["cpu_s"] - products - small)


def _memory(model: Stored, case: Case, width: int, *, twins: bool) -> int:
    shape, conditions = model.shape, case.conditions
    size, large = BYTES[conditions.dtype], model.n_params >= _LARGE
    joint = shape.layers * shape.d_model * (shape.heads + 2 * shape.kv_heads) * shape.d_head  # queries, keys and values side by side
    packed = shape.layers * shape.layer_weights
    packed = packed if conditions.dtype == "float32" and conditions.device == "cpu" and packed * size <= _PACKED else 0
    one = size * (model.n_params + shape.head_weights + joint)  # an unembedding that was tied has its own weights once it is centred
    alive = 1 + (_KEPT_TWINS[large] + 1 if twins else 0)
    kept = conditions.n_prompts * width * shape.layers * 8 * shape.d_model * size
    return _PROCESS + alive * one + packed * size + min(_RUNS, 2 * kept) + min(_BATCH, 4 * kept)


def _width(like: Json | None) -> int:
    """Tokens of a prompt."""
    return _ASSUMED_TOKENS if like is None else sum(like["prompts"]["lengths"]) // 2
