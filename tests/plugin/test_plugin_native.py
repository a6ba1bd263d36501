"""Native models under claims: a directory that keep_native wrote, with circuits found on it."""

import pytest

from mechcheck import cli

HEADER = """
import pytest
from mechcheck import *
"""

# An induction model with weights set by hand: layer 0 attends to the previous token, layer 1 to the token after an earlier occurrence.
MAKE = """
import torch
from mechcheck import keep_native

VOCABULARY, CONTEXT, SHARP = 40, 32, 30.0

def weights():
    d_model = 2 * VOCABULARY + CONTEXT
    token, place, before = slice(0, VOCABULARY), slice(VOCABULARY, VOCABULARY + CONTEXT), slice(VOCABULARY + CONTEXT, d_model)
    made = {"embed.W_E": torch.zeros(VOCABULARY, d_model), "pos_embed.W_pos": torch.zeros(CONTEXT, d_model)}
    made["embed.W_E"][:, token] = torch.eye(VOCABULARY)
    made["pos_embed.W_pos"][:, place] = torch.eye(CONTEXT)
    width = VOCABULARY
    for layer in range(2):
        attention = f"blocks.{layer}.attn."
        made |= {attention + f"W_{name}": torch.zeros(2, d_model, width) for name in "QKV"}
        made |= {attention + f"b_{name}": torch.zeros(2, width) for name in "QKV"}
        made |= {attention + "W_O": torch.zeros(2, width, d_model), attention + "b_O": torch.zeros(d_model)}
    q, k, v, o = (made[f"blocks.0.attn.W_{name}"][1] for name in "QKVO")  # head 0.1: the token before
    q[place, :CONTEXT], k[place, :CONTEXT] = SHARP * torch.eye(CONTEXT).roll(-1, 1), torch.eye(CONTEXT)
    v[token], o[:, before] = torch.eye(VOCABULARY), torch.eye(VOCABULARY)
    q, k, v, o = (made[f"blocks.1.attn.W_{name}"][0] for name in "QKVO")  # head 1.0: what followed the same token
    q[token], k[before] = SHARP * torch.eye(VOCABULARY), torch.eye(VOCABULARY)
    v[token], o[:, token] = torch.eye(VOCABULARY), 5 * torch.eye(VOCABULARY)
    unembed = torch.zeros(d_model, VOCABULARY)
    unembed[token] = torch.eye(VOCABULARY)
    return made | {"unembed.W_U": unembed, "unembed.b_U": torch.zeros(VOCABULARY)}

CONFIG = dict(n_layers=2, n_heads=2, d_model=2 * VOCABULARY + CONTEXT, d_head=VOCABULARY, n_ctx=CONTEXT, d_vocab=VOCABULARY, attn_only=True,
              normalization_type=None, use_attn_scale=False)
"""


@pytest.fixture
def toy(pytester):
    """The directory of the induction model, in the folder that claims run in."""
    made: dict = {}
    exec(MAKE, made)  # the same lines are a user's script
    return made["keep_native"](made["weights"](), made["CONFIG"], pytester.path / "toy")


@pytest.mark.parametrize("options", [(), ("-n2",)], ids=["in one process", "-n2"])
def test_a_circuit_is_found_and_claimed(claims, toy, pytester, capsys, options):
    """`mechcheck discover` finds the two heads, the claim on them comes out supported, and their decoys do not."""
    assert cli.main(["discover", "induction", str(toy), "--out", str(pytester.path / "circuits")]) == 0
    found = (pytester.path / "circuits" / "induction" / "toy.toml").read_text()
    assert 'heads = "0.1@NEXT"' in found
    assert 'heads = "1.0@END"' in found
    run = claims(
        """
        @claim("Without its previous-token and induction heads it cannot repeat", task="induction", kind="necessity")
        def test_needed(model, prompts, circuit, check):
            check.requires(run(model, prompts), above=1.0)
            both = circuit["previous_token"] | circuit["induction"]
            for part in (circuit["previous_token"], circuit["induction"], both):
                check.below(run(model, prompts, Ablate(part.at(None), "zero")), 0.5)

        @claim("The induction head copies", task="induction", kind="structure")
        def test_copies(model, circuit, check):
            (head,) = circuit["induction"].pairs
            check.above(ov_circuit(model, head).own_token_among(top=1), 0.9)
        """,
        f"--mech-model={toy}",
        f"--mech-circuits={pytester.path / 'circuits'}",
        *options,
    )
    assert run.verdicts == {"induction/test_needed[toy]": "supported", "induction/test_copies[toy]": "supported"}
    for record in run.evidence["claims"]:
        assert record["model"]["name"] == "toy"
        assert record["model"]["not_folded"] == "it has no norms that could be folded"
        assert record["decoys"]["supported"] == 0 < record["decoys"]["n"]
    assert all(one["passed"] for one in run.evidence["run"]["sentinels"])
