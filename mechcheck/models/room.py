"""Whether a model will fit into memory, told before it is loaded from the shapes of what is stored."""

from pathlib import Path

import psutil
import torch

from mechcheck.base.errors import ModelError
from mechcheck.models.loading import stored_model

KEPT, WHILE_LOADED = 1.2, 2.8
"""What a loaded model takes at least, and loading it with the fast runner's weights at most, as multiples of its weights in float32:
measured on Llama's layout of a gigabyte and on GPT-2 small's shape."""


def check_room(name_or_path: str, device: str = "cpu") -> str | None:
    """Whether a model can be loaded here.

    Args:
        name_or_path: of a model on this machine, as `load_model` has it.
        device: that it is loaded for.

    Returns:
        what to say where it will be tight: memory for the model, but not for its loading; None where there is enough, or where
        nobody can tell before it is loaded.

    Raises:
        ModelError: more is needed than is free.
    """
    try:
        weights = 4 * stored_model(name_or_path).n_params
    except ModelError:  # of which loading has more to say
        return None
    name = Path(name_or_path).name
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
