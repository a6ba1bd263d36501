"""What a model's directory may hold: files and no pipes, no links that lead out of it, no sizes that its weights do not bear out."""

import math
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mechcheck.base.errors import ModelError
from mechcheck.base.reading import LARGEST_DATA, check_file, read_json, read_text

if TYPE_CHECKING:
    from transformers import PretrainedConfig

_FEW = 64
"""Layers that a model may have without any weights of their own, as where all layers share one."""
_LAYERS = ("n_layer", "n_layers", "num_layers", "num_hidden_layers")
_PARTS = ("text_config", "decoder", "encoder")
"""Configurations inside of a configuration."""
_ROOM = 1 << 24
"""Weights that a model may have beyond what its files can bear out: small ones need not be precise about it."""
_PACKED = 16
"""Weights in a byte, at most: files may hold less than half of a model whose head is the same as its embedding, in few bits."""


def check_entries(directory: Path, name: str, *, follow_links: bool = False) -> None:
    """Raise unless what lies in the directory is files, and no link leads to a file elsewhere but into the blobs of the hub's own cache.

    Args:
        directory: of the model.
        name: of the model, for messages.
        follow_links: let links lead wherever they do.

    Raises:
        ModelError: names the entry.
    """
    inside = [directory.resolve(), *([directory.resolve().parents[1] / "blobs"] if directory.resolve().parent.name == "snapshots" else [])]
    for path in sorted(directory.iterdir()):
        if path.is_dir():
            continue
        target = Path(os.path.realpath(path))  # resolve() raises where links go in a circle
        if path.is_symlink() and not follow_links and not any(target.is_relative_to(place) for place in inside):
            raise ModelError(
                f"{name!r}: {path.name} is a link that leads out of the directory (to {target}), so that what is measured would not be "
                "what lies here. Put the file itself there, or, where links are meant, load_model(..., follow_links=True)"
            )
        try:
            check_file(path)
        except OSError as error:
            raise ModelError(f"{name!r}: {path.name} cannot be read: {error}") from error
    for index in sorted(directory.glob("*.index.json")):
        parts = read_config(index, name).get("weight_map", {})
        named = set(map(str, parts.values() if isinstance(parts, dict) else (parts,)))
        if strange := sorted(part for part in named if part in ("", ".", "..") or Path(part).name != part or "\\" in part):
            raise ModelError(f"{name!r}: {index.name} names {strange[0]!r:.60}, which is no file of this directory")


def read_config(path: Path, name: str) -> dict[str, Any]:
    """The settings in a JSON file of a model.

    Raises:
        ModelError: no such file, or no table of settings in JSON.
    """
    try:
        found = read_json(path, LARGEST_DATA)
    except (OSError, ValueError) as error:
        raise ModelError(_damaged(name, path, str(error))) from error
    if not isinstance(found, dict):
        raise ModelError(_damaged(name, path, f"it holds a {type(found).__name__}, where settings by name are expected"))
    return found


def check_undamaged(directory: Path, name: str) -> None:
    """Read every file as far as it can be told that it is whole; for when a library has failed over one of them.

    Raises:
        ModelError: which file is damaged, and how.
    """
    stored_shapes(directory, name)
    for path in sorted(directory.iterdir()):
        if path.suffix == ".json" and path.is_file():
            named = read_config(path, name).get("weight_map")
            shards = set(map(str, named.values())) if isinstance(named, dict) else set()
            if missing := sorted(shard for shard in shards if not (directory / shard).is_file()):
                raise ModelError(f"{name!r}: {path.name} names {', '.join(missing)}, which is not there; fetch or save the model again")
        elif path.suffix == ".txt":
            try:
                read_text(path, LARGEST_DATA)
            except (OSError, ValueError) as error:
                raise ModelError(_damaged(name, path, str(error))) from error


def _damaged(name: str, path: Path, why: str) -> str:
    return f"{name!r}: its {path.name} is damaged ({why}): edited, or cut short when it was copied or saved. Fetch or save the model again"


def check_config(config: Mapping[str, Any], name: str, tensors: int) -> None:
    """Raise where a configuration has no kind, or more layers than there can be.

    Args:
        config: of the model.
        name: of the model, for messages.
        tensors: how many its files hold.

    Raises:
        ModelError: names the setting.
    """
    kind, named = config.get("model_type"), config.get("architectures")
    if not (kind is None or isinstance(kind, str)):
        raise ModelError(f"{name!r}: model_type in its config.json is text, not {kind!r:.60}")
    if not (named is None or (isinstance(named, list) and all(isinstance(one, str) for one in named))):
        raise ModelError(f"{name!r}: architectures in its config.json is a list of names, not {named!r:.60}")
    most = max(_FEW, tensors)
    for part in (config, *(inner for key in _PARTS if isinstance(inner := config.get(key), dict))):
        for key in _LAYERS:
            layers = part.get(key, 1)
            if not isinstance(layers, int) or isinstance(layers, bool) or not 1 <= layers <= most:
                raise ModelError(
                    f"{name!r}: its config.json says {key} = {layers!r:.60}, and a model whose files hold {tensors} tensors has a "
                    f"whole number of layers, from 1 to {most}"
                )


def stored_shapes(directory: Path, name: str) -> dict[str, tuple[int, ...]]:
    """Name -> shape of every tensor in the directory's files, of which no more is read than that.

    Raises:
        ModelError: a file that is damaged.
    """
    from safetensors import SafetensorError, safe_open

    found: dict[str, tuple[int, ...]] = {}
    for path in sorted(directory.glob("*.safetensors")):
        try:
            with safe_open(path, framework="pt") as file:
                found |= {key: tuple(file.get_slice(key).get_shape()) for key in file.keys()}  # noqa: SIM118  # it is no dict
        except (SafetensorError, OSError, ValueError) as error:
            raise ModelError(_damaged(name, path, str(error))) from error
    return found


def check_sizes(name: str, auto: Any, config: "PretrainedConfig", stored: Mapping[str, tuple[int, ...]], **settings: Any) -> None:
    """Raise where a configuration describes another model than the one whose weights are stored, before memory is taken for it.

    Args:
        name: of the model, for messages.
        auto: transformers' class that makes the model.
        config: of it.
        stored: as `stored_shapes` gives them.
        settings: what else the model is made with.

    Raises:
        ModelError: names weights of another shape, or says how many there would have to be.
    """
    import torch

    with torch.device("meta"):
        model = auto.from_config(config, **settings)
    other = [(key, stored[key], tuple(one.shape)) for key, one in _parameters(model) if key in stored and stored[key] != tuple(one.shape)]
    if other:
        raise ModelError(_other_shapes(name, other))
    wanted = sum(one.numel() for one in model.parameters())
    most = _ROOM + _PACKED * sum(math.prod(shape) for shape in stored.values())
    if wanted > most:
        raise ModelError(
            f"{name!r}: its config.json describes a model of {wanted:,} weights, far more than its files hold; put the configuration there "
            "that the weights were saved with"
        )


def _parameters(model: Any) -> Iterator[tuple[str, Any]]:
    """By their names in the model, and by those that they have where only its body was saved."""
    for key, one in model.named_parameters():
        yield key, one
        yield key.removeprefix(f"{model.base_model_prefix}."), one


def _other_shapes(name: str, found: list[tuple[str, tuple[int, ...], tuple[int, ...]]]) -> str:
    """The message about weights of other shapes: name, shape in the file, shape that the configuration asks for."""
    shown = [f"{key} is {list(stored)} and would have to be {list(wanted)}" for key, stored, wanted in sorted(set(found))]
    more = f" and {len(shown) - _SHOWN} more" if len(shown) > _SHOWN else ""
    return (
        f"{name!r}: weights in the file have other shapes than its config.json says: {', '.join(shown[:_SHOWN])}{more}. "
        "Put the configuration there that the weights were saved with"
    )


_SHOWN = 4
