"""What is kept of each layer of a run: all of it as far as there is room, else what enters the layer, which makes the rest again."""

import sys
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

from jaxtyping import Float
from torch import Tensor


class Kept(NamedTuple):
    """What is kept of one layer."""

    resid_pre: Float[Tensor, "prompt pos d_model"]
    k: Float[Tensor, "prompt kv_head pos d_head"]
    """After rotary embedding."""
    v: Float[Tensor, "prompt kv_head pos d_head"]
    z: Float[Tensor, "prompt pos head*d_head"]
    attn_out: Float[Tensor, "prompt pos d_model"]
    mlp_out: Float[Tensor, "prompt pos d_model"] | None
    """None where there are no MLPs."""
    neuron_norm: Float[Tensor, "prompt pos"] | None
    """The length of the MLP's hidden activations as a vector."""

    @property
    def nbytes(self) -> int:
        """Of all of it."""
        return sum(tensor.nbytes for tensor in self if tensor is not None)


class Layers(Sequence[Kept]):
    """The layers of a run, in order.

    Later layers are kept before earlier ones: a variant goes through all that follow where it begins. What enters a layer is kept of each.

    Args:
        again: makes a layer from what enters it, to the bit as it was made first.
        room: bytes that layers which are kept whole may take together.
    """

    def __init__(self, again: Callable[[int, Tensor], Kept], room: int) -> None:
        self._again, self._room = again, room
        self._entering: list[Float[Tensor, "prompt pos d_model"]] = []
        self._whole: dict[int, Kept] = {}
        self._last: tuple[int, Kept] | None = None
        self.made_again = 0
        """How many layers were made again so far."""

    @classmethod
    def whole(cls, layers: Sequence[Kept]) -> "Layers":
        """All of them, whatever they take."""
        found = cls(_never, sys.maxsize)
        for one in layers:
            found.add(one)
        return found

    def add(self, kept: Kept) -> None:
        """The next one."""
        self._whole[len(self._entering)] = kept
        self._entering.append(kept.resid_pre)
        while self._whole and sum(one.nbytes for one in self._whole.values()) > self._room:
            del self._whole[min(self._whole)]

    def entering(self, number: int) -> Float[Tensor, "prompt pos d_model"]:
        """The stream that enters a layer."""
        return self._entering[number]

    @property
    def nbytes(self) -> int:
        """Of what is kept, but for the layer that was made again last."""
        return sum(one.nbytes for one in self._whole.values()) + sum(
            entering.nbytes for number, entering in enumerate(self._entering) if number not in self._whole
        )

    def __len__(self) -> int:
        return len(self._entering)

    def __getitem__(self, number: Any) -> Any:
        if isinstance(number, slice):
            return tuple(self[one] for one in range(len(self))[number])
        number = range(len(self))[number]
        if number in self._whole:
            return self._whole[number]
        if self._last is None or self._last[0] != number:
            self._last = None
            self._last = (number, self._again(number, self._entering[number]))
            self.made_again += 1
        return self._last[1]

    def __iter__(self) -> Iterator[Kept]:
        return (self[number] for number in range(len(self)))


def _never(number: int, entering: Tensor) -> Kept:
    raise AssertionError(f"layer {number} is kept whole")
