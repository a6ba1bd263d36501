"""Whether a model will fit into memory, told before it is loaded from the shapes of what is stored."""

import math
from pathlib import Path

import psutil
import torch

from mechcheck.base.errors import ModelError
from mechcheck.models.admitted import stored_shapes

KEPT, WHILE_LOADED = 2.8, 4.4
"""A loaded model's memory, and what its loading takes at most, as multiples of its weights in float32; measured on GPT-2 small's shape."""


def check_room(directory: Path, name: str, device: str = "cpu") -> str | None:
    """Whether a model's directory can be loaded here.

    Args:
        directory: of the model.
        name: of the model, for messages.
        device: that it is loaded for.

    Returns:
        what to say where it will be tight: memory for the model, but not for its loading; None where there is enough.

    Raises:
        ModelError: more is needed than is free.
    """
    weights = 4 * sum(math.prod(shape) for shape in stored_shapes(directory, name).values())
    kind = torch.device(device).type
    free, where = (torch.cuda.mem_get_info(device)[0], device) if kind == "cuda" else (psutil.virtual_memory().available, "this machine")
    needed = weights if kind == "cuda" else KEPT * weights
    told = f"{name} has weights of {_said(weights)} in float32 and takes {_said(needed)} or more; {where} has {_said(free)} free"
    if needed > free:
        raise ModelError(f"{told}: choose a smaller model, close what else runs, or a machine with more memory")
    if kind == "cuda" or WHILE_LOADED * weights <= free:
        return None
    return f"{told}, and while it is loaded it takes about {_said(WHILE_LOADED * weights)}: that may not be enough"


def _said(size: float) -> str:
    return f"{size / 1e9:.1f} GB" if size >= 1e8 else f"{size / 1e6:.1f} MB"
