"""What a model is called: by what was asked for it, before anything is loaded."""

from collections.abc import Sequence
from pathlib import Path


def model_name(name_or_path: str) -> str:
    """How a model is called in ids and circuit files."""
    path = Path(name_or_path).expanduser()
    return path.resolve().name if path.is_dir() else name_or_path.partition("@")[0]


def place_of(name: str, given: Sequence[str]) -> str:
    """Where a model comes from: the one of those given that is called so, or as the last part of the hub id; else its own name."""
    return next((one for one in given if model_name(one) in (name, name.rpartition("/")[2])), name)
