"""Signals that end a run: they end it as Ctrl-C does, so that what was decided is kept, and none cuts the keeping short."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

_ENDING = [found for name in ("SIGTERM", "SIGHUP") if (found := getattr(signal, name, None)) is not None]


class Signals:
    """What arrives between `install` and `restore`, in the process that owns the run."""

    def __init__(self) -> None:
        self.caught: signal.Signals | None = None
        """The first that arrived of those that end a run; Ctrl-C only where it was deferred."""
        self._deferring = False
        self._before: dict[signal.Signals, Any] = {}

    def install(self) -> None:
        """From here on, a cancelled job (SIGTERM) or a closed terminal (SIGHUP) interrupts the run; who handles them otherwise goes on."""
        self._take(*(one for one in _ENDING if signal.getsignal(one) is signal.SIG_DFL))

    @contextmanager
    def deferred(self) -> Iterator[None]:
        """While evidence is written, which takes a moment, nothing interrupts."""
        self._take(signal.SIGINT, *(one for one in _ENDING if signal.getsignal(one) is signal.SIG_DFL))
        self._deferring = True
        try:
            yield
        finally:
            self._deferring = False

    def restore(self) -> None:
        """Have signals handled as they were before."""
        for one, handler in self._before.items():
            signal.signal(one, handler)
        self._before.clear()

    def _take(self, *wanted: signal.Signals) -> None:
        if threading.current_thread() is threading.main_thread():  # nobody else can
            for one in wanted:
                before = signal.signal(one, self._on)
                self._before.setdefault(one, before)

    def _on(self, number: int, _frame: FrameType | None) -> None:
        self.caught = self.caught or signal.Signals(number)
        if not self._deferring:
            raise KeyboardInterrupt(signal.Signals(number).name)
