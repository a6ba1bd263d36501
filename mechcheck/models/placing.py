"""Where a model's weights go: to one device, or each part to its own, as accelerate takes it."""

import json
from collections.abc import Mapping
from typing import Any

from mechcheck.base.device import check_device
from mechcheck.base.errors import ModelError

DeviceMap = str | Mapping[str, str | int]
"""One of accelerate's strategies, or part of the model as transformers names it ("model.layers.0") -> device."""
STRATEGIES = ("auto", "balanced", "balanced_low_0", "sequential")


def as_device(device: str, device_map: DeviceMap | None, dtype: str) -> str:
    """The device, or the map as text, which stands where a device's name does.

    Raises:
        ModelError: both; no such strategy or device; weights that would not be on the devices which compute with them.
    """
    if device_map is None:
        check_device(device, dtype)
        return device
    if device != "cpu":
        raise ModelError(f"device={device!r} and device_map both say where the weights go; give one of them")
    if isinstance(device_map, str):
        if device_map not in STRATEGIES:
            raise ModelError(f"unknown device_map {device_map!r}; choose one of {', '.join(STRATEGIES)}, or give {{part: device}}")
        return device_map
    named = {part: f"cuda:{place}" if isinstance(place, int) else str(place) for part, place in device_map.items()}
    if not named:
        raise ModelError('this device_map is empty; {"": "cpu"} places the whole model')
    if off := [part for part, place in named.items() if place in ("disk", "meta")]:
        raise ModelError(
            f"device_map puts {off[0]!r} on {named[off[0]]!r}, from where accelerate fetches weights for each forward pass; "
            "folding and the fast runner read them where they are. Name devices alone"
        )
    for place in sorted(set(named.values())):
        check_device(place, dtype)
    if len({place.partition(":")[0] for place in named.values()}) > 1:
        raise ModelError(
            "device_map has weights on the CPU beside weights on GPUs; accelerate moves the former for each forward pass, which "
            "TransformerLens does not allow. Place all parts on GPUs, or the model on the CPU"
        )
    return json.dumps(named, sort_keys=True)


def placement(device: str) -> dict[str, Any]:
    """The same as keyword arguments: device, or device_map."""
    if device in STRATEGIES:
        return {"device_map": device}
    return {"device_map": json.loads(device)} if device.startswith("{") else {"device": device}


def check_one_device(device: str, what: str) -> None:
    """Raise `ModelError` where each part has a place of its own, which this cannot have."""
    if is_mapped(device):
        raise ModelError(f"{what} needs one device: load it with device=...")


def is_mapped(device: str) -> bool:
    """Whether each part has a place of its own."""
    return "device_map" in placement(device)
