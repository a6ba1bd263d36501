"""Claims in several dtypes: each is run in all of them, and one that is decided differently is reported as such."""

import pytest

from mechcheck.evidence.dtypes import decided_differently, mark_dtypes

CLAIMS = """
    @claim("the model is what was asked for", decoy={"wanted": "float16"})
    @pytest.mark.parametrize("wanted", ["any"])
    def test_any(model, check, wanted):
        check.above(around(1.0 if wanted == "any" else -1.0), 0.0)

    @claim("half precision is not enough", decoy={"limit": 5.0})
    @pytest.mark.parametrize("limit", [0.0])
    def test_precise(model, check, limit):
        check.above(around(1.0 if mechcheck.provenance(model).dtype == "float32" else -1.0), limit)
"""


@pytest.mark.parametrize("processes", [(), ("-n2",)])
def test_each_claim_runs_in_every_dtype(claims, processes):
    run = claims(CLAIMS, "--mech-dtype=float32, bfloat16", "--mech-model=names-gpt2-seed1", *processes)
    found = {claim["id"]: (claim["model"]["dtype"], claim["verdict"]) for claim in run.evidence["claims"]}
    assert found == {
        "test_any[names-gpt2-seed1:float32-any]": ("float32", "supported"),
        "test_any[names-gpt2-seed1:bfloat16-any]": ("bfloat16", "supported"),
        "test_precise[names-gpt2-seed1:float32-0.0]": ("float32", "supported"),
        "test_precise[names-gpt2-seed1:bfloat16-0.0]": ("bfloat16", "refuted"),
    }
    assert run.claim("precise[names-gpt2-seed1:float32")["by_dtype"] == {"float32": "supported", "bfloat16": "refuted"}
    assert "decided differently by dtype  test_precise[names-gpt2-seed1-0.0]: " in run.output
    assert "decided differently by dtype  test_any" not in run.output
    assert "--mech-dtype=float32,bfloat16" in run.claim("test_any[names-gpt2-seed1:float32")["command"]


def test_one_dtype_leaves_ids_alone(claims):
    run = claims(CLAIMS, "--mech-dtype=float64", "--mech-model=names-gpt2-seed1", "-k", "any")
    assert run.claim()["id"] == "test_any[names-gpt2-seed1-any]"
    assert run.claim()["model"]["dtype"] == "float64"
    assert "by_dtype" not in run.claim()


def test_an_unknown_dtype_is_refused(claims):
    run = claims(CLAIMS, "--mech-dtype=float32,float8")
    assert run.result.ret == pytest.ExitCode.USAGE_ERROR
    run.result.stderr.fnmatch_lines(["*unknown dtype 'float8'; choose among float32, float64, bfloat16, float16*"])


def test_verdicts_are_gathered_by_the_id_without_dtype():
    def claim(name, dtype, verdict):
        return {"id": name, "verdict": verdict, "model": {"dtype": dtype}}

    made = [
        claim("a[m:float32]", "float32", "supported"), claim("a[m:float16]", "float16", "inconclusive"),
        claim("b[m:float32]", "float32", "supported"), claim("b[m:float16]", "float16", "supported"),
        claim("c[m]", "float32", "supported"), {"id": "d[m:float32]", "verdict": "skipped", "model": None},
    ]  # fmt: skip
    mark_dtypes(made)
    assert [c.get("by_dtype") for c in made[3:]] == [{"float32": "supported", "float16": "supported"}, None, None]
    assert decided_differently(made) == {"a[m]": {"float32": "supported", "float16": "inconclusive"}}
