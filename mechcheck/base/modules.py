"""A model's modules and weights, without the names that torch makes on its way through them, which for a small model take long."""

from collections.abc import Collection, Iterator

import torch


def all_modules(*models: torch.nn.Module) -> Collection[torch.nn.Module]:
    """All modules of these, each once."""
    found: dict[torch.nn.Module, None] = {}
    left: list[torch.nn.Module | None] = list(models)
    while left:
        one = left.pop()
        if one is not None and one not in found:
            found[one] = None
            left.extend(one._modules.values())
    return found


def weights_of(model: torch.nn.Module) -> Iterator[torch.nn.Parameter]:
    """All parameters: of a bridge those of transformers' model, as its `parameters()`; a tied one as often as it is there."""
    for module in all_modules(getattr(model, "original_model", model)):
        for parameter in module._parameters.values():
            if parameter is not None:
                yield parameter
