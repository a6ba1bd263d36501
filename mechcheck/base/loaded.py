"""Whether what is given for a model is one that was loaded, and how its weights were processed."""

from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple
from weakref import WeakKeyDictionary

from mechcheck.base.errors import ModelError

if TYPE_CHECKING:
    import torch


def check_loaded(model: object) -> None:
    """Raise `ModelError` for what is commonly given in place of a loaded model: its name, transformers' own module, another kind."""
    import torch

    if isinstance(model, str | Path):
        raise ModelError(f"{str(model)!r} is a model's name, where the model itself is needed: model = load_model({str(model)!r})")
    kind = type(model).__name__
    if kind == "HookedTransformer":
        raise ModelError("this is a HookedTransformer: write it to a directory with keep_native, and load that with load_model(directory)")
    if isinstance(model, torch.nn.Module) and not hasattr(model, "cfg"):
        way = (
            "keep_model(model, tokenizer, directory)" if hasattr(model, "save_pretrained") else "keep_native(state_dict, config, directory)"
        )
        raise ModelError(
            f"this is a {kind}, not a loaded model: write it to a directory with {way}, and load that with load_model(directory)"
        )
    if not hasattr(model, "cfg") and not hasattr(model, "tokenizer"):
        raise ModelError(
            f"expected a model from load_model, got {kind}; a `model` fixture of your own returns one, or what "
            "TransformerBridge.boot_native(...) makes"
        )


Processing = Literal["folded", "raw"]
_PROCESSING: "WeakKeyDictionary[torch.nn.Module, Processing]" = WeakKeyDictionary()


def set_processing(model: "torch.nn.Module", processing: Processing) -> None:
    """Remember how this model's weights were processed."""
    _PROCESSING[model] = processing


def processing_of(model: object) -> Processing | None:
    """How its weights were processed; None where nobody said so."""
    import torch

    return _PROCESSING.get(model) if isinstance(model, torch.nn.Module) else None


class Source(NamedTuple):
    """How another process gets the same model: a function, by its name, and what it is given."""

    module: str
    function: str
    argument: Any

    def load(self) -> Any:
        """The model, in this process."""
        return getattr(import_module(self.module), self.function)(self.argument)


_SOURCE: "WeakKeyDictionary[torch.nn.Module, Source]" = WeakKeyDictionary()


def set_source(model: "torch.nn.Module", source: Source) -> None:
    """Remember where this model comes from."""
    _SOURCE[model] = source


def source_of(model: "torch.nn.Module") -> Source:
    """Where it comes from.

    Raises:
        ModelError: it was made in memory.
    """
    if model not in _SOURCE:
        raise ModelError(
            "this model was made in memory, so no other process can load it: write it to a directory with keep_model or keep_native, "
            "and load that with load_model(directory)"
        )
    return _SOURCE[model]
