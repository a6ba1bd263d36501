"""Data as it was: tensors, arrays and what holds them, copied, compared, and put back in place."""

import math
import zlib
from collections.abc import Callable, Sequence
from dataclasses import fields, is_dataclass
from typing import Any, NamedTuple

import numpy as np
import torch

from mechcheck.base.handed import GROWS

_SAME_BITS = {1: torch.int8, 2: torch.int16, 4: torch.int32, 8: torch.int64}
# Of a longer tuple the first element is looked into: words of prompts are many, and all of a kind.
_LOOKED_INTO = 16
_NAMED = 4
COPIED = 4_000_000
"""Elements up to which a tensor or an array is copied; of a larger one it is only seen that it was changed."""


def same_bits(a: torch.Tensor, b: torch.Tensor) -> bool:
    """Whether two tensors are the same to the bit: NaN is the same as itself, and 0 another number than -0."""
    if a.dtype != b.dtype or a.shape != b.shape or a.device != b.device or a.layout != torch.strided:
        return a is b
    if a.is_floating_point():
        bits = _SAME_BITS[a.element_size()]
        return torch.equal(a.detach().view(bits), b.detach().view(bits))
    return torch.equal(a.detach(), b.detach())


def put_back(tensor: torch.Tensor, kept: torch.Tensor) -> None:
    """Give a tensor the values, shape and dtype of a copy of it, in place: whoever holds it has them again."""
    with torch.inference_mode(tensor.is_inference()), torch.no_grad():
        if tensor.shape == kept.shape and tensor.dtype == kept.dtype and tensor.device == kept.device and not tensor.requires_grad:
            tensor.copy_(kept)
        else:
            tensor.data = kept.clone()


class Changed(NamedTuple):
    """Something that is not as it was."""

    what: str
    """"torch.softmax was replaced"."""
    instead: str
    """How to have it without leaving it: "with torch.no_grad():"; empty where there is no way."""
    replaced: bool = False
    """Whether it is another object in the place of one, as pytest's `monkeypatch` puts there until the test is over."""


class DataState:
    """The state of a value, of which it is known that it is to stay as it is."""

    def __init__(self, name: str, value: Any):
        """Copy what can be changed in it.

        Args:
            name: what a reader calls it.
            value: a tensor, an array, a dictionary, list or set, a dataclass, and what these hold. Anything else is left alone, as is
                what a dataclass keeps in fields with an underscore, or says that it grows.
        """
        self._parts: list[_Part] = []
        self._seen: set[int] = set()
        self._take(name, value)

    def __bool__(self) -> bool:
        """Whether there is anything in it that could change."""
        return bool(self._parts)

    def changed(self) -> list[Changed]:
        """The parts that are not as they were, by name: `prompts.answers`."""
        moved = {part.name: part for part in self._parts if not part.same()}  # a part that was replaced can be changed inside as well
        return [Changed(name, "a copy of it", part.items) for name, part in moved.items()]

    def restore(self) -> None:
        """Put back what was changed."""
        for part in self._parts:
            if not part.same():
                part.restore()

    def _take(self, name: str, value: Any) -> None:
        if id(value) in self._seen or isinstance(value, str | bytes | int | float | bool | None):
            return
        self._seen.add(id(value))
        if isinstance(value, torch.Tensor):
            self._parts.append(_tensor(name, value))
        elif isinstance(value, np.ndarray):
            self._parts.append(_array(name, value))
        elif is_dataclass(value) and not isinstance(value, type):
            grows = {field.name for field in fields(value) if field.metadata == GROWS or field.name.startswith("_")}
            held = {field.name: vars(value)[field.name] for field in fields(value) if field.name in getattr(value, "__dict__", ())}
            for key, one in held.items():
                if key not in grows:
                    self._parts.append(_attribute(f"{name}.{key}", value, key, one))
                    self._take(f"{name}.{key}", one)
        elif isinstance(value, dict | list | set):
            self._parts.append(_container(name, value))
            if not isinstance(value, set):
                for place, one in value.items() if isinstance(value, dict) else enumerate(value):
                    self._take(f"{name}[{place!r}]", one)
        elif isinstance(value, tuple):
            for number, one in enumerate(value if len(value) <= _LOOKED_INTO else value[:1]):
                self._take(f"{name}[{number}]", one)


class _Part:
    """Something that can be changed."""

    __slots__ = ("items", "name", "restore", "same")

    def __init__(self, name: str, same: Callable[[], bool], restore: Callable[[], None], items: bool = False):
        """`items`: whether what changes in it is which objects it holds, and not what these are."""
        self.name, self.same, self.restore, self.items = name, same, restore, items


def _tensor(name: str, value: torch.Tensor) -> _Part:
    asked = value.requires_grad
    if value.numel() > COPIED:
        version = 0 if value.is_inference() else value._version
        return _Part(name, lambda: value.is_inference() or value._version == version, lambda: None)
    kept = value.detach().clone()

    def restore() -> None:
        value.requires_grad_(asked)
        put_back(value, kept)

    return _Part(name, lambda: value.requires_grad == asked and same_bits(value, kept), restore)


def _array(name: str, value: np.ndarray) -> _Part:
    if value.size > COPIED and not value.dtype.hasobject:
        found = _checksum(value)
        return _Part(name, lambda: _checksum(value) == found, lambda: None)
    kept = value.copy()
    exact = not value.dtype.hasobject

    def same() -> bool:
        alike = value.dtype == kept.dtype and value.shape == kept.shape
        return alike and (value.tobytes() == kept.tobytes() if exact else all(map(_is, value.flat, kept.flat)))

    def restore() -> None:
        if value.shape != kept.shape:
            value.resize(kept.shape, refcheck=False)
        value[...] = kept

    return _Part(name, same, restore)


def _checksum(array: np.ndarray) -> int:
    return zlib.crc32(np.ascontiguousarray(array).data.cast("B"))


def _attribute(name: str, value: Any, key: str, held: Any) -> _Part:
    return _Part(name, lambda: vars(value).get(key) is held, lambda: object.__setattr__(value, key, held), items=True)


def _container(name: str, value: Any) -> _Part:
    kept = value.copy()
    alike = same_items if isinstance(value, dict) else _same_list if isinstance(value, list) else set.__eq__
    return _Part(name, lambda: alike(value, kept), lambda: refill(value, kept), items=True)


def refill(container: Any, kept: Any) -> None:
    """Give a dictionary, list or set the elements of a copy of it, in place."""
    container.clear()
    (container.extend if isinstance(container, list) else container.update)(kept)


def same_items(now: dict, kept: dict) -> bool:
    """Whether a dictionary holds the same objects under the same keys, in the same order."""
    return len(now) == len(kept) and all(map(_is, now.values(), kept.values())) and now.keys() == kept.keys()


def _same_list(now: list, kept: list) -> bool:
    return len(now) == len(kept) and all(map(_is, now, kept))


def _is(a: Any, b: Any) -> bool:
    """The same object, or an equal number or word."""
    return a is b or (type(a) is type(b) and isinstance(a, int | float | str | bool) and (a == b or (_nan(a) and _nan(b))))


def _nan(number: Any) -> bool:
    return isinstance(number, float) and math.isnan(number)


def is_data(value: Any) -> bool:
    """Whether a value is of a kind whose state can be taken."""
    return isinstance(value, torch.Tensor | np.ndarray | dict | list | set | tuple) or (is_dataclass(value) and not isinstance(value, type))


def told(found: Sequence[Changed]) -> str:
    """What was changed: "prompts.answers, prompts.foils"."""
    return ", ".join(_few(list(dict.fromkeys(one.what for one in found))))


def instead(found: Sequence[Changed]) -> str:
    """What to do instead: "a copy of it, with torch.no_grad():"."""
    return ", ".join(_few(list(dict.fromkeys(one.instead for one in found if one.instead))))


def _few(words: list[str]) -> list[str]:
    return words[:_NAMED] + ([f"and {len(words) - _NAMED} more"] if len(words) > _NAMED else [])
