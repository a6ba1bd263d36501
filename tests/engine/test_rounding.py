"""No effect is exactly none, and a small one is told from rounding, however large other components of the stream are."""

import numpy as np
import pytest
import torch
from tiny import MORE_LAYOUTS, random_prompts, save_model

from mechcheck.engine import rounding
from mechcheck.engine.run import plain_hooks, run, sweep
from mechcheck.models.loading import load_model
from mechcheck.notation.interventions import Ablate, Patch, Scale
from mechcheck.notation.sites import heads, resid
from mechcheck.tasks.ioi import ioi_prompts

LENGTHS = (7, 7, 9, 9)
MASSIVE = 5
HEADS = [(layer, head) for layer in range(2) for head in range(3)]
EVERY = ("gpt2", "neox", "llama", *MORE_LAYOUTS)


def with_massive(directory, layout, size, dead=None):
    """The layout with one component of the stream of this size at every position, which norms let through a hundredth of."""
    from transformers import AutoModelForCausalLM, AutoModelForMaskedLM

    save_model(layout, directory)
    model = (AutoModelForMaskedLM if layout == "bert" else AutoModelForCausalLM).from_pretrained(directory)
    names = dict(model.named_parameters())
    with torch.no_grad():
        model.get_input_embeddings().weight[:, MASSIVE] += size
        for name, parameter in names.items():
            if ("ln" in name or "norm" in name) and name.endswith("weight"):
                parameter[MASSIVE] *= 0.01
        if dead is not None:
            kill(names, dead, model.config)
    model.save_pretrained(directory)
    return directory


def kill(names, dead, config):
    """What the head writes is multiplied by zero."""
    layer, head = dead
    width = config.hidden_size // config.num_attention_heads
    name, weight = next((n, p) for n, p in names.items() if f".{layer}." in n and ("attn.c_proj.weight" in n or "o_proj.weight" in n
                        or "attention.dense.weight" in n or "attention.output.dense.weight" in n))  # fmt: skip
    rows = slice(head * width, (head + 1) * width)
    weight[(rows,) if "c_proj" in name else (slice(None), rows)] = 0.0


@pytest.mark.parametrize("size", [0, 10, 300, 3000])
@pytest.mark.parametrize("layout", EVERY)
def test_an_effect_is_seen_beside_a_massive_component(tmp_path, layout, size):
    directory = with_massive(tmp_path, layout, size)
    model, exact = (load_model(directory, processing="raw", dtype=dtype) for dtype in ("float32", "float64"))
    prompts, variants = random_prompts(3, LENGTHS), [Ablate(heads([head]), "zero") for head in HEADS]
    found = sweep(model, prompts, variants) - run(model, prompts).values
    with plain_hooks():
        plain = sweep(model, prompts, variants) - run(model, prompts).values
        right = sweep(exact, prompts, variants) - run(exact, prompts).values
    noise = np.abs(plain - right).max()  # what float32 costs anyway
    assert np.abs(found - right).max() <= 4 * noise + 1e-6
    seen = np.abs(right) > 20 * noise
    assert seen.sum() > right.size / 2
    np.testing.assert_allclose(found[seen], right[seen], rtol=0.5)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("size", [0, 300])
@pytest.mark.parametrize("layout", EVERY)
def test_what_does_nothing_has_exactly_no_effect(tmp_path, layout, size, dtype):
    model = load_model(with_massive(tmp_path, layout, size, dead=(1, 1)), dtype=dtype)
    prompts = random_prompts(3, LENGTHS)
    nothing = [Scale(heads([head]), 1.0) for head in HEADS] + [Patch(resid(layer), prompts) for layer in range(2)]
    nothing += [Ablate(heads("1.1"), "zero"), Ablate(heads("1.1@A"), "zero"), Scale(resid("1@END"), 1.0)]
    clean = run(model, prompts).values
    np.testing.assert_array_equal(sweep(model, prompts, nothing), np.tile(clean, (len(nothing), 1)))
    if layout != "bert":  # whose norm takes the factor out again
        assert (sweep(model, prompts, [Scale(resid("1@END"), 1.001)]) != clean).all()


@pytest.mark.parametrize("name", ["names-gpt2-seed4", "names-neox-seed2"])
def test_rounding_is_no_effect(name, monkeypatch):
    """In models this large another order of summation gives other last digits, as the same sweep shows where none are forgiven."""
    model = load_model(name)
    prompts = ioi_prompts(model, n=24, seed=1)
    nothing = [Scale(heads([(layer, head)]), 1.0) for layer in range(model.cfg.n_layers) for head in range(model.cfg.n_heads)]
    clean = run(model, prompts).values
    assert (sweep(model, prompts, nothing) == clean).all()
    monkeypatch.setattr(rounding, "_UNITS", 0)
    assert (sweep(model, prompts, nothing) != clean).any()
