"""Models that a body changed are told, and not given to the next claim."""

import pytest
import torch

from mechcheck.base.errors import HookError, StateError
from mechcheck.models import fingerprint
from mechcheck.models.loading import forget_models, load_model
from mechcheck.verdicts.guard import Guard


def spoil(model):
    with torch.no_grad():
        model.embed.weight[0, 0] += 1


def test_a_changed_model_is_an_error_and_forgotten(own_model, model_dirs):
    with pytest.raises(HookError, match=r"^the model's weights were changed"), Guard().untouched({"model": own_model}):
        spoil(own_model)
    assert load_model(model_dirs["gpt2"], dtype="float64") is not own_model


def test_a_contrast_that_changes_it_is_named(own_model):
    with pytest.raises(HookError, match=r"its contrast \(twin 1\) changed the model"), Guard().untouched({"model": own_model}, "twin 1"):
        spoil(own_model)


def test_the_bodys_own_error_comes_first(own_model, model_dirs):
    def crash():
        spoil(own_model)
        raise KeyError("crash")

    with pytest.raises(KeyError), Guard().untouched({"model": own_model}):
        crash()
    assert load_model(model_dirs["gpt2"], dtype="float64") is not own_model


def test_every_run_must_leave_it_as_the_first_found_it(own_model):
    guard = Guard()
    with guard.untouched({"model": own_model}):
        pass
    spoil(own_model)  # between the runs
    with pytest.raises(HookError), guard.untouched({"model": own_model}):
        pass


def test_a_body_without_a_model():
    with Guard().untouched({}):
        pass


def test_a_large_model_that_cannot_be_put_back_is_refused_from_then_on(own_model, monkeypatch):
    """Where a fixture keeps it: what the loader has kept is forgotten."""
    monkeypatch.setattr(fingerprint, "KEPT", 10)
    with pytest.raises(HookError, match="weights were changed"), Guard("ioi/who[m]").untouched({"model": own_model}):
        spoil(own_model)
    said = "the weights of this model were changed by ioi/who"
    with pytest.raises(HookError, match=said), Guard().untouched({"model": own_model}):
        pass


def test_a_small_one_is_put_back(own_model):
    before = [tensor.clone() for tensor in own_model.parameters()]
    with pytest.raises(HookError), Guard().untouched({"model": own_model}):
        spoil(own_model.half())
    assert all(torch.equal(a, b) for a, b in zip(own_model.parameters(), before, strict=True))
    with Guard().untouched({"model": own_model}):
        pass


def test_what_is_the_tests_own_is_as_it_was_at_the_beginning_of_each_run():
    own, shared, guard = [1], [1], Guard(own=["own"])
    with guard.untouched({"own": own, "shared": shared}):
        own.append(2)
    assert own == [1, 2]
    with guard.untouched({"own": own, "shared": shared}):
        assert own == [1]
    said = r"^it changed what other claims use too: shared\. It was put back; use instead: a copy of it$"
    with pytest.raises(StateError, match=said), guard.untouched({"own": own, "shared": shared}):
        shared.append(2)
    assert shared == [1]


def test_what_is_patched_is_taken_back_in_silence():
    with Guard(patched=True).untouched({}):
        torch.softmax = None
    assert torch.softmax is not None
    with pytest.raises(StateError), Guard(patched=True).untouched({}):
        torch.set_grad_enabled(False)
    assert torch.is_grad_enabled()


def test_models_that_are_loaded_meanwhile_are_watched(model_dirs):
    forget_models()
    with pytest.raises(HookError, match="weights were changed"), Guard().untouched({}):
        spoil(load_model(model_dirs["gpt2"], dtype="float64"))
    with Guard().untouched({}):
        load_model(model_dirs["gpt2"], dtype="float64")
