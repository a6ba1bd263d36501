"""A model's modules and weights are those that torch lists."""

import torch

from mechcheck.base.modules import all_modules, weights_of


def test_they_are_torchs(tiny):
    model = tiny("neox")
    assert set(all_modules(model)) == set(model.modules())
    own = model.original_model
    assert set(all_modules(model, own)) == {*model.modules(), *own.modules()}
    assert {id(one) for one in weights_of(model)} == {id(one) for one in model.parameters()}


def test_a_module_in_two_places_is_one_and_a_tied_weight_two():
    shared = torch.nn.Linear(2, 2)
    other = torch.nn.Linear(2, 2, bias=False)
    other.weight = shared.weight
    whole = torch.nn.Sequential(shared, torch.nn.Sequential(shared, other), None)
    assert len(all_modules(whole)) == 4
    assert [one.shape for one in weights_of(whole)].count(torch.Size([2, 2])) == 2
    assert set(weights_of(whole)) == set(whole.parameters())
