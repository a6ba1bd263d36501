"""What is no native model, and what keep_native and load_model say of it."""

import json

import native_oracle as oracle
import pytest
import torch
from native_model import CONFIG, as_network, expected, logits, same
from tiny import save_tokenizer
from transformer_lens.config import TransformerBridgeConfig
from transformer_lens.model_bridge import TransformerBridge
from transformers import AutoTokenizer

from mechcheck.base.errors import MechcheckError, ModelError
from mechcheck.measures.heads.vocabulary_circuits import ov_circuit
from mechcheck.measures.stream.cross_model import shared_vocabulary, vocabulary_map
from mechcheck.models.loading import load_model
from mechcheck.models.native import keep_native
from mechcheck.prompts.prompt_set import PromptSet


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"positional_embedding_type": "shortformer"}, r"not compute positional_embedding_type='shortformer'; it has standard, rotary"),
        ({"positional_embedding_type": "alibi"}, r"positional_embedding_type='alibi'"),
        ({"act_fn": "mish"}, r"does not compute act_fn='mish'; it has gelu, .*, so its numbers would be those of another model"),
        ({"normalization_type": "Batch"}, r"normalization_type='Batch'; it has None, LN"),
        ({"attention_dir": "both"}, r"attention_dir='both'; it has causal, bidirectional"),
        ({"parallel_attn_mlp": True}, r"parallel_attn_mlp=True"),
        ({"use_local_attn": True}, r"use_local_attn=True"),
        ({"scale_attn_by_inverse_layer_idx": True}, r"scale_attn_by_inverse_layer_idx=True"),
        ({"num_experts": 4}, r"num_experts=4"),
        ({"use_qk_norm": True}, r"use_qk_norm=True"),
        ({"post_embedding_ln": True}, r"post_embedding_ln=True"),
        ({"n_head": 2}, r"unknown field 'n_head' in the configuration; did you mean 'n_heads'\?"),
        ({"n_layers": None}, r"the configuration lacks n_layers"),
        ({"d_vocab": -1}, r"the configuration lacks d_vocab"),
        ({"n_key_value_heads": 3, "n_heads": 4}, r"n_heads=4 is no multiple of n_key_value_heads=3"),
        ({"positional_embedding_type": "rotary", "rotary_dim": 3}, r"rotary_dim=3: choose an even number up to d_head=4"),
    ],
)  # fmt: skip
def test_settings_that_are_not_computed(tmp_path, changed, said):
    with pytest.raises(ModelError, match=said):
        keep_native(oracle.random_weights(CONFIG), CONFIG | changed, tmp_path / "model")
    assert not (tmp_path / "model").exists()


def test_a_scale_that_boot_native_ignores(tmp_path):
    """Told to the network's own weights it could mean either; HookedTransformer heeded it."""
    weights = as_network(oracle.random_weights(CONFIG), CONFIG)
    with pytest.raises(
        ModelError, match=r"use_attn_scale=False: boot_native divides scores by sqrt\(d_head\) all the same; give attn_scale"
    ):
        keep_native(weights, CONFIG | {"use_attn_scale": False}, tmp_path)
    same(
        logits(keep_native(weights, CONFIG | {"use_attn_scale": False, "attn_scale": 1.0}, tmp_path)), expected(use_attn_scale=False), 1e-4
    )


def changed_weights(**changes) -> dict:
    weights = oracle.random_weights(CONFIG)
    for name, value in changes.items():
        name = name.replace("__", ".")
        if value is None:
            del weights[name]
        else:
            weights[name] = value
    return weights


@pytest.mark.parametrize(
    ("weights", "said"),
    [
        (changed_weights(blocks__1__attn__W_Q=None, blocks__0__ln1__w=None),
         r"missing: blocks\.0\.ln1\.weight, blocks\.1\.attn\.q\.weight\), so nothing was made up for them"),
        (changed_weights(blocks__2__attn__b_O=torch.ones(8)), r"unexpected: blocks\.2\.attn\.o\.bias"),
        (changed_weights(embed__W_E=torch.ones(12, 8)), r"misshapen: embed\.weight \(12, 8\) instead of \(11, 8\)"),
        (changed_weights(blocks__0__attn__W_K=torch.ones(4, 8, 2)), r"'blocks\.0\.attn\.W_K' has shape \(4, 8, 2\), expected \(2, 8, 4\)"),
        (changed_weights(unembed__b_U=torch.ones(11, dtype=torch.long)), r"no floating-point numbers: unembed\.bias"),
        (changed_weights(unembed__b_U=torch.full((11,), torch.nan)), r"weights that are NaN or infinite: unembed\.bias"),
        (changed_weights(head__something=torch.ones(3)), r"don't know how to convert key 'head\.something'"),
        ({}, r"expected a state dict \(name -> tensor\), got dict that is empty"),
        ([1], r"expected a state dict \(name -> tensor\), got list"),
        ({"model": oracle.random_weights(CONFIG), "step": 3}, r"but model, step are no tensors; give the part that is one.*\['model'\]"),
    ],
)  # fmt: skip
def test_weights_that_do_not_fit(tmp_path, weights, said):
    with pytest.raises(ModelError, match=said):
        keep_native(weights, CONFIG, tmp_path / "model")
    assert not (tmp_path / "model").exists()


def test_a_bias_of_zeros_where_the_network_has_none_is_nothing(tmp_path):
    """HookedTransformer's gated MLPs have biases; zeros add nothing, others would be lost."""
    changed = {"gated_mlp": True, "act_fn": "silu"}
    weights = oracle.random_weights(CONFIG | changed)
    assert not weights["blocks.0.mlp.b_in"].any()
    same(logits(keep_native(weights, CONFIG | changed, tmp_path / "zeros")), expected(**changed))
    weights["blocks.0.mlp.b_in"] = torch.ones(5)
    with pytest.raises(ModelError, match=r"unexpected: blocks\.0\.mlp\.in\.bias"):
        keep_native(weights, CONFIG | changed, tmp_path / "ones")


def test_files_that_cannot_be_read(tmp_path):
    """A pickle of objects is not unpickled, a file that is none says so."""
    with pytest.raises(ModelError, match=r"there is no file .*nowhere\.pt"):
        keep_native(tmp_path / "nowhere.pt", CONFIG, tmp_path)
    torch.save({"model": torch.nn.Linear(2, 2)}, tmp_path / "objects.pt")
    with pytest.raises(ModelError, match=r"cannot be read as tensors alone: .*torch\.save\(model\.state_dict\(\), path\)"):
        keep_native(tmp_path / "objects.pt", CONFIG, tmp_path)
    (tmp_path / "noise.pt").write_bytes(b"noise")
    with pytest.raises(ModelError, match=r"cannot be read as tensors alone"):
        keep_native(tmp_path / "noise.pt", CONFIG, tmp_path)


def test_what_is_no_native_model(tmp_path, tiny):
    with pytest.raises(
        ModelError, match=r"this bridge is a GPT2LMHeadModel, not a native model: keep its transformers model with keep_model"
    ):
        keep_native(tiny("gpt2"), None, tmp_path)
    with pytest.raises(ModelError, match=r"a state dict does not say what model it is of"):
        keep_native(oracle.random_weights(CONFIG), None, tmp_path)
    with pytest.raises(ModelError, match=r"expected the model's configuration .*, got str"):
        keep_native(oracle.random_weights(CONFIG), "config.json", tmp_path)


def test_a_directory_that_was_damaged(tmp_path):
    folder = keep_native(oracle.random_weights(CONFIG), CONFIG, tmp_path / "model")
    told = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(told | {"d_vocab": 12}))
    with pytest.raises(ModelError, match=r"misshapen: embed\.weight \(11, 8\) instead of \(12, 8\)"):
        load_model(folder)
    (folder / "config.json").write_text(json.dumps({name: value for name, value in told.items() if name != "eps"}))
    with pytest.raises(ModelError, match=r"'model': its config\.json lacks eps; write the directory again with keep_native"):
        load_model(folder)


def test_weights_beside_others_are_not_mixed(tmp_path):
    (tmp_path / "pytorch.safetensors").write_bytes(b"")
    with pytest.raises(MechcheckError, match=r"holds other weights \(pytorch\.safetensors\)"):
        keep_native(oracle.random_weights(CONFIG), CONFIG, tmp_path)


def test_a_bridge_in_memory_whose_norms_are_not_folded():
    """What needs folded norms says how they come to be; where there are none, nothing has to be folded."""
    made = TransformerBridge.boot_native(TransformerBridgeConfig(**CONFIG))
    with pytest.raises(MechcheckError, match=r"made in memory without that: keep it with keep_native or keep_model and load the directory"):
        ov_circuit(made, (0, 0))
    bare = TransformerBridge.boot_native(TransformerBridgeConfig(**CONFIG | {"normalization_type": None}))
    assert ov_circuit(bare, (0, 0)).entries().shape == (11, 11)


def test_a_map_to_a_model_without_norms(tmp_path):
    """It would be right up to a factor that nothing takes out."""
    save_tokenizer(tmp_path / "tokenizer", [f"w{i}" for i in range(8)] + ["<pad>", "<bos>", "<unk>"])
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "tokenizer")
    normed, bare = (
        load_model(keep_native(oracle.random_weights(some), some, tmp_path / str(some["normalization_type"]), tokenizer=tokenizer))
        for some in (CONFIG, CONFIG | {"normalization_type": None})
    )
    prompts = PromptSet.from_text(normed, ["w1 w2", "w3 w4"], answers=["w5", "w6"], foils=["w6", "w5"])
    with pytest.raises(MechcheckError, match=r"a factor that the target's final norm takes out, and the target has no norm"):
        vocabulary_map(normed, bare, shared_vocabulary(normed, bare, prompts))
    assert vocabulary_map(bare, normed, shared_vocabulary(bare, normed, prompts)).weight.isfinite().all()
