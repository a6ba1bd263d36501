"""Backups on models that were built: found where there is one, and nobody where a head only looks like one."""

import pytest
from tiny import random_prompts

from mechcheck.base.errors import SiteError
from mechcheck.circuits.backups import SHARE, find_backups
from mechcheck.circuits.discover_scripts import load_search
from mechcheck.circuits.roles import Absent, Role
from mechcheck.compiled import known_circuit
from mechcheck.measures.causal.interactions import interaction
from mechcheck.measures.stream.attribution import direct_logit_attribution
from mechcheck.models.loading import load_model
from mechcheck.notation.interventions import Ablate
from mechcheck.notation.sites import Sites, heads, mlps
from mechcheck.tasks.ioi import ioi_prompts


def asked(name: str):
    model = load_model(name)
    return model, ioi_prompts(model, n=96, seed=0, split="discover"), known_circuit(name)


@pytest.mark.parametrize("method", ["zero", "mean"])
def test_the_backup_that_was_built(method):
    model, prompts, circuit = asked("compiled-ioi")
    found = find_backups(model, prompts, circuit["name_mover"], method=method)
    assert isinstance(found, Role)
    assert (found.sites, found.met) == (circuit["backup_name_mover"], True)
    total = direct_logit_attribution(model, prompts).total.mean
    cost = interaction(
        model, prompts, circuit["name_mover"], found.sites, intervention=lambda sites: Ablate(sites, method)
    ).mean / total  # fmt: skip
    then = direct_logit_attribution(model, prompts, Ablate(circuit["name_mover"], method)).heads.of(found.sites).mean / total
    assert min(cost, then) > 0.3
    assert f"3.0: direct share before -0.000, with them ablated {then:.3f}, joint cost beyond the sum {cost:.3f}" in found.measured
    assert found.measured.endswith(f"together: joint cost beyond the sum {cost:.3f}")
    assert f"with 2.0@END {method}-ablated above 5%" in found.criterion


def test_the_share_is_what_it_has_to_exceed():
    model, prompts, circuit = asked("compiled-ioi")
    zero = find_backups(model, prompts, circuit["name_mover"], method="zero", share=0.6)
    assert isinstance(zero, Role), "it then writes 0.635 of the logit difference"
    none = find_backups(model, prompts, circuit["name_mover"], method="zero", share=0.7)
    assert isinstance(none, Absent)
    assert none.why.startswith("no head does; the most, 0.635 of the logit difference, is added by 3.0, which wrote -0.000 before")


def test_asleep_after_resampling():
    """Three wrong names keep the backup asleep, as the truth table says."""
    model, prompts, circuit = asked("compiled-ioi")
    assert isinstance(find_backups(model, prompts, circuit["name_mover"], method="resample"), Absent)


@pytest.mark.parametrize("name", ["compiled-redundant", "compiled-negative"])
def test_nothing_behind_the_last_layer(name):
    model, prompts, circuit = asked(name)
    found = find_backups(model, prompts, circuit["name_mover"])
    assert isinstance(found, Absent)
    assert "in the last layer" in found.why


def test_a_twin_that_writes_no_answer_is_no_backup_of_the_writers():
    """Ablated together they cost everything and alone nothing, which `interaction` shows; neither writes to the output."""
    model, prompts, circuit = asked("compiled-redundant")
    one, two = circuit["s_inhibition_one"], circuit["s_inhibition_two"]
    assert interaction(model, prompts, one, two).mean > 10
    assert isinstance(find_backups(model, prompts, one), Absent)


def test_a_head_that_works_against_the_answer_is_no_backup():
    """Without the S-inhibition head the negative mover's direct effect rises from -0.7 to 0.24 of the preference."""
    model, prompts, circuit = asked("compiled-negative")
    before, after = (
        direct_logit_attribution(model, prompts, what) for what in ((), Ablate(circuit["s_inhibition"], "mean"))
    )  # fmt: skip
    negative = circuit["negative_name_mover"]
    assert before.heads.of(negative).mean < 0
    assert after.heads.of(negative).mean / before.total.mean > SHARE
    found = find_backups(model, prompts, circuit["s_inhibition"])
    assert isinstance(found, Absent)
    assert "2.1, which wrote -0.714 before" in found.why


def test_what_is_no_mover():
    model, prompts, _ = asked("compiled-ioi")
    for movers in (Sites(), mlps("0@END")):
        with pytest.raises(SiteError, match="backups are looked for behind heads that write the answer"):
            find_backups(model, prompts, movers)


def test_nothing_to_keep(tiny):
    """Where the foils are preferred, or neither, a share of the preference is noise."""
    model, prompts = tiny("gpt2"), random_prompts(0, [6] * 8)
    swapped = type(prompts).from_tokens(prompts.tokens, answers=prompts.foils, foils=prompts.answers)
    same = type(prompts).from_tokens(prompts.tokens, answers=prompts.answers, foils=prompts.answers)
    preferring, contrary = (prompts, swapped) if direct_logit_attribution(model, prompts).total.mean > 0 else (swapped, prompts)
    for asked_of in (contrary, same, preferring[:1]):
        found = find_backups(model, asked_of, heads("0.0@END"), method="zero")
        assert isinstance(found, Absent)
        assert found.why.startswith("the model does not prefer the answers (logit difference ")


def test_nobody_has_a_backup_where_nobody_moves_names():
    search = load_search("ioi").find.__globals__["find_backup_name_movers"]
    model, prompts, _ = asked("compiled-ioi")
    found = search(model, prompts, Role(heads("2.0@END"), "", False, ""))
    assert found.why == "no head is a name mover by its criterion, so nobody has a backup"
    assert search(model, prompts, Role(heads("2.0@END"), "", True, "")).sites == heads("3.0@END")
