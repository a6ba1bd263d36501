"""Who wants to know of the shared objects that are handed out while something runs: whoever has to see that they are left as they are."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

Shared = TypeVar("Shared")

GROWS = {"grows": True}
"""Metadata of a dataclass's field that is there to be written to: what stands in it is nobody's state."""

_takers: list[Callable[[object], None]] = []


@contextmanager
def handed_to(taker: Callable[[object], None]) -> Iterator[None]:
    """Within this context `taker` is told of each shared object, before whoever asked for it gets it."""
    _takers.append(taker)
    try:
        yield
    finally:
        _takers.remove(taker)


def hand_out(shared: Shared) -> Shared:
    """The object itself, a model or prompts that others get as well."""
    for taker in _takers:
        taker(shared)
    return shared
