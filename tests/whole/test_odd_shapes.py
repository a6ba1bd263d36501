"""Every public function on odd shapes: a right number, or an error of this project that says what to do; never another library's."""

from functools import cache

import numpy as np
import pytest
import torch
from every_function import CALLS, Bench, of_a_model
from tiny import VOCABULARY, config, save_tokenizer

from mechcheck.base.errors import MechcheckError
from mechcheck.engine.run import plain_hooks
from mechcheck.models.loading import load_model
from mechcheck.prompts.prompt_set import PromptSet

SHAPES = {
    # layout, what differs from tests/tiny.py
    "gpt2, one head": ("gpt2", {"n_head": 1}),
    "gpt2, one layer": ("gpt2", {"n_layer": 1}),
    "neox, one head": ("neox", {"num_attention_heads": 1}),
    "neox, one layer of one head": ("neox", {"num_attention_heads": 1, "num_hidden_layers": 1}),
    "llama, one key": ("llama", {"num_key_value_heads": 1}),
    "llama, wide heads": ("llama", {"head_dim": 48, "num_attention_heads": 2, "num_key_value_heads": 1}),
    "llama, d_head is d_model": ("llama", {"head_dim": 32, "num_attention_heads": 2, "num_key_value_heads": 2, "num_hidden_layers": 2}),
    "llama, one layer of one head": ("llama", {"num_attention_heads": 1, "num_key_value_heads": 1, "num_hidden_layers": 1}),
    "bert, one head": ("bert", {"num_attention_heads": 1}),
    "bert, one layer": ("bert", {"num_hidden_layers": 1}),
}
PROMPTS = {
    "one token": [[5], [6], [7]],
    "one token or several": [[3], [4, 5, 6], [7, 3, 3, 4, 5]],
    "one prompt": [[3, 4, 5, 3]],
    "repeated": [[3, 4, 3, 4], [5, 6, 7, 5, 6]],
    "two tokens": [[3, 4], [5, 5], [6, 3], [4, 4]],
}
# Where rotary embeddings and RMSNorm compute in float32.
SAME = {"gpt2": 1e-8, "neox": 1e-4, "llama": 1e-3, "bert": 1e-8}


@pytest.fixture(scope="module")
def odd(tmp_path_factory):
    """odd(shape): a bench without prompts."""
    from transformers import AutoModelForCausalLM, AutoModelForMaskedLM

    @cache
    def load(shape):
        layout, changes = SHAPES[shape]
        settings = config(layout)
        for name, value in changes.items():
            setattr(settings, name, value)
        torch.manual_seed(0)
        model = (AutoModelForMaskedLM if layout == "bert" else AutoModelForCausalLM).from_config(settings)
        with torch.no_grad():
            for name, parameter in model.named_parameters():
                norm = ("ln" in name or "norm" in name) and name.endswith("weight")
                parameter.normal_(float(norm), 0.35)
        directory = tmp_path_factory.mktemp("odd")
        model.save_pretrained(directory)
        save_tokenizer(directory)
        loaded = load_model(directory, dtype="float64")
        return Bench(loaded, None, loaded.cfg.n_layers, loaded.cfg.n_heads)

    return load


def prompts_of(kind):
    rows = PROMPTS[kind]
    n = len(rows)

    def build(shift, **others):
        tokens = [[3 + (token + shift) % 20 for token in row] for row in rows]
        return PromptSet.from_tokens(
            tokens, answers=list(range(8, 8 + n)), foils=list(range(9, 9 + n)), positions={"A": [0] * n}, templates=["t"] * n, pad=0,
            attention_mask=[[1] * len(row) for row in rows], decode=dict(enumerate(VOCABULARY)), **others,
        )  # fmt: skip

    return build(0, counterfactual=build(5), reference=build(9))


def test_every_function_is_called():
    assert {name.split()[0] for name in CALLS} >= of_a_model()


@pytest.mark.parametrize("kind", PROMPTS)
@pytest.mark.parametrize("shape", SHAPES)
def test_a_right_number_or_an_error_that_says_what_to_do(odd, shape, kind):
    """Right is what plain hooks give; a measure that does not sweep gives the same numbers a second time."""
    bench, wrong, found = odd(shape)._replace(prompts=prompts_of(kind)), {}, 0
    for name, call in CALLS.items():
        try:
            value = numbers(call(bench))
            with plain_hooks():
                np.testing.assert_allclose(value, numbers(call(bench)), rtol=0, atol=SAME[SHAPES[shape][0]])
            found += 1
        except MechcheckError as error:
            if len(str(error)) < 20:
                wrong[name] = error
        except Exception as error:
            wrong[name] = f"{type(error).__name__}: {error}"
    assert not wrong
    assert found > len(CALLS) / 3


@pytest.mark.parametrize("given", ["gpt2", None, 7, torch.nn.Linear(2, 2)], ids=str)
@pytest.mark.parametrize("name", CALLS)
def test_what_is_no_model(name, given):
    bench = Bench(given, prompts_of("repeated"), 2, 3)
    with pytest.raises(MechcheckError, match="load_model"):
        CALLS[name](bench)


def numbers(found):
    """All that was measured, as one row."""
    if isinstance(found, str):
        return np.array([float(len(found))])
    if isinstance(found, list | tuple):
        return np.concatenate([numbers(one) for one in found]) if found else np.empty(0)
    return np.atleast_1d(found.detach().double().numpy() if isinstance(found, torch.Tensor) else np.asarray(found, dtype=float)).ravel()
