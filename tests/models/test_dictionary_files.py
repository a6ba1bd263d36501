"""Directories of dictionaries: what is written is read again, older forms too, and what is not served is refused by name."""

import json

import pytest
import torch
from made_dictionaries import ARCHITECTURES, made
from safetensors.torch import load_file, save_file

from mechcheck.base.errors import MechcheckError, SiteError
from mechcheck.models.dictionary_files import keep_dictionary, load_dictionary

HOOK = "blocks.1.hook_resid_pre"
X = torch.randn(5, 6, generator=torch.Generator().manual_seed(1), dtype=torch.float64)


def config_of(path):
    return json.loads((path / "cfg.json").read_text())


def rewritten(path, weights=(), **settings):
    """The directory with other settings (None removes one) and other weights."""
    config = {name: value for name, value in (config_of(path) | settings).items() if value is not None}
    (path / "cfg.json").write_text(json.dumps(config))
    tensors = load_file(path / "sae_weights.safetensors") | dict(weights)
    save_file({name: tensor for name, tensor in tensors.items() if tensor is not None}, path / "sae_weights.safetensors")
    return path


@pytest.mark.parametrize("architecture", ARCHITECTURES)
@pytest.mark.parametrize(
    "others",
    [{}, {"subtract_b_dec": False, "normalise": "layer_norm", "processing": "folded"}, {"processing": "raw", "name": "mine"}],
    ids=["plain", "folded", "raw"],
)
def test_what_is_written_is_read_again(architecture, others, tmp_path):
    one = made(architecture, HOOK, 6, **others, frequency=torch.tensor([0.5, 0.0, *[1e-4] * 10]))
    again = load_dictionary(keep_dictionary(one, tmp_path / "dictionary"))
    assert again.sha256 == one.sha256
    assert (again.processing, again.site) == (one.processing, one.site)
    torch.testing.assert_close(again.frequency, one.frequency, rtol=1e-4, atol=0)
    assert again.name == one.name
    torch.testing.assert_close(again.reconstruct(X), one.reconstruct(X), rtol=0, atol=0)


@pytest.mark.parametrize(
    ("one", "named"),
    [
        (made("standard", "blocks.1.hook_mlp_out", 6, d_in=5, reads="blocks.1.ln2.hook_normalized"), "transcoder"),
        (made("standard", "blocks.1.hook_mlp_out", 6, reads="blocks.1.mlp.hook_in", W_skip=torch.eye(6).double()), "skip_transcoder"),
        (made("jumprelu", "blocks.1.hook_mlp_out", 6, reads="blocks.1.mlp.hook_in"), "jumprelu_transcoder"),
        (made("standard", "blocks.1.attn.hook_z", 6), "standard"),
        (made("standard", "blocks.1.attn.hook_z", 6, head=2), "standard"),
    ],
)
def test_transcoders_and_heads_too(one, named, tmp_path):
    path = keep_dictionary(one, tmp_path)
    again = load_dictionary(path)
    assert config_of(path)["architecture"] == named
    assert (again.sha256, again.reads, again.head) == (one.sha256, one.reads, one.head)
    assert config_of(path)["reshape_activations"] == ("hook_z" if one.site.together else "none")


def test_a_topk_transcoder_has_no_form(tmp_path):
    with pytest.raises(MechcheckError, match="SAELens has no form for a topk transcoder"):
        keep_dictionary(made("topk", "blocks.1.hook_mlp_out", 6, reads="blocks.1.mlp.hook_in"), tmp_path)


def test_a_configuration_of_before_saelens_6(tmp_path):
    one = made("topk", HOOK, 6, k=3)
    path = keep_dictionary(one, tmp_path)
    tensors = load_file(path / "sae_weights.safetensors")
    old = {
        "hook_point": HOOK, "hook_point_layer": 1, "d_in": 6, "d_sae": 12, "dtype": "torch.float64", "activation_fn_str": "topk",
        "activation_fn_kwargs": {"k": 3}, "apply_b_dec_to_input": True, "normalize_activations": False, "model_name": "gpt2-small",
    }  # fmt: skip
    (path / "cfg.json").write_text(json.dumps(old))
    again = load_dictionary(path)
    assert again.sha256 == one.sha256
    assert again.processing is None
    assert again.about["model_name"] == "gpt2-small"
    scale = torch.linspace(0.5, 2.0, 12, dtype=torch.float64)
    save_file(tensors | {"scaling_factor": scale}, path / "sae_weights.safetensors")
    with pytest.raises(MechcheckError, match="holds a scaling_factor"):
        load_dictionary(path)
    (path / "cfg.json").write_text(json.dumps(old | {"finetuning_scaling_factor": True}))
    tuned = load_dictionary(path)
    torch.testing.assert_close(tuned.reconstruct(X), (one.encode(X) * scale) @ one.W_dec + one.b_dec)


def test_scales_are_folded_in(tmp_path):
    one = made("topk", HOOK, 6, k=3)
    path = rewritten(keep_dictionary(one, tmp_path / "norms"), rescale_acts_by_decoder_norm=True)
    pre = ((X - one.b_dec) @ one.W_enc + one.b_enc) * one.W_dec.norm(dim=1)
    kept = pre >= pre.topk(3, dim=1).values[:, -1:]
    again = load_dictionary(path)
    torch.testing.assert_close(again.encode(X), pre.relu() * kept)
    torch.testing.assert_close(again.reconstruct(X), (pre.relu() * kept / one.W_dec.norm(dim=1)) @ one.W_dec + one.b_dec)

    one = made("standard", HOOK, 6)
    path = rewritten(keep_dictionary(one, tmp_path / "scaled"), normalize_activations="expected_average_only_in")
    with pytest.raises(MechcheckError, match="give norm_scaling_factor"):
        load_dictionary(path)
    again = load_dictionary(path, norm_scaling_factor=0.5)
    torch.testing.assert_close(again.encode(X), one.encode(0.5 * X))
    torch.testing.assert_close(again.reconstruct(X), one.reconstruct(0.5 * X) / 0.5)


@pytest.mark.parametrize(
    ("settings", "weights", "why"),
    [
        ({"architecture": "temporal"}, {}, "the architecture 'temporal' is not served; those that are: standard, topk"),
        ({"architecture": "batchtopk"}, {}, "'batchtopk' is not served"),
        ({"normalize_activations": "covariance_whitening"}, {}, "'covariance_whitening' is not served"),
        ({"activation_fn": "tanh-relu"}, {}, "'tanh-relu' is not served"),
        ({"reshape_activations": "hook_mlp"}, {}, "reshape_activations 'hook_mlp' is not served"),
        ({"metadata": None}, {}, "does not say which activations"),
        ({"d_sae": 13}, {}, "says d_sae = 13, and the weights have 12"),
        ({}, {"W_enc": None}, "lacks W_enc"),
        ({}, {"b_dec_out": torch.ones(6)}, "holds b_dec_out, which a standard dictionary does not have"),
        ({}, {"b_enc": torch.full((12,), torch.nan)}, "b_enc has to be finite"),
        ({}, {"W_dec": torch.ones(11, 6)}, r"W_dec has shape \[11, 6\]"),
        ({"architecture": "jumprelu"}, {}, "needs threshold"),
        ({"architecture": "transcoder"}, {}, "does not say which activations"),
    ],
)
def test_what_is_not_served_is_refused_by_name(settings, weights, why, tmp_path):
    path = rewritten(keep_dictionary(made("standard", HOOK, 6), tmp_path), weights, **settings)
    with pytest.raises(MechcheckError, match=why):
        load_dictionary(path)


def test_a_hook_can_be_given_and_has_to_be_a_place(tmp_path):
    path = rewritten(keep_dictionary(made("standard", HOOK, 6), tmp_path), metadata=None)
    assert load_dictionary(path, hook="blocks.3.hook_resid_post", processing="raw").site.named == "resid_post 3"
    with pytest.raises(SiteError, match="no place that can be changed"):
        load_dictionary(path, hook="blocks.3.hook_mlp_in")


def test_files_that_are_none(tmp_path):
    with pytest.raises(MechcheckError, match="is a pickle, which can run code"):
        load_dictionary(tmp_path / "sae.pt")
    with pytest.raises(MechcheckError, match="there is no directory"):
        load_dictionary(tmp_path / "nowhere")
    with pytest.raises(MechcheckError, match=r"has no cfg\.json$"):
        load_dictionary(tmp_path)
    path = keep_dictionary(made("standard", HOOK, 6), tmp_path / "one")
    (path / "sae_weights.safetensors").rename(path / "weights.pt")
    with pytest.raises(MechcheckError, match=r"has no sae_weights.safetensors; there are weights\.pt"):
        load_dictionary(path)
    (path / "sae_weights.safetensors").write_bytes(b"PK pickled")
    with pytest.raises(MechcheckError, match="is no safetensors file"):
        load_dictionary(path)
    for text in ("{", "[1]"):
        (path / "cfg.json").write_text(text)
        with pytest.raises(MechcheckError, match=r"cfg\.json is no"):
            load_dictionary(path)
