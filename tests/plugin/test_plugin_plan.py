"""`--mech-plan` says what a run will take, and runs nothing."""

import pytest

MODEL = "names-gpt2-seed1"
BODY = """
@claim("The model prefers the indirect object", task="ioi")
def test_it(model, prompts, check):
    check.above(run(model, prompts), 0)
"""


def test_a_plan_from_an_earlier_run(claims, monkeypatch):
    claims(BODY, f"--mech-model={MODEL}", "--mech-decoys=3", "--mech-report=before")
    monkeypatch.setattr("mechcheck.models.loading.load_model", None)
    run = claims(BODY, f"--mech-model={MODEL}", "--mech-decoys=3", "--mech-plan=before/evidence.json")
    assert run.evidence is None
    run.result.stdout.fnmatch_lines(
        [f"ioi/test_it[[]{MODEL}]: 384 forward passes, * (from {MODEL})", f"{MODEL}: * weights, loaded in *", "plan: 1 claims, *"]
    )
    assert run.result.ret == pytest.ExitCode.OK


def test_without_evidence_it_is_assumed(claims):
    run = claims(BODY, f"--mech-model={MODEL}", "--mech-plan")
    said = "1 of 1 claims are in no earlier evidence, so that what they take is assumed*"
    run.result.stdout.fnmatch_lines(["ioi/test_it*(assumed)", said])


def test_evidence_that_is_not_there(claims):
    run = claims(BODY, f"--mech-model={MODEL}", "--mech-plan=nowhere.json")
    assert "--mech-plan" in run.result.stderr.str() + run.output
    assert run.result.ret == pytest.ExitCode.USAGE_ERROR
