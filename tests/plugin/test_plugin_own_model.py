"""A `model` fixture of the user's own: any bridge, which the evidence names by the hash of its parameters."""

import hashlib

import pytest
import torch

HEADER = """
import pytest, torch
from transformer_lens.config import TransformerBridgeConfig
from transformer_lens.model_bridge import TransformerBridge
import transformer_lens.model_bridge.sources
from mechcheck import *

SETTINGS = dict(d_model=8, d_head=8, n_heads=1, n_layers=1, n_ctx=4, d_vocab=6, attn_only=True, normalization_type=None)

def copier():
    "Writes the token that it attends to, which is every token alike."
    bridge = TransformerBridge.boot_native(TransformerBridgeConfig(**SETTINGS), model_name="copier")
    with torch.no_grad():
        for parameter in bridge.parameters():
            parameter.zero_()
        bridge.embed.weight[:, :6] = torch.eye(6)
        bridge.blocks[0].attn.v.weight.copy_(torch.eye(8)); bridge.blocks[0].attn.o.weight.copy_(torch.eye(8))
        bridge.unembed.weight.copy_(torch.eye(8)[:6])
    return bridge

@pytest.fixture
def prompts():
    rows = [[a, b, c] for a in range(3) for b in range(3, 6) for c in range(3)]
    return PromptSet.from_tokens(rows, answers=[row[1] for row in rows], foils=[(row[1] + 1) % 3 + 3 for row in rows])
"""

CLAIM = """
@pytest.fixture
def model():
    return copier()

@claim("The token in the middle is written")
def test_writes(model, prompts, check):
    check.above(run(model, prompts), 0.2)
    check.equivalent(run(model, prompts, Ablate(heads("0.0"), "zero")), 0.01)
"""


@pytest.mark.parametrize("options", [(), ("-n2",)], ids=["in one process", "-n2"])
def test_a_claim_on_a_bridge_in_memory(claims, options):
    """Its decoys are twins drawn from its configuration, and its evidence says which weights were measured."""
    run = claims(CLAIM, *options)
    run.result.assert_outcomes(passed=1)
    record = run.claim()
    assert (record["id"], record["verdict"]) == ("test_writes", "supported")
    model = record["model"]
    assert (model["name"], model["processing"], model["dtype"], model["revision"]) == ("copier", "raw", "float32", None)
    assert model["n_params"] == 6 * 8 + 4 * 8 + 4 * (64 + 8) + 6 * 8
    assert record["decoys"]["kind"] == "re-initialised weights"
    assert record["decoys"]["n"] > 0
    assert record["decoys"]["supported"] == 0


def test_other_parameters_have_another_hash(claims):
    """Also of one object, when they are changed between two claims."""
    run = claims(
        """
        made = copier()

        @pytest.fixture
        def model():
            with torch.no_grad():
                made.blocks[0].attn.o.weight.mul_(2)
            return made

        @claim("one", decoy={})
        def test_one(model, prompts, check):
            check.above(run(model, prompts), 0.2)

        @claim("two", decoy={})
        def test_two(model, prompts, check):
            check.above(run(model, prompts), 0.2)
        """,
        "-p",
        "no:randomly",
    )
    hashes = [claim["model"]["weights_sha256"] for claim in run.evidence["claims"]]
    assert len(set(hashes)) == 2
    assert all(len(found) == 64 for found in hashes)


def test_it_runs_as_often_as_its_fixture_says(claims):
    """Whatever models are asked for, and whether or not any has a circuit for the task."""
    run = claims(
        """
        @pytest.fixture(params=["one", "two"])
        def model(request):
            return copier()

        @claim("The token in the middle is written", task="copying")
        def test_writes(model, prompts, check):
            check.above(run(model, prompts), 0.2)
        """,
        "--mech-model=names-gpt2-seed1",
    )
    assert run.verdicts == {"copying/test_writes[one]": "supported", "copying/test_writes[two]": "supported"}


def test_a_fixture_made_from_ours_runs_on_the_models_asked_for(claims):
    run = claims(
        """
        @pytest.fixture
        def model(model):
            return model

        @claim("It has layers", decoy={})
        def test_layers(model, check):
            check.above(Measurement([1.0] * 8, tuple("abcdefgh"), ("t",) * 8) * model.cfg.n_layers, 0.5)
        """,
        "--mech-model=names-gpt2-seed1",
    )
    assert [claim["model"]["name"] for claim in run.evidence["claims"]] == ["names-gpt2-seed1"]


@pytest.mark.parametrize(
    ("returned", "said"),
    [
        ("'gpt2'", "'gpt2' is a model's name, where the model itself is needed: model = load_model('gpt2')"),
        ("3", "expected a model from load_model, got int; a `model` fixture of your own returns one"),
        ("torch.nn.Linear(2, 2)", "this is a Linear, not a loaded model: write it to a directory with keep_native(state_dict, config"),
        ("None", "got NoneType; a `model` fixture of your own returns one"),
        ("__import__('transformers').GPT2LMHeadModel(__import__('transformers').GPT2Config(n_layer=1, n_embd=4, n_head=1))",
         "this is a GPT2LMHeadModel, not a loaded model: write it to a directory with keep_model"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("arguments", ["model, prompts, check", "model, prompts", "model"])
def test_a_model_that_is_no_bridge(claims, returned, said, arguments):
    """A word of what to do, whichever fixture comes to it first."""
    run = claims(
        f"""
        @pytest.fixture
        def model():
            return {returned}

        @claim("something")
        def test_it({arguments}):
            raise RuntimeError("never reached")
        """
    )
    assert run.verdicts == {"test_it": "errored"}
    assert said in run.claim()["reason"]


TRANSFORMERS = """
        @pytest.fixture
        def model():
            from transformers import GPT2Config, GPT2LMHeadModel
            from transformer_lens.model_bridge.sources import build_bridge_from_module
            config = GPT2Config(n_layer=1, n_embd=8, n_head=1, n_positions=8, vocab_size=6)
            return build_bridge_from_module(GPT2LMHeadModel(config).eval(), "GPT2LMHeadModel", hf_config=config, model_name="mine")
"""


def test_a_transformers_model_in_memory(claims):
    """Its twins are made from its configuration too."""
    run = claims(
        TRANSFORMERS
        + """
        @claim("It says something")
        def test_finite(model, prompts, check):
            check.above(run(model, prompts), -100.0)
        """
    )
    record = run.claim()
    assert (record["verdict"], record["model"]["name"], record["model"]["processing"]) == ("vacuous", "mine", "raw")
    assert record["decoys"]["supported"] == record["decoys"]["n"] > 4


def test_a_network_that_its_configuration_does_not_make(claims):
    """The claim says what its decoy needs."""
    run = claims(
        TRANSFORMERS.replace("def model():", "def model(monkeypatch):").replace("return build", "made = build")
        + """
            class Cut(type(made.original_model)):
                def __init__(self, config):
                    raise RuntimeError("a second argument is missing")
            made.original_model.__class__ = Cut
            return made

        @claim("It says something")
        def test_finite(model, prompts, check):
            check.above(run(model, prompts), -100.0)
        """
    )
    record = run.claim()
    assert record["verdict"] == "errored"
    assert "no twin of 'mine' with other weights can be drawn, as it was made in memory" in record["reason"]
    assert "a second argument is missing): keep it with keep_model" in record["reason"]


def test_the_hash_is_that_of_the_parameters():
    """Of their names and bytes, and nothing else."""
    from mechcheck.models.provenance import hash_parameters

    module = torch.nn.Linear(2, 1)
    by_hand = hashlib.sha256()
    for name, value in (("bias", module.bias), ("weight", module.weight)):
        by_hand.update(name.encode() + value.detach().numpy().tobytes())
    assert hash_parameters(module) == by_hand.hexdigest()
