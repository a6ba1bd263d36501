"""The dictionary of compiled-ioi's stream, and what its features were found to fire on, on the discovery half of the prompts."""

from functools import cache

import pytest

from mechcheck import capture, features, load_dictionary, load_model, provenance, task_prompts
from mechcheck.compiled import task_of

NAME = "compiled-ioi-stream-seed0"


@pytest.fixture
def make_prompts():
    """Prompts of the task that the compiled model does."""
    return lambda model, **wanted: task_prompts(task_of(provenance(model).name), model, **wanted)


@pytest.fixture(scope="session")
def dictionary():
    """A sparse autoencoder that comes with mechcheck."""
    return load_dictionary(NAME)


@pytest.fixture(scope="session")
def feature_of_place():
    """Place in the prompt -> the feature whose firing tells it best from the others, on prompts that no claim is measured on."""
    return _found()


@cache
def _found():
    import torch

    model, dictionary = load_model("compiled-ioi"), load_dictionary(NAME)
    prompts = task_prompts("ioi", model, n=240, seed=0, split="discover")
    (active,) = capture(model, prompts, features(dictionary, range(dictionary.d_sae))).values()
    fires, token = active > 0, prompts.span("ALL")
    found = {}
    for place in range(1, prompts.tokens.shape[1]):
        here = token & (torch.arange(token.shape[1]) == place)
        found[place] = int((fires[here].float().mean(0) - fires[token & ~here].float().mean(0)).argmax())
    return found
