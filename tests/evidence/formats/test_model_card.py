"""Results for a model's repository on the hub."""

import pytest

from mechcheck.base.errors import MechcheckError
from mechcheck.evidence.formats.model_card import eval_results


def test_a_result_for_each_claim_that_a_number_decided(run):
    found = eval_results(run, "m", "me/claims", "https://example.org/evidence.json")
    assert [(one["dataset"], one["value"]) for one in found] == [
        ({"id": "me/claims", "task_id": "ioi/test_a[zero]"}, 1.25),
        ({"id": "me/claims", "task_id": "ioi/test_b"}, 1.25),
    ]
    assert found[0]["date"] == "2026-11-21T02:14:30+00:00"
    assert found[0]["source"] == {"url": "https://example.org/evidence.json", "name": "mechcheck evidence"}
    assert "supported: logit difference above 0: +1.25 [+0.98, +1.49] logits" in found[0]["notes"]
    assert "mechcheck 0.1.0, profile ci, seed 0" in found[0]["notes"]


def test_without_an_address_there_is_no_source(run):
    assert "source" not in eval_results(run, "n", "me/claims")[0]


@pytest.mark.parametrize(
    ("model", "said"),
    [(None, "the models of this run: m, n, o: name one"), ("p", "'p' is none of them"), ("o", "none of these claims was decided")],
)
def test_results_of_no_model(run, model, said):
    with pytest.raises(MechcheckError, match=said):
        eval_results(run, model, "me/claims")


def test_the_only_model_need_not_be_named(run):
    run["claims"] = [claim for claim in run["claims"] if claim["model"] and claim["model"]["name"] == "n"]
    assert len(eval_results(run, None, "me/claims")) == 2


def test_what_is_claimed_of_several_models_is_a_result_of_none(run):
    run["claims"][0]["grid"] = {"axes": {"models": ["m", "n"]}, "text": "robust: supported in all 2 cells"}
    assert [one["dataset"]["task_id"] for one in eval_results(run, "m", "me/claims")] == ["ioi/test_b"]
    run["claims"][0]["grid"]["axes"] = {"seeds": ["0", "1"]}
    assert len(eval_results(run, "m", "me/claims")) == 2
