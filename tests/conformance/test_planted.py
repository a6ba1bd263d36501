"""Planted claims are true, false or neither as they are said to be, and are decided by the check that claims use."""

import numpy as np
import pytest

from mechcheck.conformance.planted import (
    KINDS,
    claim_at,
    contested,
    draw_target,
    plant_contest,
    plant_elsewhere,
    plant_for_all,
    plant_several,
)
from mechcheck.conformance.planted_circuits import Ground
from mechcheck.conformance.subjects import bench, benches
from mechcheck.models.loading import load_model
from mechcheck.verdicts.case import Conditions

N = 240


@pytest.fixture(scope="module")
def planted_on():
    return [bench(load_model("names-gpt2-seed4", offline=True), "ioi", seed=0, population=N)]


@pytest.fixture
def rng():
    return np.random.default_rng(0)


@pytest.mark.parametrize("kind", KINDS)
def test_the_threshold_stands_where_it_was_put(planted_on, rng, kind):
    for distance in (0.0, 1.0, 4.0, -4.0):
        target = draw_target(planted_on, kind, N, rng)
        check = claim_at(target, distance, N, rng)
        (expectation,) = check.expectations
        assert expectation.kind == ("above" if kind == "share" else kind) or kind == "share"
        ends = [end for end in expectation.region if np.isfinite(end)]
        nearest = min(abs(end - target.truth) for end in ends)
        assert nearest == pytest.approx(abs(distance) * target.error(N), abs=1e-9 * max(1, abs(target.truth)))
        if distance:
            assert (expectation.region[0] < target.truth < expectation.region[1]) == (distance > 0)


@pytest.mark.parametrize(("distance", "verdict"), [(12.0, "supported"), (-12.0, "refuted")])
def test_far_from_the_threshold_claims_are_decided_rightly(planted_on, rng, distance, verdict):
    found = [claim_at(draw_target(planted_on, kind, N, rng), distance, N, rng).verdict for kind in ("greater", "share") for _ in range(8)]
    assert set(found) == {verdict}


def test_what_is_true_of_other_labels_or_weights_is_not_supported(planted_on, rng):
    found = [plant_elsewhere(planted_on, N, rng) for _ in range(12)]
    assert {one.kind for one in found} == {"labels swapped", "other weights"}
    assert {one.verdict for one in found} <= {"refuted", "inconclusive"}


def test_several_checks_are_one_claim(planted_on, rng):
    assert {one.verdict for one in (plant_several(planted_on, N, rng) for _ in range(12))} <= {"inconclusive", "refuted", "supported"}


def test_a_neuron_far_ahead_of_the_others_beats_them(planted_on, rng):
    assert not list(contested(planted_on, rng))  # that model's layers have 4 neurons
    among = list(contested([bench(load_model("years-gpt2-seed0", offline=True), "greater_than", seed=0, population=N)], rng))
    assert [plant_contest(among, 12.0, N, rng).verdict for _ in range(2)] == ["supported"] * 2
    mine = int(np.argsort([among[0].subject.population.truth(among[0].subject.lost(sites)) for sites in among[0].sites])[0])
    weakest = among[0].claim(mine, among[0].subject.population.draw(rng, N), 0)
    assert weakest.verdict in ("refuted", "inconclusive")
    assert len(weakest.expectations[0].control.values) == len(among[0].sites) - 1  # all others of the pool, and no others


def test_searches(planted_on, rng):
    assert plant_for_all(planted_on, 0.0, 30, rng).verdict == "supported"
    assert plant_for_all(planted_on, 0.5, 30, rng).verdict == "refuted"


def test_circuits_are_judged_among_their_alternatives(planted_on, rng):
    ground = Ground(planted_on, Conditions((), "cpu", ("float32",), 0, "smoke", N, 8, 1))
    vacuous, specific = (ground.judge_many(rng, 12, vacuous=wanted) for wanted in (True, False))
    assert {one.alternatives for one in vacuous} >= {"re-initialised weights", "every other set of sites"}
    assert all(one.share >= 0.5 for one in vacuous)
    assert all(one.share < 0.5 for one in specific)
    assert sum(one.decision == "vacuous" for one in vacuous) >= 10
    assert specific
    assert not any(one.vacuous for one in specific)


def test_any_model_is_asked_what_it_can_be_asked(model_dirs):
    (found,) = benches([str(model_dirs["gpt2"])], seed=0, population=54)
    assert found.task == "induction"  # of words it knows none
    assert [len(circuit.sites) for circuit in found.circuits] == [1, 2, 2, 1]
