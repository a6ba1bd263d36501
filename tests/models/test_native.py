"""Native models as directories: what keep_native takes and refuses, and what load_model makes of it."""

import hashlib
import json

import native_oracle as oracle
import pytest
import torch
from native_model import CONFIG, TOKENS, as_network, expected, logits, same
from tiny import save_tokenizer
from transformer_lens.config import TransformerBridgeConfig
from transformer_lens.model_bridge import TransformerBridge

from mechcheck.models.loading import forget_models, load_model, provenance, reinitialised
from mechcheck.models.native import keep_native
from mechcheck.models.provenance import hash_parameters


def bridge(**changed) -> TransformerBridge:
    """A bridge as somebody makes it, with weights that all show."""
    made = TransformerBridge.boot_native(TransformerBridgeConfig(**CONFIG | changed, seed=0), dtype=torch.float64)
    generator = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for parameter in made.parameters():
            parameter.add_(0.3 * torch.randn(parameter.shape, generator=generator, dtype=parameter.dtype))
        made.unembed.original_component.bias.normal_(generator=generator)
    return made


def hash_files(folder) -> str:
    """As sha256sum prints it."""
    return hashlib.sha256((folder / "model.safetensors").read_bytes()).hexdigest()


def test_every_way_to_name_the_same_weights(tmp_path):
    """A state dict of HookedTransformer, of the network, of the bridge; of what has been compiled; in a file."""
    weights = {name: value.float() if value.is_floating_point() else value for name, value in oracle.random_weights(CONFIG).items()}
    right = expected({name: value.double() for name, value in weights.items()})
    network = as_network(weights, CONFIG)
    of_bridge = load_model(keep_native(weights, CONFIG, tmp_path / "first"), dtype="float64", processing="raw").state_dict()
    torch.save(weights, tmp_path / "hooked.pt")
    given = {
        "hooked": weights,
        "network": network,
        "bridge": of_bridge,
        "compiled": {f"_orig_mod.{name}": value for name, value in network.items()},
        "parallel": {f"module.{name}": value for name, value in weights.items()},
        "file": tmp_path / "hooked.pt",
        "text": str(tmp_path / "first" / "model.safetensors"),
    }
    hashes = set()
    for name, some in given.items():
        kept = keep_native(some, CONFIG, tmp_path / name)
        same(logits(kept), right)
        hashes.add(hash_files(kept) if name not in ("network", "bridge", "compiled") else None)
    assert len(hashes - {None}) == 1


def test_a_bridge_that_somebody_made(tmp_path):
    """To the bit, whatever it is; its configuration comes with it, and so does what it was never told: the scale it really has."""
    for number, changed in enumerate(
        [
            {},
            {"normalization_type": None, "attention_dir": "bidirectional"},
            {"use_attn_scale": False},
            {"attn_scale": 3.5},
            {"d_vocab_out": 5},
        ]
    ):
        made = bridge(**changed)
        assert torch.equal(logits(keep_native(made, None, tmp_path / str(number))), made(TOKENS))


def test_a_hooked_transformer_of_another_time(tmp_path):
    """An object with `cfg` and `state_dict`, which is all that is known of it here."""

    class HookedTransformer(torch.nn.Module):
        cfg = type("HookedTransformerConfig", (), {})()

        def state_dict(self):
            return oracle.random_weights(CONFIG)

    vars(HookedTransformer.cfg).update(
        CONFIG, device="cpu", dtype=torch.float32, seed=3, tokenizer_name=None, n_params=99, NTK_original_ctx_len=8
    )
    same(logits(keep_native(HookedTransformer(), None, tmp_path)), expected())


def test_what_lies_in_the_directory(tmp_path):
    """A configuration with every field that matters written out, weights, and a tokenizer where there is one."""
    folder = keep_native(oracle.random_weights(CONFIG), CONFIG, tmp_path / "new" / "model")
    told = json.loads((folder / "config.json").read_text())
    assert (told["model_type"], told["architectures"]) == ("transformer_lens_native", ["TransformerLensNative"])
    assert {name: told[name] for name in CONFIG} == CONFIG
    assert (told["attn_scale"], told["attention_dir"], told["eps"], told["rotary_dim"]) == (2.0, "causal", 1e-5, None)
    assert sorted(path.name for path in folder.iterdir()) == ["config.json", "model.safetensors"]
    assert load_model(folder).tokenizer is None
    save_tokenizer(tmp_path / "tokenizer", [f"w{i}" for i in range(8)] + ["<pad>", "<bos>", "<unk>"])
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "tokenizer")
    spoken = load_model(keep_native(oracle.random_weights(CONFIG), CONFIG, tmp_path / "spoken", tokenizer=tokenizer))
    assert spoken.tokenizer.encode("w3 w5")[-2:] == [3, 5]


def test_provenance_of_a_native_model(tmp_path):
    folder = keep_native(oracle.random_weights(CONFIG), CONFIG, tmp_path / "toy")
    known = provenance(load_model(folder))
    assert (known.name, known.directory, known.revision, known.weights_sha256) == ("toy", folder, None, hash_files(folder))
    assert (known.processing, known.not_folded, known.dtype, known.device) == ("folded", None, "float32", "cpu")
    n_weights = sum(value.numel() for name, value in oracle.random_weights(CONFIG).items() if not name.endswith(("mask", "IGNORE")))
    assert known.n_params == n_weights
    asked_raw = provenance(load_model(folder, processing="raw"))
    assert (asked_raw.processing, asked_raw.not_folded) == ("raw", None)
    bare = keep_native(
        oracle.random_weights(CONFIG | {"normalization_type": None}), CONFIG | {"normalization_type": None}, tmp_path / "bare"
    )
    unfolded = provenance(load_model(bare))
    assert (unfolded.processing, unfolded.not_folded) == ("raw", "it has no norms that could be folded")


def test_a_bias_that_has_no_place_keeps_the_norms(tmp_path):
    """Gated MLPs have no biases that a LayerNorm's could go into."""
    changed = {"gated_mlp": True, "act_fn": "silu"}
    weights = oracle.random_weights(CONFIG | changed)
    folder = keep_native(weights, CONFIG | changed, tmp_path / "gated")
    assert "cannot be folded into gated MLPs" in provenance(load_model(folder)).not_folded
    same(logits(folder, processing="folded"), expected(**changed))
    without = {name: torch.zeros_like(value) if name.endswith("ln2.b") else value for name, value in weights.items()}
    assert provenance(load_model(keep_native(without, CONFIG | changed, tmp_path / "without"))).processing == "folded"


def test_folding_that_would_change_the_predictions_is_not_used(tmp_path, monkeypatch):
    from mechcheck.models import native as _native

    folder = keep_native(oracle.random_weights(CONFIG), CONFIG, tmp_path / "model")
    monkeypatch.setattr(_native, "folded", lambda config, weights: {name: 1.1 * value.double() for name, value in weights.items()})
    forget_models()
    model = load_model(folder, dtype="float64")
    known = provenance(model)
    assert known.processing == "raw"
    assert known.not_folded.startswith("its predictions differ by up to ")
    same(model(TOKENS), expected())
    forget_models()


def test_folded_weights_are_those_of_hooked_transformer(tmp_path):
    """Gains of one, no biases in front, nothing along what a LayerNorm takes out, no value biases; W_U adds to no logit alike."""
    model = load_model(keep_native(oracle.random_weights(CONFIG), CONFIG, tmp_path), dtype="float64")
    same(model(TOKENS).log_softmax(-1), expected().log_softmax(-1))
    zero = torch.zeros(())
    for block in model.blocks:
        for norm in (block.ln1, block.ln2, model.ln_final):
            assert torch.equal(norm.weight, torch.ones(8, dtype=torch.float64))
            assert not norm.bias.any()
        assert not block.attn.b_V.any()
        for written in (block.attn.W_O, block.attn.b_O, block.mlp.W_out, block.mlp.b_out, model.W_E, model.W_pos):
            same(written.mean(-1), zero.expand(written.shape[:-1]).double(), atol=1e-12)
        for read in (block.attn.W_Q, block.attn.W_K, block.attn.W_V, block.mlp.W_in[None]):
            same(read.mean(1), torch.zeros(read.shape[0], read.shape[2], dtype=torch.float64), atol=1e-12)
    same(model.W_U.mean(-1), torch.zeros(8, dtype=torch.float64), atol=1e-12)


def test_twins(tmp_path):
    """Other weights by TransformerLens' own initialisation, the same shape, processed likewise, the same for the same seed."""
    model = load_model(keep_native(oracle.random_weights(CONFIG), CONFIG, tmp_path / "toy"), dtype="float64")
    twin, again, other = reinitialised(model, 0), reinitialised(model, 0), reinitialised(model, 1)
    assert twin is again
    assert provenance(twin).name == "toy#reinitialised-0"
    assert provenance(twin).processing == "folded"
    assert len({provenance(some).weights_sha256 for some in (model, twin, other)}) == 3
    drawn = TransformerBridge.boot_native(TransformerBridgeConfig(**CONFIG, seed=0), dtype=torch.float64)
    same(twin(TOKENS).log_softmax(-1), drawn(TOKENS).log_softmax(-1))
    forget_models()
    assert torch.equal(reinitialised(model, 0)(TOKENS), twin(TOKENS))


@pytest.mark.parametrize("dtype", ["float64", "float32", "bfloat16", "float16"])
def test_dtypes(tmp_path, dtype):
    model = load_model(keep_native(oracle.random_weights(CONFIG), CONFIG, tmp_path), dtype=dtype)
    assert {parameter.dtype for parameter in model.parameters()} == {model.unembed.b_U.dtype} == {getattr(torch, dtype)}
    assert not model.training
    assert not any(parameter.requires_grad for parameter in model.parameters())
    atol = {"float64": 1e-9, "float32": 1e-4, "bfloat16": 0.4, "float16": 0.05}[dtype]
    same(model(TOKENS).double().log_softmax(-1), expected().log_softmax(-1), atol)


def test_a_bridge_in_memory_is_known_by_its_parameters():
    made, again = bridge(), bridge()
    known = provenance(made)
    assert known == provenance(again)
    assert (known.name, known.directory, known.processing, known.dtype) == ("native", None, "raw", "float64")
    assert known.weights_sha256 == hash_parameters(made, buffers=True)
    with torch.no_grad():
        made.W_E[0, 0] += 1.0
    changed = provenance(made).weights_sha256
    assert changed != known.weights_sha256
    with torch.no_grad():
        made.b_U[0] += 1.0  # a buffer, and a part of what it computes
    assert provenance(made).weights_sha256 not in (known.weights_sha256, changed)
    made.b_U.data[0] -= 1.0  # torch does not count this change
    assert provenance(made).weights_sha256 == changed
    made.enable_compatibility_mode(disable_warnings=True)
    assert provenance(made).processing == "folded"
    assert provenance(bridge(normalization_type=None)).processing == "raw"


def test_a_twin_of_a_bridge_in_memory():
    made = bridge()
    twin = reinitialised(made, 3)
    drawn = TransformerBridge.boot_native(TransformerBridgeConfig(**CONFIG, seed=3), dtype=torch.float64)
    same(twin(TOKENS), drawn(TOKENS))
    assert provenance(twin).name == "native#reinitialised-3"


def test_a_bridge_whose_weights_were_processed(tmp_path):
    """What it computes is kept, as it is by then."""
    made = bridge()
    right = made(TOKENS).log_softmax(-1)
    made.enable_compatibility_mode(disable_warnings=True)
    same(logits(keep_native(made, None, tmp_path)).log_softmax(-1), right, 1e-5)
