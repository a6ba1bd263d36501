"""What every computation of a process shares: torch's modes and settings, hooks on all modules, and the functions that it calls."""

import sys
from collections.abc import Callable, Iterable, Mapping
from functools import lru_cache
from operator import is_
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

import numpy as np
import torch

from mechcheck.base.data_state import Changed, refill, same_items
from mechcheck.base.device import KINDS

_left_on: list[torch.inference_mode] = []
"""Inference mode lasts as long as the object that switched it, so one that was put back is kept."""


class _Setting(NamedTuple):
    """Something that is read and written by functions of torch's own."""

    name: str
    read: Callable[[], Any]
    write: Callable[[Any], Any]
    instead: str
    """What does the same for a while."""


def _switch_inference_mode(on: bool) -> None:
    _left_on.append(torch.inference_mode(on))
    _left_on[-1].__enter__()


def _autocast() -> tuple[tuple[bool, torch.dtype], ...]:
    return tuple((torch.is_autocast_enabled(kind), torch.get_autocast_dtype(kind)) for kind in KINDS)


def _set_autocast(states: Iterable[tuple[bool, torch.dtype]]) -> None:
    for kind, (on, dtype) in zip(KINDS, states, strict=True):
        torch.set_autocast_enabled(kind, on)
        torch.set_autocast_dtype(kind, dtype)


def _device() -> torch.device | None:
    """The default device; None where torch 2.6 finds none, as after `torch.set_default_device(None)`."""
    try:
        return torch.get_default_device()
    except AttributeError:
        return None


def _set_device(device: torch.device | None) -> None:
    """Without a name where it is the CPU: a device by name is asked for whenever a tensor is made."""
    torch.set_default_device(None if device is None or device.type == "cpu" else device)
    if _device() is None:
        torch.set_default_device("cpu")


def _deterministic() -> tuple[bool, bool]:
    return torch.are_deterministic_algorithms_enabled(), torch.is_deterministic_algorithms_warn_only_enabled()


def _matmul() -> tuple[Any, ...]:
    of = torch.backends.cuda.matmul
    return torch.get_float32_matmul_precision(), of.allow_fp16_reduced_precision_reduction, of.allow_bf16_reduced_precision_reduction


def _set_matmul(states: tuple[Any, ...]) -> None:
    of = torch.backends.cuda.matmul
    torch.set_float32_matmul_precision(states[0])
    of.allow_fp16_reduced_precision_reduction, of.allow_bf16_reduced_precision_reduction = states[1:]


def _cudnn() -> tuple[bool, ...]:
    of = torch.backends.cudnn
    return of.enabled, of.benchmark, of.deterministic


def _set_cudnn(states: tuple[bool, ...]) -> None:
    of = torch.backends.cudnn
    of.enabled, of.benchmark, of.deterministic = states


def _attention() -> tuple[bool, ...]:
    of = torch.backends.cuda
    return of.flash_sdp_enabled(), of.mem_efficient_sdp_enabled(), of.math_sdp_enabled()


def _set_attention(states: tuple[bool, ...]) -> None:
    of = torch.backends.cuda
    for write, state in zip((of.enable_flash_sdp, of.enable_mem_efficient_sdp, of.enable_math_sdp), states, strict=True):
        write(state)


_SETTINGS = (
    # Inference mode comes first: switching it switches gradients too.
    _Setting("torch's inference mode", torch.is_inference_mode_enabled, _switch_inference_mode, "with torch.inference_mode():"),
    _Setting("torch's gradients", torch.is_grad_enabled, torch.set_grad_enabled, "with torch.no_grad():"),
    _Setting("torch's autocast", _autocast, _set_autocast, "with torch.autocast(...):"),
    _Setting("torch's default dtype", torch.get_default_dtype, torch.set_default_dtype, "dtype="),
    _Setting("torch's default device", _device, _set_device, "with torch.device(...):"),
    _Setting("torch's number of threads", torch.get_num_threads, torch.set_num_threads, "--mech-threads"),
    _Setting(
        "torch's deterministic algorithms", _deterministic, lambda was: torch.use_deterministic_algorithms(was[0], warn_only=was[1]),
        "",
    ),
    _Setting("torch's precision of matrix products", _matmul, _set_matmul, "--mech-dtype"),
    _Setting("torch's settings of cuDNN", _cudnn, _set_cudnn, "with torch.backends.cudnn.flags(...):"),
    _Setting("torch's kernels of attention", _attention, _set_attention, "with torch.nn.attention.sdpa_kernel(...):"),
    _Setting("torch's anomaly mode", torch.is_anomaly_enabled, torch.autograd.set_detect_anomaly, "torch.autograd.detect_anomaly()"),
    _Setting("numpy's floating-point errors", np.geterr, lambda was: np.seterr(**was), "with np.errstate(...):"),
)  # fmt: skip


class TorchState:
    """The state that a process's computations share."""

    def __init__(self, classes: Iterable[type] = ()):
        """Take it.

        Args:
            classes: of the parts of models; they, their bases and the modules that they are defined in are watched beside torch, numpy
                and mechcheck.
        """
        self._settings = [setting.read() for setting in _SETTINGS]
        self._hooks = {name: found.copy() for name, found in _module_hooks().items()}
        self._spaces = {space: vars(space).copy() for space in _spaces(frozenset(classes), len(sys.modules))}

    def changed(self) -> list[Changed]:
        """What is not as it was."""
        found = [
            Changed(f"{setting.name}{_said(was, now)}", setting.instead)
            for setting, was in zip(_SETTINGS, self._settings, strict=True)
            if (now := setting.read()) != was
        ]
        found += [
            Changed(f"torch's hooks on every module ({name.removeprefix('_global_')})", "hooks on the model's own modules, taken off again")
            for name, now in _module_hooks().items()
            if not same_items(now, self._hooks[name])
        ]
        for space, kept in self._spaces.items():
            found += [Changed(f"{_name(space)}.{name} (replaced)", "a function of your own", True) for name in _replaced(space, kept)]
        return found

    def restore(self) -> None:
        """Put back what was changed."""
        for setting, was in zip(_SETTINGS, self._settings, strict=True):
            if setting.read() != was:
                setting.write(was)
        for name, now in _module_hooks().items():
            if not same_items(now, self._hooks[name]):
                refill(now, self._hooks[name])
        for space, kept in self._spaces.items():
            for name in _replaced(space, kept):
                if name in kept:
                    setattr(space, name, kept[name])
                else:
                    delattr(space, name)


_MODULE_HOOKS = tuple(name for name in vars(torch.nn.modules.module) if name.startswith("_global_"))


def _module_hooks() -> dict[str, dict[Any, Any]]:
    """The hooks that torch runs on every module; there is no public way to ask for them."""
    return {name: found for name in _MODULE_HOOKS if isinstance(found := getattr(torch.nn.modules.module, name, None), dict)}


_FUNCTIONS = ("torch", "torch.nn.functional", "torch.linalg", "torch.special", "torch.fft", "numpy", "numpy.linalg", "math")


@lru_cache(maxsize=8)
def _spaces(classes: frozenset[type], modules: int) -> tuple[ModuleType | type, ...]:
    """Modules and classes whose functions a measurement calls, when this many modules are loaded."""
    every = dict.fromkeys(base for one in (torch.Tensor, torch.nn.Module, *classes) for base in one.__mro__ if base.__flags__ & _HEAP)
    names = dict.fromkeys([*_FUNCTIONS, *(one.__module__ for one in every), *(name for name in sys.modules if _ours(name))])
    return (*(sys.modules[name] for name in names if name in sys.modules), *every)


_HEAP = 1 << 9
"""Py_TPFLAGS_HEAPTYPE: of a class that is written in Python, whose attributes can be replaced."""


def _ours(name: str) -> bool:
    return name.startswith("mechcheck.") and not name.startswith("mechcheck.plugin")


def _replaced(space: ModuleType | type, kept: Mapping[str, Any]) -> list[str]:
    """Names that stand for something else than before; new ones only in a class, where they can hide what it inherits."""
    now = vars(space)
    if len(now) == len(kept) and all(map(is_, now.values(), kept.values())):
        return []
    nothing = object()
    found = [
        name for name, was in kept.items()
        if (new := now.get(name, nothing)) is not was and _matters(space, was) and not _wrapped_by_torch(new, was)
    ]  # fmt: skip
    if isinstance(space, type):
        found += [name for name in now if name not in kept and any(name in vars(base) for base in space.__mro__[1:])]
    return found


def _wrapped_by_torch(new: object, was: object) -> bool:
    """As torch's compiler wraps torch.manual_seed once it is imported, whoever has it imported."""
    code = getattr(new, "__code__", None)
    return code is not None and getattr(new, "__wrapped__", None) is was and code.co_filename.startswith(_TORCH)


_TORCH = str(Path(torch.__file__).parent)


def _matters(space: ModuleType | type, was: Any) -> bool:
    """Whether it is of consequence: libraries keep notes in variables of their modules, and bring in modules when they are first used."""
    is_function = callable(was) and not isinstance(was, type)  # torch.Storage follows the default dtype
    return is_function or isinstance(space, type) or (_ours(space.__name__) and not isinstance(was, ModuleType))


def _name(space: ModuleType | type) -> str:
    if isinstance(space, ModuleType):
        return space.__name__
    return "torch.Tensor" if space is torch.Tensor else f"{space.__module__}.{space.__qualname__}"


def _said(was: Any, now: Any) -> str:
    """ " (on, now off)"; nothing where the state is more than a word."""
    if isinstance(was, bool):
        return f" ({'on' if was else 'off'}, now {'on' if now else 'off'})"
    return "" if isinstance(was, tuple | dict) else f" ({was}, now {now})".replace("torch.", "")
