"""Gradients on each layout, against torch's own through the Hugging Face model in float64."""

import plain
import pytest
import torch

import mechcheck as m
from mechcheck.conformance.layouts import LAYOUTS, layout_prompts, save_layout

# Norms and rotary embeddings compute in float32 whatever the model's dtype.
SAME = 5e-5


@pytest.mark.parametrize("name", LAYOUTS)
def test_they_are_those_of_torch(tmp_path, name):
    """Also of patterns, where an architecture shows them and lets nothing be put there, and of the stream between attention and MLP."""
    from transformers import AutoModelForCausalLM, AutoModelForMaskedLM

    encoder = LAYOUTS[name].encoder
    model = m.load_model(save_layout(name, tmp_path / name), dtype="float64", processing="raw")
    auto = AutoModelForMaskedLM if encoder else AutoModelForCausalLM
    oracle = auto.from_pretrained(tmp_path / name, dtype=torch.float64, attn_implementation="eager").eval()
    prompts, kv = layout_prompts(model, LAYOUTS[name]), m.heads("0.1 1.0").pairs
    sites = m.heads("0.1 1.2") | m.queries("0.3 1.1") | m.keys(kv) | m.values(kv) | m.resid("1") | m.resid_post("0") | m.patterns("0.1 1.2")
    if not encoder:
        sites |= m.attn_outs("0-1") | m.mlps("0-1") | m.neurons("0.3 1.4")
    if not encoder and not model.cfg.parallel_attn_mlp:
        sites |= m.resid_mid("0-1")
    expected = plain.gradients(oracle, prompts, sites, plain.difference_at_end)
    for site, found in m.gradients(model, prompts, sites).items():
        assert (found - expected[site]).abs().max() < SAME * max(1.0, float(expected[site].abs().max())), site.named
    assert min(float(right.abs().max()) for right in expected.values()) > 1e-3
