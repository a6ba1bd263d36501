"""Which of a sweep's batches a process computes, where several share them.

All of them go through the sweep in the same order and by the same sizes, whatever memory each has, so a batch is known by its number.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Mapping
from typing import Any, TypeVar

from torch import Tensor

_Size = TypeVar("_Size")


class Share(ABC):
    """One process' part."""

    def __init__(self, sizes: list[Any]) -> None:
        self.sizes = sizes
        """What was measured of memory, in the order in which it was asked."""
        self._next = 0
        self.batches = 0
        """Those that have been met."""

    def agreed(self, own: Any) -> Any:
        """What the process that shares out would take, in place of what this one would."""
        self._next += 1
        return self.sizes[self._next - 1]

    def met(self, compute: Callable[[], Tensor]) -> Tensor | None:
        """A batch's streams, if this process has use for them."""
        self.batches += 1
        return self._of(self.batches - 1, compute)

    @abstractmethod
    def _of(self, number: int, compute: Callable[[], Tensor]) -> Tensor | None: ...


class Counting(Share):
    """Only counts them, and says by which sizes."""

    def __init__(self) -> None:
        super().__init__([])

    def agreed(self, own: Any) -> Any:
        self.sizes.append(own)
        return own

    def _of(self, number: int, compute: Callable[[], Tensor]) -> Tensor | None:
        return None


class Some(Share):
    """Computes some."""

    def __init__(self, sizes: list[Any], wanted: Collection[int]) -> None:
        super().__init__(sizes)
        self._wanted = wanted
        self.streams: dict[int, Tensor] = {}

    def _of(self, number: int, compute: Callable[[], Tensor]) -> Tensor | None:
        if number in self._wanted:
            self.streams[number] = compute().cpu()
        return None


class Given(Share):
    """Has them all from others."""

    def __init__(self, sizes: list[Any], streams: Mapping[int, Tensor], device: Any) -> None:
        super().__init__(sizes)
        self._streams, self._device = streams, device

    def _of(self, number: int, compute: Callable[[], Tensor]) -> Tensor | None:
        return self._streams[number].to(self._device)


def agreed(share: Share | None, own: _Size) -> _Size:
    """What this process would take, or what all that share have agreed on."""
    found: _Size = own if share is None else share.agreed(own)
    return found


def computed(share: Share | None, compute: Callable[[], Tensor]) -> Tensor | None:
    """A batch's streams; None where this process has no use for them."""
    return compute() if share is None else share.met(compute)
