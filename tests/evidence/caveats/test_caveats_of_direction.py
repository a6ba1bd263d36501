"""Necessity by denoising alone, sufficiency by noising alone; what cannot be told is not judged."""

from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch
from test_used import ROWS, named

from mechcheck.engine.run import run
from mechcheck.engine.watch import Ran
from mechcheck.evidence.caveats.direction import direction_of
from mechcheck.evidence.caveats.found import About, Watched, caveats_of
from mechcheck.evidence.caveats.jointly import Subject
from mechcheck.evidence.used import Used
from mechcheck.notation.circuit import Circuit
from mechcheck.notation.edges import edges
from mechcheck.notation.interventions import Ablate, KnockOut, Noise, Patch, Permute, Scale, Steer
from mechcheck.notation.sites import heads, mlps, patterns, resid

MODEL = SimpleNamespace(cfg=SimpleNamespace(n_layers=2, n_heads=4))
OWN = heads("0.1 1.2@END")
CLEAN = named(ROWS, counterfactual=named([[1, 20, 6, 7, 8], [1, 21, 6, 7, 8], [1, 22, 10, 7, 8, 9]]))
CORRUPTED = CLEAN.counterfactual
assert CORRUPTED is not None
# Another answer: noising for the one is denoising for the other.
FLIPPED = replace(CORRUPTED, answers=CORRUPTED.foils, foils=CORRUPTED.answers)
SYMMETRIC = replace(CLEAN, counterfactual=FLIPPED)
ASKED_THE_SAME = replace(FLIPPED, answers=CLEAN.answers, foils=CLEAN.foils)
STEERED = Steer(torch.ones(24), resid("1@END"))


def about(kind, *runs, circuit=None, model=MODEL):
    """What is said of runs, each its prompts and what was changed."""
    watched = Watched()
    for prompts, *changes in runs:
        watched.see(Ran(prompts, [changes]))
    return [one["about"] for one in caveats_of(watched, about=About(kind, [Subject(model, circuit)]))]


@pytest.mark.parametrize(
    ("change", "prompts", "way"),
    [
        (Ablate(OWN, "zero"), CLEAN, "noised"), (Ablate(OWN, "resample"), CORRUPTED, "noised"), (Noise(OWN), CLEAN, "noised"),
        (Permute(heads("0.1")), CLEAN, "noised"), (KnockOut(patterns("0.1@END"), "A"), CLEAN, "noised"),
        (KnockOut(patterns("0.1@END"), "A", only=True), CLEAN, "either"), (Scale(OWN, 0.5), CLEAN, "noised"),
        (Scale(OWN, 2.0), CLEAN, "either"), (STEERED, CLEAN, "either"), (Patch(OWN), CLEAN, "noised"),
        (Patch(OWN, CLEAN), CORRUPTED, "denoised"),
        (Patch(OWN, named(ROWS)), CLEAN, "either"), (Patch(OWN), SYMMETRIC, "either"), (Patch(OWN, SYMMETRIC), FLIPPED, "either"),
        (Patch(OWN, SYMMETRIC), ASKED_THE_SAME, "denoised"),
    ],
)  # fmt: skip
def test_which_way_it_goes(change, prompts, way):
    assert direction_of(change, prompts) == way


NOISED, DENOISED = (CLEAN, Ablate(OWN, "zero")), (CORRUPTED, Patch(OWN, CLEAN))
WRONG = ["wrong_direction"]


def test_necessity_by_denoising_alone():
    assert about("necessity", DENOISED) == WRONG
    assert about("necessity", DENOISED, NOISED) == about("necessity", NOISED) == about("necessity", (CLEAN,)) == []
    assert about("sufficiency", DENOISED) == about("specificity", DENOISED) == about(None, DENOISED) == []


def test_sufficiency_by_noising_alone():
    assert about("sufficiency", NOISED) == about("sufficiency", (CLEAN, Patch(OWN)), (CLEAN,), NOISED) == WRONG
    assert about("sufficiency", NOISED, DENOISED) == about("structure", NOISED) == []
    assert about("sufficiency", NOISED, (SYMMETRIC, Patch(OWN))) == [], "what goes either way may be the other one"
    assert about("sufficiency", NOISED, (CLEAN, STEERED)) == about("sufficiency", (CLEAN, STEERED), NOISED) == []


def test_all_but_a_part():
    """To noise all else is how sufficiency is shown: what is not the circuit's own, or most of a model, is not judged."""
    circuit = Circuit({"movers": OWN})
    assert (
        about("sufficiency", NOISED, circuit=circuit)
        == about("sufficiency", (CLEAN, Ablate(heads("1.2"), "zero")), circuit=circuit)
        == WRONG
    )
    assert about("sufficiency", (CLEAN, Ablate(heads("0.0"), "zero")), circuit=circuit) == []
    assert about("sufficiency", (CLEAN, Ablate(heads("0.0-3"), "zero"))) == WRONG, "half of the heads"
    assert about("sufficiency", (CLEAN, Ablate(heads("0.0-3 1.0"), "zero"))) == []
    assert about("sufficiency", (CLEAN, Ablate(mlps("1"), "zero"))) == WRONG
    assert about("sufficiency", (CLEAN, Ablate(mlps("0-1"), "zero"))) == []
    assert about("sufficiency", (CLEAN, Ablate(resid("1@A"), "zero"))) == [], "all else at one place, or one place: who can tell"
    assert about("sufficiency", (CLEAN, Ablate(edges("0.1->1.0.v"), "zero"))) == []
    assert about("sufficiency", NOISED, model=None) == []


def test_in_each_model_by_its_own_circuit():
    """Of a claim over two models, in each of which it noised what is of its circuit there."""
    one, other = SimpleNamespace(cfg=MODEL.cfg), SimpleNamespace(cfg=MODEL.cfg)
    watched = Watched()
    for model, sites in ((one, OWN), (other, heads("1.0"))):
        watched.see(Ran(CLEAN, [[Ablate(sites, "zero")]], model=model))
    for elsewhere, said in ((heads("1.0"), WRONG), (OWN, [])):
        subjects = [Subject(one, Circuit({"movers": OWN})), Subject(other, Circuit({"movers": elsewhere}))]
        assert [told["about"] for told in caveats_of(watched, about=About("sufficiency", subjects))] == said


def test_a_corrupted_run_with_an_answer_of_its_own(tiny):
    """It is run to see: what takes the one answer brings the other, and nobody can tell which way that goes."""
    model = tiny("gpt2")
    prefers = run(model, CORRUPTED).values
    for corrupted, said in ((prefers > 0, WRONG), (prefers < 0, [])):
        answers, foils = (
            torch.where(torch.tensor(corrupted), *pair) for pair in ((CLEAN.answers, CLEAN.foils), (CLEAN.foils, CLEAN.answers))
        )
        clean = replace(CLEAN, answers=answers, foils=foils, counterfactual=replace(CORRUPTED, answers=answers, foils=foils))
        seen, about = Used(), About("sufficiency", [Subject(model)])
        with seen.watching():
            run(model, clean, Patch(heads("0.1")))
        seen.look_behind(about)
        assert [one["about"] for one in seen.record(about)["caveats"] if one["about"] == "wrong_direction"] == said
