"""Random models of any configuration that transformers has, every part of which has a visible effect."""

from pathlib import Path
from typing import Any

import torch
import transformers

from mechcheck.models.directory import keep_model

_SIZES = {
    "vocab_size": 48, "hidden_size": 32, "intermediate_size": 20, "num_hidden_layers": 2, "num_attention_heads": 4,
    "max_position_embeddings": 64, "pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 0, "tie_word_embeddings": False,
}  # fmt: skip


def save_random(name: str, directory: Path, **settings: Any) -> torch.nn.Module:
    """A model of random weights that all have a visible effect, without a tokenizer; and transformers' own copy of it."""
    torch.manual_seed(0)
    model = transformers.AutoModelForCausalLM.from_config(
        getattr(transformers, name)(**_SIZES | settings), attn_implementation="eager"
    ).eval()
    with torch.no_grad():
        for parameter_name, parameter in model.named_parameters():
            kept = parameter.clone() if "norm" in parameter_name else 0.0
            parameter.normal_(0.0, 0.3).add_(kept)
    keep_model(model, None, directory)
    return model
