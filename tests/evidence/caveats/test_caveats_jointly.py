"""Single and joint effects, on models that were built so that they differ, and so that they do not."""

import pytest

from mechcheck.engine.run import run, sweep
from mechcheck.engine.watch import watched_by
from mechcheck.evidence.caveats.found import About
from mechcheck.evidence.caveats.jointly import Subject
from mechcheck.evidence.used import Used
from mechcheck.models.loading import load_model
from mechcheck.notation.circuit import Circuit
from mechcheck.notation.interventions import Ablate
from mechcheck.notation.metrics import logit_diff
from mechcheck.notation.sites import heads
from mechcheck.stats.measurement import Measurement
from mechcheck.tasks.shipped import task_prompts

TWINS, MOVER, DUPLICATE = heads("1.0 1.1"), heads("2.0"), heads("0.0")


@pytest.fixture(scope="module")
def redundant():
    model = load_model("compiled-redundant")
    return model, task_prompts("ioi", model, n=24, seed=0)


def said(model, ablated, *, roles, method="zero", decides=None):
    """What is said of a claim that ablated each of these sets, and how many forward passes it took beyond the claim's own.

    decides: what it decides on, from each set's effect.
    """
    (model, prompts), seen, after = model, Used(), []
    with seen.watching():
        clean = run(model, prompts)
        effects = [clean - run(model, prompts, Ablate(sites, method)) for sites in ablated]
    samples = [] if decides is None else [decides(*effects)]
    about = About("necessity", [Subject(model, Circuit(roles), roles)], samples=samples)
    with watched_by(lambda ran: after.append(len(ran.variants) * len(ran.prompts))):
        seen.look_behind(about)
    caveats = {one["about"]: one["text"] for one in seen.record(about)["caveats"]}
    return {name: text for name, text in caveats.items() if name in ("single_backup", "not_additive")}, sum(after)


ONE, OTHER = heads("1.0"), heads("1.1")


def test_one_of_two_that_stand_in_for_each_other(redundant):
    found, forwards = said(redundant, [ONE], roles={"s_inhibition": TWINS})
    assert found["single_backup"].startswith("1.0 of s_inhibition ablated while 1.1 were left: together they take 16 logits, which is 16 [")
    assert forwards == 4 * 24, "the untouched run, each alone, and both"
    assert f"{forwards} further forward passes" in found["single_backup"]


def test_the_role_that_stands_in(redundant):
    found, _ = said(redundant, [ONE], roles={"s_inhibition": ONE, "backup_s_inhibition": OTHER})
    assert list(found) == ["single_backup"]


def test_nothing_to_miss(redundant):
    # All of it was ablated, too; or what was ablated is no part of a role, or all of one.
    assert said(redundant, [ONE, TWINS], roles={"s_inhibition": TWINS}) == ({}, 0)
    assert said(redundant, [TWINS], roles={"s_inhibition": TWINS}) == ({}, 0)
    assert said(redundant, [MOVER], roles={"s_inhibition": TWINS}) == ({}, 0)
    # The rest of the role does nothing, or the same thing further on: neither takes over.
    assert said(redundant, [MOVER], roles={"name_mover": heads("2.0 2.1")})[0] == {}
    assert said(redundant, [DUPLICATE], roles={"path": DUPLICATE | TWINS})[0] == {}


def test_a_sum_of_single_effects(redundant):
    """Each twin alone takes nothing, and both take everything: their sum is not what they do."""
    ablated, sides = [ONE, OTHER, TWINS], {}
    found, forwards = said(redundant, ablated, roles={}, decides=lambda one, other, both: one + other)
    assert found["not_additive"].startswith("single effects of 1.0 1.1 on the logit difference are added up to ")
    assert "changed together they come to 16 (difference [16, 16])" in found["not_additive"]
    assert forwards == 0, "the claim ran them together"
    sides["share"] = said(redundant, ablated, roles={}, decides=lambda one, other, both: -(one + other) / both)
    sides["below"] = said(redundant, ablated, roles={}, decides=lambda one, other, both: both / (one + other))
    assert all(list(found) == ["not_additive"] for found, _ in sides.values())
    found, forwards = said(redundant, [ONE, OTHER], roles={}, decides=lambda one, other: one + other)
    assert (list(found), forwards) == (["not_additive"], 24), "one variant more"
    assert "told by 24 further forward passes" in found["not_additive"]
    found, _ = said(redundant, [ONE, OTHER, MOVER], roles={"s_inhibition": TWINS}, decides=lambda one, other, mover: one + other)
    assert "not_additive" in found, "the sum over a role"


def test_what_is_no_sum(redundant):
    ablated = [ONE, OTHER, TWINS]
    for decides in (
        lambda one, other, both: both,
        lambda one, other, both: both - (one + other),
        lambda one, other, both: one - other,
        None,
    ):
        assert said(redundant, ablated, roles={}, decides=decides) == ({}, 0)


def test_effects_that_add_up(redundant):
    """The name mover's effect and that of a head that does nothing."""
    idle = heads("2.1")
    found = said(redundant, [MOVER, idle, MOVER | idle], roles={}, decides=lambda mover, none, both: mover + none)
    assert found == ({}, 0)


def test_a_map_is_not_looked_at(redundant):
    model, prompts = redundant
    seen, sets = Used(), [ONE, OTHER] * 150
    with seen.watching():
        clean, one, other, *_ = sweep(model, prompts, [[], *([Ablate(sites, "zero")] for sites in sets)], logit_diff)
    total = Measurement(2 * clean - one - other, prompts.ids, prompts.templates)
    seen.look_behind(about := About(subjects=[Subject(model)], samples=[total]))
    assert [one for one in seen.record(about)["caveats"] if one["about"] == "not_additive"] == []


@pytest.mark.parametrize(("in_redundant", "understated"), [(ONE, True), (TWINS, False)])
@pytest.mark.parametrize("turned", [False, True])
def test_each_model_of_a_claim_is_judged_by_its_own_circuit(redundant, in_redundant, understated, turned):
    """One head is all there is in one model, and one of two in the other; which of the models comes first is the same."""
    single = load_model("compiled-ioi")
    prompts = task_prompts("ioi", single, n=24, seed=0)
    ablated = [(*redundant, in_redundant, {"s": TWINS}), (single, prompts, ONE, {"s": ONE})]
    ablated = ablated[::-1] if turned else ablated
    seen = Used()
    with seen.watching():
        for model, asked, sites, _ in ablated:
            run(model, asked)
            run(model, asked, Ablate(sites, "zero"))
    about = About("necessity", [Subject(model, Circuit(roles), roles) for model, _, _, roles in ablated])
    seen.look_behind(about)
    assert [one["about"] for one in seen.record(about)["caveats"]] == ["single_backup"] * understated


def test_a_model_that_is_none_of_the_claims_is_not_judged_by_its_circuit(redundant):
    """The twin with other weights, say, that a body compares with."""
    model, prompts = redundant
    other, seen = load_model("compiled-ioi"), Used()
    with seen.watching():
        run(other, prompts)
        run(other, prompts, Ablate(ONE, "zero"))
    about = About("necessity", [Subject(model, Circuit({"s": TWINS}), {"s": TWINS})])
    seen.look_behind(about)
    assert seen.record(about)["caveats"] == []
