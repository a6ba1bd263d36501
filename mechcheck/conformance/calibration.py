"""How often verdicts are wrong, and how often they see what is there: on claims that were planted, so that it is known which are true."""

import itertools
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Executor
from typing import Any

import numpy as np

from mechcheck.base.device import repeat_exactly
from mechcheck.base.seeds import seed_from
from mechcheck.conformance.planted import (
    KINDS,
    Decided,
    contested,
    draw_target,
    plant,
    plant_contest,
    plant_elsewhere,
    plant_for_all,
    plant_several,
)
from mechcheck.conformance.planted_circuits import Ground, Judged
from mechcheck.conformance.subjects import POPULATION, Bench, benches
from mechcheck.stats.estimates import Confidence, estimate_rate
from mechcheck.stats.measurement import Measurement
from mechcheck.verdicts.case import PROFILES, Conditions

DISTANCES = (1, 2, 4)
"""From the threshold to the truth, in standard errors."""
CLAIMS = 8000
LEAST = 80
MANY, SKEWED = 16, 2.0
"""Templates, and skewness of the prompts' values, by which power is told apart."""
JUDGED = 800
"""Circuits and models that are contrasted with alternatives, vacuous ones and specific ones each, at most."""
Json = dict[str, Any]


def calibrate_profiles(
    models: Sequence[str], profiles: Sequence[str], *, claims: int = CLAIMS, seed: int = 0, device: str = "cpu",
    population: int = POPULATION, executor: Executor | None = None,
) -> dict[str, Json]:  # fmt: skip
    """`calibrate` under each profile, on all tasks of these models.

    Args:
        models: as `load_model` takes them.
        profiles: their names.
        claims, seed, device: as in `calibrate`.
        population: prompts of each task, whose mean is the truth.
        executor: its processes take a profile each (`cluster_executor`); the numbers are the same.
    """
    if executor is None:
        planted_on = list(benches(models, seed=seed, device=device, population=population))
        return {profile: calibrate(planted_on, profile, claims=claims, seed=seed, device=device) for profile in profiles}
    told = {"claims": claims, "seed": seed, "device": device, "population": population}
    asked = {profile: executor.submit(_calibrated, tuple(models), profile, **told) for profile in profiles}
    return {profile: one.result() for profile, one in asked.items()}


def _calibrated(models: Sequence[str], profile: str, **told: Any) -> Json:
    """In one of the processes: of one profile, computed as the command does."""
    import torch

    torch.set_num_threads(1)
    repeat_exactly()
    return calibrate_profiles(models, [profile], **told)[profile]


def calibrate(benches: Sequence[Bench], profile: str, *, claims: int = CLAIMS, seed: int = 0, device: str = "cpu") -> Json:
    """Plant claims of every kind and count what becomes of them.

    Args:
        benches: models and tasks to plant them on.
        profile: how many prompts and decoys a claim has.
        claims: null claims; a quarter as many true ones at each distance, and fewer of those that take long.
        seed: of all draws.
        device: that the models are on.

    Returns:
        Shares as {value, low, high, n}, with exact 95% intervals; see `docs/verdicts.md` for what each is a share of.
    """
    n, decoys = PROFILES[profile]
    conditions = Conditions((), device, ("float32",), seed, profile, n, decoys, 1)
    rng = np.random.default_rng(seed_from(f"calibrate {profile} {seed}"))
    others, few = max(2, claims // 4), max(2, claims // 40)

    there = [kind for kind in KINDS if draw_target(benches, kind, n, rng) is not None]

    def kinds(count: int, distance: float) -> list[Decided]:
        return _some(lambda i: plant(benches, there[i % len(there)], distance, n, rng), count) if there else []

    null = kinds(claims, 0.0)
    true = {distance: kinds(others, distance) for distance in DISTANCES}
    false = kinds(others, -4.0)
    elsewhere = _some(lambda i: plant_elsewhere(benches, n, rng), others)
    several = _some(lambda i: plant_several(benches, n, rng), others)
    among = list(contested(benches, rng))

    def contests(count: int, distance: float | None) -> list[Decided]:
        return _some(lambda i: plant_contest(among, distance, n, rng), count) if among else []

    alike, ahead = contests(others // 5, None), {distance: contests(few, distance) for distance in DISTANCES}
    unbroken, broken = (_some(lambda i, share=share: plant_for_all(benches, share, n, rng), few // 4) for share in (0.0, 0.05))  # type: ignore[misc]
    ground = Ground(benches, conditions)
    vacuous, specific = (ground.judge_many(rng, min(claims, JUDGED), vacuous=v) for v in (True, False))
    every_true = [one for found in true.values() for one in found]
    return {
        "false_positive_rate": share(null, _is_decided),
        "power": share(true[4], _is("supported")),
        "vacuity_detection": share(vacuous, lambda one: one.decision == "vacuous"),
        "inconclusive_rate": share(every_true, _is("inconclusive")),
        "power_by_distance": {f"{d}": share(found, _is("supported")) for d, found in true.items()},
        "inconclusive_by_distance": {f"{d}": share(found, _is("inconclusive")) for d, found in true.items()},
        "true_claims_refuted": share(every_true, _is("refuted")),
        "false_claims_supported": share([*false, *elsewhere], _is("supported")),
        "false_claims_refuted": share([*false, *elsewhere], _is("refuted")),
        "true_called_vacuous": share(specific, lambda one: one.vacuous),
        "true_called_specific": share(specific, lambda one: one.decision == "specific"),
        "not_valid": share(null, lambda one: not one.valid),
        "null_by_kind": {
            **_by(null, lambda one: one.kind, _is_decided),
            "several checks": share(several, _is_decided),
            "beats_random (supported)": share(alike, _is("supported")),
        },
        "null_by_subject": _by(null, lambda one: one.subject, _is_decided),
        "power_by_kind": {
            f"{d}": {
                **_by(true[d], lambda one: one.kind, _is("supported")),
                "beats_random": share(ahead[d], _is("supported")),
            }
            for d in DISTANCES
        },
        "power_by_templates": _by(true[4], _templates, _is("supported")),
        "power_by_data": _by(true[4], _data, _is("supported")),
        "power_of_a_t_test": {_templates(one): _power_of_a_t_test(one.templates, 4) for one in sorted(true[4], key=_templates)},
        "power_by_subject": _by(true[4], lambda one: one.subject, _is("supported")),
        "false_by_kind": _by([*false, *elsewhere], lambda one: one.kind, _is("supported")),
        "for_all": {"unbroken_supported": share(unbroken, _is("supported")), "broken_refuted": share(broken, _is("refuted"))},
        "vacuity_by_share": _by(vacuous, _band, lambda one: one.decision == "vacuous"),
        "vacuity_by_kind": _by(vacuous, lambda one: one.kind, lambda one: one.decision == "vacuous"),
        "true_called_vacuous_by_alternatives": _by(specific, lambda one: one.alternatives, lambda one: one.vacuous),
        "of": {
            "subjects": [bench.right.name for bench in benches], "prompts": n, "decoys": decoys, "claims": claims, "seed": seed,
        },
    }  # fmt: skip


def _some(make: Callable[[int], Any], count: int) -> list[Any]:
    """So many, up to the first that could not be made."""
    return list(itertools.takewhile(lambda one: one is not None, map(make, range(count))))


def _is(verdict: str) -> Callable[[Decided], bool]:
    return lambda one: one.verdict == verdict


def _is_decided(one: Decided) -> bool:
    return one.verdict in ("supported", "refuted")


def _data(one: Decided) -> str:
    few = f"fewer than {MANY} templates" if one.templates < MANY else f"{MANY} templates and more"
    return f"{few}, skewness {'below' if one.skewness < SKEWED else 'at least'} {SKEWED:g}"


def _templates(one: Decided) -> str:
    return f"{one.templates:2d} templates"


def _power_of_a_t_test(units: int, distance: float) -> float:
    """How often it supports a claim so many standard errors away, of normal values: no method that knows no more does better."""
    import scipy

    return round(float(scipy.stats.nct.sf(scipy.stats.t.ppf(Confidence().side, units - 1), units - 1, distance)), 4)


def _band(one: Judged) -> str:
    share = "all" if one.share == 1 else "three quarters and more" if one.share >= 0.75 else "half and more"
    return f"{one.alternatives}, {share}"


def _by(found: Sequence[Any], group: Callable[[Any], str], counts: Callable[[Any], bool]) -> dict[str, Json]:
    return {name: share([one for one in found if group(one) == name], counts) for name in sorted({group(one) for one in found})}


def share(found: Iterable[Any], counts: Callable[[Any], bool]) -> Json:
    """The share that counts, with its exact (Clopper-Pearson) 95% interval."""
    values = np.array([float(counts(one)) for one in found])
    if len(values) < 2:
        return {"value": None, "low": 0.0, "high": 1.0, "n": len(values)}
    ids = tuple(map(str, range(len(values))))
    found_rate = estimate_rate(Measurement(values, ids, ("all",) * len(values)), Confidence()).estimate
    return {
        "value": round(found_rate.value, 5), "low": round(found_rate.low, 5), "high": round(found_rate.high, 5), "n": len(values),
    }  # fmt: skip
