"""What a claim took is in its evidence: of its body and of its decoys."""

MODEL = "names-gpt2-seed1"

BODY = """
@claim("The model prefers the indirect object", task="ioi")
def test_it(model, prompts, check):
    check.above(run(model, prompts), 0)

@claim("Made up", decoy={"mean": -1.0})
def test_without_a_model(check, mean=1.0):
    check.above(around(mean), 0)

@claim("Skipped")
def test_skipped(check):
    pytest.skip("not today")
"""


def test_forwards_of_the_body_and_its_decoys(claims):
    run = claims(BODY, f"--mech-model={MODEL}", "--mech-decoys=3")
    measured, none, skipped = (run.claim(name) for name in ("test_it", "test_without_a_model", "test_skipped"))
    assert measured["cost"]["forwards"] == measured["prompts"]["n"] * (1 + measured["decoys"]["n"])
    assert measured["cost"]["flops"] > 10**6
    assert measured["cost"]["cpu_s"] > 0
    assert measured["cost"]["peak_bytes"] > 2**20
    assert (none["cost"]["forwards"], none["cost"]["flops"]) == (0, 0)
    assert skipped["cost"]["forwards"] == 0
