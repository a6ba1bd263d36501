"""A pretend accelerator: its tensors compute on the CPU, and are kept as far from the CPU's as CUDA (or MPS) keeps its own.

What it refuses, real ones refuse: tensors of both places in one operation, but for numbers without dimensions and for indices;
numpy; random numbers of a CPU generator; and, where it has none, float64. What it cannot show: other rounding, other kernels.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import cache
from typing import Any
from unittest.mock import patch

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode, return_and_correct_aliasing
from torch.utils._pytree import tree_leaves, tree_map_only
from torch.utils.backend_registration import _setup_privateuseone_for_python_backend

from mechcheck.base import device as _device

NAME = "pretend"
aten = torch.ops.aten
_COPIES = {aten.copy_.default, aten._to_copy.default}
_INDEXED = {aten.index.Tensor, aten.index_put.default, aten.index_put_.default, aten._index_put_impl_.default}

_setup_privateuseone_for_python_backend(NAME)


class There(Tensor):
    """A tensor that says it is on the accelerator; `here` holds its numbers."""

    here: Tensor
    __torch_function__ = torch._C._disabled_torch_function_impl

    @staticmethod
    def __new__(cls, here: Tensor) -> "There":
        as_stored = {"strides": here.stride(), "storage_offset": here.storage_offset(), "dtype": here.dtype}
        made = Tensor._make_wrapper_subclass(cls, here.shape, **as_stored, device=torch.device(NAME, 0))
        made.here = here
        return made

    def tolist(self) -> Any:
        """Real devices' tensors can; torch refuses it for any class of ours."""
        return self.cpu().tolist()

    def __repr__(self, **_: Any) -> str:
        return f"{NAME}: {self.here!r}"

    @classmethod
    def __torch_dispatch__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        raise AssertionError(f"{func} outside `pretend()`: a tensor was kept")


class _Accelerator(TorchDispatchMode):
    """Sees every operation, checks where its tensors are, and does it on the CPU."""

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        """Nothing is compiled here; otherwise each operation goes through what keeps compilers out."""
        return False

    def __init__(self, *, float64: bool):
        super().__init__()
        self._float64 = float64

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        given: list[Tensor] = []
        _collect((*args, *kwargs.values()), given)
        sent = kwargs.get("device")
        involved = any(isinstance(tensor, There) for tensor in given)
        there = involved if sent is None else torch.device(sent).type == NAME
        if involved:
            _check_together(func, args, given)
        if there and torch.Tag.nondeterministic_seeded in func.tags and "attention" not in str(func):
            raise RuntimeError(f"{func}: the device's own random numbers are others than the CPU's; draw on the CPU and move them")
        found = func(*_changed(args, There, _here), **_changed(kwargs if sent is None else kwargs | {"device": "cpu"}, There, _here))
        if (
            (involved or there)
            and not self._float64
            and any(leaf.dtype == torch.float64 for leaf in tree_leaves(found) if torch.is_tensor(leaf))
        ):
            raise TypeError(f"{func}: this device has no float64")  # also on the way to the CPU: MPS converts before it copies
        if not there and not (involved and func is aten.copy_.default):
            return found
        moved = _changed(found, Tensor, There)
        return return_and_correct_aliasing(func, args, kwargs, moved) if involved and _shares_memory(func) else moved


def _check_together(func: Any, args: Sequence[Any], given: Sequence[Tensor]) -> None:
    """Raise where CUDA says "Expected all tensors to be on the same device"."""
    if func in _COPIES:
        return
    ours = [tensor for tensor in given if not isinstance(tensor, There)]
    if func in _INDEXED and isinstance(args[0], There):
        ours = [value for value in args[2:3] if not isinstance(value, There)]  # indices may come from the CPU
    if torch.Tag.pointwise in func.tags or func in _INDEXED:
        ours = [tensor for tensor in ours if tensor.ndim]
    if ours:
        found = ", ".join(f"{tuple(tensor.shape)} on {tensor.device}" for tensor in given)
        raise RuntimeError(f"{func}: expected all tensors to be on the same device, found {found}")


def _collect(parts: Any, into: list[Tensor]) -> None:
    """All tensors among an operation's arguments. It and `_changed` do for these what torch's trees do, in a tenth of their time."""
    for part in parts:
        if isinstance(part, Tensor):
            into.append(part)
        elif isinstance(part, tuple | list):
            _collect(part, into)


def _changed(part: Any, kind: type, change: Callable[[Any], Any]) -> Any:
    """Arguments or results, with a change made to whatever is of this kind."""
    if isinstance(part, kind):
        return change(part)
    if type(part) in (tuple, list):
        return type(part)([_changed(one, kind, change) for one in part])
    if type(part) is dict:
        return {name: _changed(one, kind, change) for name, one in part.items()}
    return tree_map_only(kind, change, part) if isinstance(part, tuple) else part


def _here(tensor: There) -> Tensor:
    return tensor.here


@cache
def _shares_memory(func: Any) -> bool:
    """Whether what the operation gives may be what it was given, or a view of it."""
    schema = func._schema
    return any(one.alias_info is not None for one in (*schema.arguments, *schema.returns))


@contextmanager
def pretend(*, float64: bool = True) -> Iterator[str]:
    """The accelerator's name, for `load_model(..., device=name)`; two of them are there."""
    with ExitStack() as stack:
        stack.enter_context(patch.object(_device, "KINDS", (*_device.KINDS, NAME)))
        stack.enter_context(patch.object(_device, "_how_many", lambda kind: 2))
        stack.enter_context(patch.object(_device, "WITHOUT_FLOAT64", set() if float64 else {NAME}))
        torch._C._set_only_lift_cpu_tensors(True)  # torch.tensor(..., device=NAME) moves what it made on the CPU
        stack.callback(torch._C._set_only_lift_cpu_tensors, False)
        torch.__future__.set_swap_module_params_on_conversion(True)  # module.to(NAME) keeps its parameters' identity, as with CUDA
        stack.callback(torch.__future__.set_swap_module_params_on_conversion, False)
        stack.enter_context(_Accelerator(float64=float64))
        yield NAME
