"""What claims will take is told from what they took: more prompts, another model, other weights, and nothing known at all."""

from dataclasses import replace
from pathlib import Path

import made_evidence
import pytest

from mechcheck.base.shape import Shape
from mechcheck.evidence.costs.plan import Machine, loading_seconds, planned, total_seconds
from mechcheck.models.stored import Stored
from mechcheck.verdicts.case import PROFILES, Case, Conditions
from mechcheck.verdicts.claim import ClaimSpec

SMALL = Stored(Shape(2, 64, 4, 4, 16, 256, gated=False, vocabulary=300), 200_000)
LARGE = Stored(Shape(32, 4096, 32, 32, 128, 11008, gated=True, vocabulary=32000), 6_700_000_000)
MODELS = {"small": SMALL, "large": LARGE}
SPEED = 1e10
MACHINE = Machine(lambda inner, outer: SPEED, MODELS.get)
CONDITIONS = Conditions(
    models=(), device="cpu", dtypes=("float32",), seed=0, profile="smoke", n_prompts=PROFILES["smoke"][0], decoys=16, threads=1
)


def case(model="small", name="test_it", conditions=CONDITIONS, **params):
    return Case(f"{name}[{model}]", ClaimSpec(statement="so it is"), conditions, Path(), model, params)


def took(model="small", flops=10**9, kind="random sites", **changes):
    prompts = made_evidence.claim()["prompts"] | {"n": 96, "lengths": [14, 18]}
    about = made_evidence.model() | {"name": model, "n_params": MODELS[model].n_params}
    decoys = {"kind": kind, "n": 5, "supported": 0, "rejected": 5, "caveat": None, "runs": []}
    cost = {"forwards": 576, "flops": flops, "cpu_s": 0.5, "peak_bytes": 10**9}
    return made_evidence.claim("test_it[small]", model=about, prompts=prompts, decoys=decoys, cost=cost, **changes)


def plan(one, earlier=(), profile="smoke"):
    (found,) = planned([one], earlier, {"profile": profile}, MACHINE)
    return found


def test_the_same_again():
    found = plan(case(), [took()])
    assert (found.forwards, found.flops, found.known_from) == (576, 10**9, "small")
    assert found.seconds == pytest.approx(0.5)


def test_more_prompts():
    found = plan(case(conditions=replace(CONDITIONS, profile="ci", n_prompts=240)), [took()])
    assert (found.forwards, found.flops) == (1440, 2.5 * 10**9)
    assert found.seconds == pytest.approx(0.5 + 1.5 * 1.5e9 / SPEED)  # products alone grow


def test_a_larger_model():
    found = plan(case("large"), [took()])
    times = LARGE.shape.operations(1, 16, 1) / SMALL.shape.operations(1, 16, 1)
    assert found.flops == pytest.approx(times * 10**9)
    assert found.seconds == pytest.approx(1.5 * found.flops / SPEED + 16 * (0.5 - 0.15))  # 32 layers for 2
    assert found.memory > 4 * LARGE.n_params
    half = plan(case("large", conditions=replace(CONDITIONS, dtypes=("bfloat16",))), [took()])
    assert half.memory < 0.6 * found.memory


def test_other_weights_are_loaded_for_it():
    found, twins = (plan(case("large"), [took(kind=kind)]) for kind in ("random sites", "re-initialised weights"))
    assert twins.seconds - found.seconds == pytest.approx(5 * loading_seconds(LARGE) - 16 * 0.25)
    assert twins.memory - found.memory > 3 * 4 * LARGE.n_params


def test_the_nearest_evidence_is_taken():
    other = took(flops=2 * 10**9, params={"method": "zero"})
    mean = took(flops=3 * 10**9, params={"method": "mean"})
    elsewhere = took("large", flops=10**15, params={"method": "mean"})
    assert plan(case(method="mean"), [other, elsewhere, mean]).flops == 3 * 10**9
    assert plan(case(method="resample"), [other, elsewhere]).flops == 2 * 10**9
    assert plan(case("large", method="mean"), [mean, elsewhere]).known_from == "large"


def test_nothing_is_known():
    found = plan(case(), [took(), made_evidence.claim("test_other")][1:])
    assert (found.known_from, found.forwards) == ("assumed", 96 * 6)
    assert found.flops == 576 * SMALL.shape.operations(1, 16, 1)


def test_models_that_are_not_here_and_claims_without_one():
    assert planned([case("unknown"), case(None)], [], None, MACHINE) == []


def test_the_whole_run():
    plans = planned([case(), case("large")], [took()], {"profile": "smoke"}, MACHINE)
    loading = loading_seconds(SMALL) + loading_seconds(LARGE)
    assert total_seconds(plans, MODELS) == pytest.approx(6 + loading + sum(one.seconds for one in plans))
