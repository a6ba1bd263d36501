"""What a directory says of the model in it, without any weight being read: its configuration, and the header of its files."""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from mechcheck.base.errors import ModelError
from mechcheck.base.shape import Shape
from mechcheck.models.admitted import read_config, stored_shapes

# What configurations call the same thing.
_NAMES: Mapping[str, tuple[str, ...]] = {
    "layers": ("num_hidden_layers", "n_layer", "n_layers", "num_layers"),
    "d_model": ("hidden_size", "n_embd", "d_model", "dim"),
    "heads": ("num_attention_heads", "n_head", "n_heads", "num_heads"),
    "kv_heads": ("num_key_value_heads", "n_key_value_heads"),
    "d_head": ("head_dim", "d_head"),
    "d_mlp": ("intermediate_size", "n_inner", "ffn_dim", "d_mlp", "hidden_dim"),
    "vocabulary": ("vocab_size", "d_vocab_out", "d_vocab"),
}
_GATES = ("gate_proj", "gate_up_proj", ".mlp.gate.")


class Stored(NamedTuple):
    """A model that was not loaded."""

    shape: Shape
    n_params: int
    """Weights in its files."""


def stored(directory: Path, name: str) -> Stored:
    """What is in a directory.

    Raises:
        ModelError: its configuration does not say how large the model is, or its files are damaged.
    """
    config = read_config(directory / "config.json", name)
    config = config.get("text_config", config)
    found = {field: next((config[key] for key in keys if config.get(key) is not None), None) for field, keys in _NAMES.items()}
    if missing := [_NAMES[field][0] for field in ("layers", "d_model", "heads", "vocabulary") if not found[field]]:
        raise ModelError(f"{name!r}: its config.json does not say {', '.join(missing)}, so that nobody can tell what it takes")
    shapes = stored_shapes(directory, name)
    gated = any(gate in key for key in shapes for gate in _GATES)
    return Stored(_shape(config, found, gated), sum(math.prod(shape) for shape in shapes.values()))


def _shape(config: Mapping[str, Any], found: Mapping[str, Any], gated: bool) -> Shape:
    heads, d_model = found["heads"], found["d_model"]
    return Shape(
        layers=found["layers"],
        d_model=d_model,
        heads=heads,
        kv_heads=found["kv_heads"] or heads,
        d_head=found["d_head"] or d_model // heads,
        d_mlp=0 if config.get("attn_only") else (found["d_mlp"] or 4 * d_model) * (config.get("num_experts_per_tok") or 1),
        gated=gated,
        vocabulary=found["vocabulary"],
        head="BertForMaskedLM" in (config.get("architectures") or ()),
    )
