"""A model without a head, in claims and in `discover`: attention can be claimed of it, and nothing that needs a prediction."""

import pytest
from transformers import AutoConfig, AutoModel, AutoTokenizer

from mechcheck.cli import main
from mechcheck.conformance.layouts import save_layout
from mechcheck.models.directory import keep_model

CLAIMS = """
@pytest.fixture
def prompts(model):
    rows = [[1, 5, 6, 7, 8 + i % 4, 2] for i in range(24)]
    templates = [f"t{i % 8}" for i in range(24)]
    return PromptSet.from_tokens(rows, answers=[9] * 24, foils=[10] * 24, positions={"A": [1] * 24}, templates=templates)

@claim("somebody looks back")
def test_attention(model, prompts, check):
    check.above(attention_to(model, prompts, "0.1", "END", "A"), 0.0)

@claim("a head moves another's attention")
def test_moved(model, prompts, check):
    check.above(attention_to(model, prompts, "1.1", "END", "A", Ablate(heads("0.0-3"), "zero")), 0.0)

@claim("it predicts")
def test_prediction(model, prompts, check):
    check.above(run(model, prompts), 0.0)
"""


@pytest.fixture(params=["bert", "llama"])
def headless(request, tmp_path):
    """The directory of a body alone, with a tokenizer."""
    whole = save_layout(request.param, tmp_path / "whole")
    body = AutoModel.from_config(AutoConfig.from_pretrained(whole))
    return keep_model(body, AutoTokenizer.from_pretrained(whole), tmp_path / "body")


def test_claims(claims, headless):
    run = claims(CLAIMS, f"--mech-model={headless}")
    for name in ("attention", "moved"):
        assert 0 < run.claim(name)["expectations"][0]["estimate"]["value"] < 1
    assert run.claim("prediction")["verdict"] == "errored"
    assert "its attention and activations can be asked about, its predictions cannot" in run.claim("prediction")["reason"]
    assert all(sentinel["passed"] for sentinel in run.evidence["run"]["sentinels"])
    assert len(run.evidence["run"]["sentinels"]) == 4


def test_why_it_is_raw_stands_in_the_evidence_and_on_the_page(claims, headless):
    run = claims(CLAIMS, f"--mech-model={headless}", "-k", "attention")
    why = run.claim("attention")["model"]["not_folded"]
    assert why is not None
    assert run.claim("attention")["model"]["processing"] == "raw"
    page = (run.report / "index.html").read_text(encoding="utf-8")
    assert f"raw weights ({why.replace(chr(39), '&#39;')})" in page


SEARCH = """
from mechcheck import Found, PromptSet, Role, choose_heads, heads, run

def find(model):
    prompts = PromptSet.from_tokens([[1, 5, 6, 7]] * 4, answers=[9] * 4, foils=[10] * 4)
    return Found({"mover": Role(heads("0.1"), "any", True, "")}, prompts, {"mean": float(run(model, prompts).mean)})
"""


def test_discover(headless, tmp_path, capsys):
    script = tmp_path / "movers" / "discover.py"
    script.parent.mkdir()
    script.write_text(SEARCH)
    assert main(["discover", str(script), str(headless), "-o", str(tmp_path / "found")]) != 0
    assert "; its attention and activations can be asked about, its predictions cannot" in capsys.readouterr().err
    assert not (tmp_path / "found").exists()
