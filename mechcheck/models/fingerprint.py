"""Is a model as it was? Its weights, its parts and what hangs on them, compared and put back."""

import itertools
from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from operator import is_
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

import numpy as np
import torch

from mechcheck.base.data_state import Changed, instead, put_back, refill, same_bits, same_items, told
from mechcheck.base.device import has_float64
from mechcheck.base.errors import HookError

if TYPE_CHECKING:
    from transformer_lens.model_bridge import TransformerBridge

KEPT = 4_000_000
"""Parameters up to which weights are copied, so that they can be compared to the bit and put back; of more, sums are compared."""
_COPIES: "WeakKeyDictionary[torch.nn.Module, list[torch.Tensor]]" = WeakKeyDictionary()
# Models whose weights were changed and could not be put back, and by whom.
_SPOILED: "WeakKeyDictionary[torch.nn.Module, str]" = WeakKeyDictionary()
_PARTS = ("_parameters", "_buffers", "_modules")
_LENS_HOOKS = ("fwd_hooks", "bwd_hooks")
_TORCH_HOOKS = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")
# Who hangs up hooks of their own when a model first runs.
_LIBRARIES = ("transformer_lens.", "transformers.", "torch.")
_COPY = "models are shared and read-only: change a copy"


class ModelState:
    """The state of a model that is to stay as it is."""

    def __init__(self, model: "TransformerBridge"):
        """Take it.

        Raises:
            HookError: somebody changed its weights before, and they could not be put back.
        """
        if model in _SPOILED:
            raise HookError(
                f"the weights of this model were changed by {_SPOILED[model]}, and nobody but the fixture that keeps it can load it again: "
                "give the fixture the scope of a function, and have that claim change a copy"
            )
        self._model = model
        self._tensors = list(itertools.chain(model.parameters(), model.buffers()))
        self._asked = [tensor.requires_grad for tensor in self._tensors]
        self._weights = _weights(model, self._tensors)
        self._held = [_Held(one) for one in (*model.modules(), *_configurations(model))]
        # What a quick look compares: most of the containers are empty, and nearly always nothing was changed.
        self._empty = [one for held in self._held for one in held.empty]
        self.classes = frozenset(held.kind for held in self._held)
        """Of the model's parts."""

    def changed(self) -> list[Changed]:
        """What is not as it was."""
        found = []
        if not self._same_weights():
            found.append(Changed("the model's weights were changed", _COPY))
        if any(tensor.requires_grad != asked for tensor, asked in zip(self._tensors, self._asked, strict=True)):
            found.append(Changed("whether the model's weights have gradients was changed", _COPY))
        touched = self._touched()
        if hooks := sum(held.hooks() for held in touched):
            said = f"{hooks} hooks were left on the model" if hooks > 0 else f"{-hooks} hooks were taken off the model"
            found.append(Changed(said, "use run, capture or `with model.hooks(...)`"))
        moved = [(held, name) for held in touched for name in held.changed()]
        if modes := [name for _, name in moved if name == "training"]:
            found.append(Changed(f"training mode was switched in {len(modes)} of the model's parts", "claims run in evaluation mode"))
        names: Mapping[int, str] = {}
        for held, name in moved:
            if name != "training":
                names = names or self._names()
                found.append(Changed(f"{names.get(id(held.of), 'its configuration')}.{name} was replaced", _COPY, replaced=True))
        return found

    def restore(self, who: str = "another claim") -> None:
        """Put back what was changed; what cannot be is remembered against the model, with who changed it."""
        for held in self._touched():
            held.restore()
        for tensor, asked in zip(self._tensors, self._asked, strict=True):
            if tensor.requires_grad != asked:
                tensor.requires_grad_(asked)
        if self._same_weights():
            return
        if self._model not in _COPIES:
            _SPOILED[self._model] = who
            return
        for tensor, kept in zip(self._tensors, _COPIES[self._model], strict=True):
            if not same_bits(tensor, kept):
                put_back(tensor, kept)

    def _touched(self) -> "list[_Held]":
        """The parts that deserve a closer look."""
        nothing_new = not any(self._empty)
        return [held for held in self._held if not (held.same_attributes() and (nothing_new or not any(held.empty)) and held.same_filled())]

    def _same_weights(self) -> bool:
        if self._weights is not None:
            return np.array_equal(_sums(self._tensors), self._weights, equal_nan=True)
        return all(map(same_bits, self._tensors, _COPIES[self._model]))

    def _names(self) -> dict[int, str]:
        """What the parts are called; of one that was taken out, by what held it."""
        found = {id(self._model): "model"}
        for held in self._held:
            for name, module in (held.inner.get("_modules") or {}).items():
                # A component of TransformerLens passes what it is given on to the part that it wraps.
                path = found.get(id(held.of), "model") + ("" if name == "_original_component" else f".{name}")
                found.setdefault(id(module), path.removeprefix("model."))
        return found


def is_model(value: object) -> bool:
    """Whether it is a model whose state can be taken: any module of torch's."""
    return isinstance(value, torch.nn.Module)


class _Held:
    """A part of a model, or a configuration, and what it holds."""

    __slots__ = ("_filled", "_now", "attributes", "empty", "inner", "kind", "of")

    def __init__(self, of: Any):
        self.of, self.kind, self._now = of, type(of), vars(of)
        self.attributes = self._now.copy()
        self.inner: dict[str, Any] = {}
        self.empty, self._filled = [], []
        for name, value in self.attributes.items():
            if type(value) in _CONTAINERS:
                if value:
                    self.inner[name] = kept = value.copy()
                    self._filled.append((value, kept))
                else:
                    self.inner[name] = None
                    self.empty.append(value)

    def same_attributes(self) -> bool:
        """Whether it has the same objects under the same names."""
        now, was = self._now, self.attributes
        return len(now) == len(was) and all(map(is_, now.values(), was.values())) and type(self.of) is self.kind

    def same_filled(self) -> bool:
        """Whether the containers in which something stood hold the same."""
        return all(_same_elements(now, was) for now, was in self._filled)

    def changed(self) -> Iterator[str]:
        """Names of what was replaced; a library's own notes, which begin with an underscore, are left out."""
        now = vars(self.of)
        if type(self.of) is not self.kind:
            yield "__class__"
        for name, was in self.attributes.items():
            if name in _LENS_HOOKS or name in _TORCH_HOOKS:
                continue
            if name not in now:
                yield name
            elif not _same_object(now[name], was):
                if name == "ctx":  # where hooks keep what they like
                    continue
                if not name.startswith("_") or name in _PARTS or _is_function(was) or _is_function(now[name]):
                    yield name
            elif name in self.inner and not self._same_inside(name) and name != "ctx":
                if name in _PARTS:
                    yield from _differing(now[name], self.inner[name] or {})
                elif not name.startswith("_"):
                    yield name
        hiding = (name for name in now if name not in self.attributes and hasattr(self.kind, name))
        yield from (name for name in hiding if not name.startswith("_") or _is_function(now[name]))

    def hooks(self) -> int:
        """How many hooks hang there that did not before."""
        found = 0
        for name in (*_LENS_HOOKS, *_TORCH_HOOKS):
            if name in self.inner and not self._same_inside(name):
                now, was = vars(self.of)[name], self.inner[name] or ()
                found += _count(name, now) - _count(name, was)
        return found

    def restore(self) -> None:
        """Put back what was there, but for hooks and notes of libraries."""
        now = vars(self.of)
        if type(self.of) is not self.kind:
            self.of.__class__ = self.kind
        replaced = set(self.changed())
        for name in self.attributes:
            if name in replaced and not (name in now and _same_object(now[name], self.attributes[name])):
                now[name] = self.attributes[name]
        for name in replaced - self.attributes.keys():
            now.pop(name, None)
        for name, kept in self.inner.items():
            if self._same_inside(name):
                continue
            if name in _TORCH_HOOKS:
                _refill_hooks(now[name], kept or {})
            elif name in _LENS_HOOKS:
                for handle in [one for one in now[name] if not any(one is other for other in kept or ())]:
                    handle.hook.remove()
                refill(now[name], kept or [])
            elif name in _PARTS or not name.startswith("_"):
                refill(now[name], kept if kept is not None else type(now[name])())

    def _same_inside(self, name: str) -> bool:
        now, was = vars(self.of)[name], self.inner[name]
        if not now or was is None:
            return not now and was is None
        return _same_elements(now, was)


def _same_elements(now: Any, was: Any) -> bool:
    if isinstance(now, dict):
        return same_items(now, was)
    return len(now) == len(was) and (now == was if isinstance(now, set) else all(map(is_, now, was)))


_CONTAINERS = frozenset({dict, list, set, OrderedDict})


def _same_object(now: Any, was: Any) -> bool:
    return now is was or (type(now) is type(was) and isinstance(now, int | float | str) and now == was)


def _is_function(value: Any) -> bool:
    return callable(value) and not isinstance(value, torch.nn.Module | type)


def _differing(now: Mapping[str, Any], was: Mapping[str, Any]) -> Iterator[str]:
    return (name for name in dict.fromkeys([*was, *now]) if now.get(name) is not was.get(name))


def _count(name: str, hooks: Any) -> int:
    """Hooks, but for those that the libraries install when a model first runs."""
    if name in _LENS_HOOKS:
        return len(hooks)
    return sum(not _of_a_library(hook) for hook in hooks.values()) if hooks else 0


def _of_a_library(hook: Any) -> bool:
    return str(getattr(hook, "__module__", "")).startswith(_LIBRARIES)


def _refill_hooks(now: dict, kept: Mapping) -> None:
    """Hooks as they were, and those that libraries have installed since."""
    refill(now, {**kept, **{key: hook for key, hook in now.items() if key not in kept and _of_a_library(hook)}})


def _configurations(model: "TransformerBridge") -> list[Any]:
    """What says how the model computes, beside its parts."""
    found = (getattr(model, "cfg", None), getattr(getattr(model, "original_model", None), "config", None))
    return [one for one in found if hasattr(one, "__dict__") and not isinstance(one, torch.nn.Module)]


def _weights(model: torch.nn.Module, tensors: Sequence[torch.Tensor]) -> tuple[float, ...] | None:
    """Sums of the weights of a large model; None of one whose weights are copied, once until somebody changes them on purpose."""
    if sum(tensor.numel() for tensor in tensors) > KEPT:
        return _sums(tensors)
    known = _COPIES.get(model)
    if known is None or len(known) != len(tensors) or not all(map(same_bits, tensors, known)):
        _COPIES[model] = [tensor.detach().clone() for tensor in tensors]
    return None


def _sums(tensors: Sequence[torch.Tensor]) -> tuple[float, ...]:
    return tuple(one for tensor in tensors for one in _weighted_sums(tensor.detach()))


def _weighted_sums(tensor: torch.Tensor) -> tuple[float, float]:
    """Rows and columns weighted by their number, so that two that change places are noticed."""
    flat = tensor.reshape(len(tensor), -1) if tensor.ndim else tensor.reshape(1, 1)
    exact = torch.float64 if has_float64(tensor.device) else torch.float32
    rows, columns = (flat.sum(dim, dtype=exact) for dim in (1, 0))
    weighted = (float(sums @ torch.arange(1, len(sums) + 1, dtype=exact, device=sums.device)) for sums in (rows, columns))
    return next(weighted), next(weighted)


def check_untouched(state: ModelState) -> None:
    """Raise `HookError` unless the model is as it was when its state was taken."""
    if found := state.changed():
        raise HookError(f"{told(found)}; {instead(found)}")
