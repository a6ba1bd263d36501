"""Claims on prompts of which nothing is asked: attention is measured, evidence and page are made."""

BODY = """
import pytest
from mechcheck import PromptSet, attention_to, claim, run

@pytest.fixture
def prompts(model):
    texts = ["Mary and John were at the park .", "John and Mary were at the park ."]
    return PromptSet.from_text(model, texts * 4, positions={"AND": ["and"] * 8})

@claim("END attends to a word", task="ioi", models=["names-gpt2-seed4"])
def test_attention(model, prompts, check):
    check.above(attention_to(model, prompts, "0.0", key="AND"), -1.0)

@claim("asks for an answer", task="ioi", models=["names-gpt2-seed4"])
def test_answer(model, prompts, check):
    check.above(run(model, prompts), -100.0)
"""


def test_attention_of_prompts_that_ask_nothing(claims, pytester):
    run = claims(BODY, "--mech-profile=smoke")
    found = {claim["id"].split("test_")[-1].split("[")[0]: claim for claim in run.evidence["claims"]}
    assert found["attention"]["prompts"]["examples"][0]["answer"] is None
    assert found["attention"]["expectations"][0]["estimate"]["value"] > 0
    assert found["answer"]["verdict"] == "errored"
    assert "no answers, which this reads" in found["answer"]["reason"]
    page = (pytester.path / "reports" / "index.html").read_text()
    assert "END attends to a word" in page
    assert "asked for <" not in page
