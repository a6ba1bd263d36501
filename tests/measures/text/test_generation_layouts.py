"""Greedy text of every layout that writes any, against transformers' own generation with its cache."""

import pytest
import torch
import transformers

from mechcheck.conformance.layouts import LAYOUTS, layout_prompts, save_layout
from mechcheck.measures.text.generation import generate
from mechcheck.models.loading import load_model
from mechcheck.notation.interventions import Scale
from mechcheck.notation.sites import heads


@pytest.mark.parametrize("name", [name for name, layout in LAYOUTS.items() if not layout.encoder])
def test_greedy_text(name, tmp_path):
    """Each prompt by itself, prompts longer than a local window among them; the folded model in float32 writes the same."""
    directory = save_layout(name, tmp_path / name)
    own = transformers.AutoModelForCausalLM.from_pretrained(directory, dtype=torch.float64, attn_implementation="eager").eval()
    model = load_model(directory, dtype="float64", processing="raw")
    prompts = layout_prompts(model, LAYOUTS[name])
    found = generate(model, prompts, new_tokens=5)
    for row, one in enumerate(found):
        tokens = prompts.tokens[row : row + 1, : prompts.lengths[row]]
        expected = own.generate(tokens, max_new_tokens=5, do_sample=False, eos_token_id=None, pad_token_id=0)
        assert list(one.tokens) == expected[0, tokens.shape[1] :].tolist()
    folded = load_model(directory)
    assert generate(folded, prompts, new_tokens=5).tokens.tolist() == found.tokens.tolist()
    assert generate(model, prompts, Scale(heads("0.0-3 1.0-3"), 0.0), new_tokens=5).tokens.tolist() != found.tokens.tolist()
