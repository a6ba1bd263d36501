"""A claim about answers of several tokens: what is decided, and what of it is written down."""

SOURCE = """
@pytest.fixture
def prompts(model):
    people = [("Mary", "John"), ("Anna", "Paul"), ("John", "Mary"), ("Paul", "Anna")] * 3
    return PromptSet.from_text(
        model, [f"{a} and {b} were at the park . {b} gave a ring to" for a, b in people],
        answers=[[f"{a} .", f"{a} at the park"] for a, _ in people], foils=[f"{b} ." for _, b in people], several_tokens=True,
    )

@claim("says the other's name, and ends the sentence")
@pytest.mark.parametrize("metric", [log_odds, answer_log_odds("per token"), correct, logit_diff])
def test_it(model, prompts, check, metric):
    check.above(run(model, prompts, metric=metric), 0.0)
"""


def test_a_claim_about_them(claims):
    done = claims(SOURCE, "--mech-model", "names-gpt2-seed4")
    assert done.evidence is not None
    records = {claim["params"]["metric"]: claim for claim in done.evidence["claims"]}
    assert len(records) == 4
    by_unit = {one["unit"]: claim for claim in records.values() for one in claim["expectations"]}
    assert set(by_unit) == {"nats", "nats per token", "share of prompts"}
    assert by_unit["share of prompts"]["verdict"] == "supported"
    assert 5 < by_unit["nats"]["expectations"][0]["estimate"]["value"] < 10
    label = by_unit["nats"]["expectations"][0]["label"]
    assert "log-odds of answer to foil" in label
    shown = by_unit["nats"]["prompts"]["examples"][0]
    assert (shown["answer"], shown["foil"]) == ("Mary|. or Mary|at|the|park", "John|.")
    (refused,) = [claim for claim in records.values() if not claim["expectations"]]
    assert "'Mary|. or Mary|at|the|park' in prompt 0: several are right" in refused["reason"]
    assert "measure log_odds" in refused["reason"]
