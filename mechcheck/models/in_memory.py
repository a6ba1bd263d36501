"""Twins of transformers models that were made in memory, with weights drawn anew by the architecture's own initialisation."""

import copy
from typing import TYPE_CHECKING, Any

import torch

from mechcheck.base.errors import ModelError
from mechcheck.models.directory import quiet_loading

if TYPE_CHECKING:
    from transformer_lens.model_bridge import TransformerBridge


def twin_in_memory(of: "TransformerBridge", name: str, seed: int, device: str, dtype: torch.dtype) -> "TransformerBridge":
    """A bridge around a network of the same class and configuration.

    Raises:
        ModelError: the network cannot be made from its configuration alone.
    """
    from transformer_lens.model_bridge.sources import build_bridge_from_module

    network: Any = of.original_model
    try:
        config = copy.deepcopy(network.config)
        with quiet_loading(), torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(seed)
            drawn = type(network)(config).to(device=device, dtype=dtype)
            twin = build_bridge_from_module(
                drawn, of.cfg.architecture, hf_config=config, tokenizer=of.tokenizer, dtype=dtype, device=device, model_name=name
            )
    except Exception as error:  # as many kinds as architectures
        raise ModelError(
            f"no twin of {name.partition('#')[0]!r} with other weights can be drawn, as it was made in memory ({type(error).__name__}: "
            f"{error}): keep it with keep_model(model, tokenizer, directory) and load that, or name another contrast (@claim(decoy=...))"
        ) from error
    twin.unembed.to(dtype)
    return twin
