"""What a claim needs of the cluster, by the size of its model."""

import math
from collections.abc import Mapping
from pathlib import Path

from mechcheck.base.paths import data_dir, trained_models

_TIMES = 3
"""GPU memory that a model takes, in sizes of its weights: they, what is packed for sweeps, activations."""
_PARTS = 20
"""A GPU is shared in twentieths."""


def needs(given: Mapping[str, float], model: str | None, device: str) -> dict[str, float]:
    """The resources of a claim's task.

    Args:
        given: --mech-resources; its gpu_gb is the memory of one GPU in GB.
        model: as --mech-model has it; None for a test without one.
        device: --mech-device.
    """
    found = {name: amount for name, amount in given.items() if name != "gpu_gb"}
    if device.startswith("cuda") and "num_gpus" not in found:
        found["num_gpus"] = share(None if model is None else weights_bytes(model), given.get("gpu_gb"))
    return found


def share(weights: int | None, gpu_gb: float | None) -> float:
    """Which part of a GPU, or how many, a model of so many bytes takes; a whole one where something is not known."""
    if weights is None or not gpu_gb:
        return 1.0
    part = _TIMES * weights / (gpu_gb * 1e9)
    return math.ceil(part * _PARTS) / _PARTS if part < 1 else float(math.ceil(part))


def weights_bytes(model: str) -> int | None:
    """The size of a model's weights; None where they are not at hand."""
    folder = data_dir("fixtures") / "models" / model if model in trained_models() else Path(model).expanduser()
    sizes = [path.stat().st_size for path in folder.glob("*.safetensors")] if folder.is_dir() else []
    return sum(sizes) or None
