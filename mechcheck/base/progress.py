"""A bar for sweeps that take a while, and somebody else who is told how far they are."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from tqdm.auto import tqdm

Listener = Callable[[int, int, str], None]
"""Is told what is done, of how much, and what it is a part of. What it raises ends the sweep."""

# Seconds after which a bar appears.
_PATIENCE = 2.0
_quiet = False


def be_quiet(quiet: bool) -> None:
    """Show no bars from now on (or show them again)."""
    global _quiet
    _quiet = quiet


_listener: ContextVar[Listener | None] = ContextVar("listener", default=None)


class Bar:
    """Is advanced by `update`."""

    def __init__(self, shown: "tqdm", total: int, what: str):
        self._shown, self._total, self._what, self._done = shown, total, what, 0

    def update(self, by: int = 1) -> None:
        """So much more is done."""
        self._shown.update(by)
        self._done += by
        if (listener := _listener.get()) is not None:
            listener(self._done, self._total, self._what)


@contextmanager
def progress(total: int, what: str) -> Iterator[Bar]:
    """A bar to be advanced by `update`; nothing is shown where the error stream is no terminal."""
    with tqdm(total=total, desc=what, unit="variant", delay=_PATIENCE, disable=True if _quiet else None, leave=False) as bar:
        yield Bar(bar, total, what)


@contextmanager
def heard_by(listener: Listener) -> Iterator[None]:
    """Within this context, in this thread, the listener is told whenever a bar advances."""
    before = _listener.set(listener)
    try:
        yield
    finally:
        _listener.reset(before)


def heard() -> bool:
    """Whether somebody is told here, for whom a sweep had better advance in small steps."""
    return _listener.get() is not None
