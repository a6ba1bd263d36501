"""Models that a body changed are told, and not given to the next claim."""

import pytest
import torch

from mechcheck.base.errors import HookError
from mechcheck.models.loading import load_model
from mechcheck.verdicts.guard import Guard


def spoil(model):
    with torch.no_grad():
        model.embed.weight[0, 0] += 1


def test_a_changed_model_is_an_error_and_forgotten(own_model, model_dirs):
    with pytest.raises(HookError, match=r"^the model's weights were changed"), Guard().untouched(own_model):
        spoil(own_model)
    assert load_model(model_dirs["gpt2"], dtype="float64") is not own_model


def test_a_contrast_that_changes_it_is_named(own_model):
    with pytest.raises(HookError, match=r"its contrast \(twin 1\) changed the model"), Guard().untouched(own_model, "twin 1"):
        spoil(own_model)


def test_the_bodys_own_error_comes_first(own_model, model_dirs):
    def crash():
        spoil(own_model)
        raise KeyError("crash")

    with pytest.raises(KeyError), Guard().untouched(own_model):
        crash()
    assert load_model(model_dirs["gpt2"], dtype="float64") is not own_model


def test_every_run_must_leave_it_as_the_first_found_it(own_model):
    guard = Guard()
    with guard.untouched(own_model):
        pass
    spoil(own_model)  # between the runs
    with pytest.raises(HookError), guard.untouched(own_model):
        pass


def test_a_body_without_a_model():
    with Guard().untouched(None):
        pass
