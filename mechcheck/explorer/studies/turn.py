"""What a study says while it runs, and when it lets others have the model."""

import time
from collections.abc import Awaitable, Callable
from typing import Any, Protocol

import anyio
import anyio.from_thread

from mechcheck.explorer.bodies import Json

GIVEN = 0.03
"""Seconds that a study has the model for, before others are asked whether they want it."""
_TOLD = 0.1  # between two messages of how far it is


class GivenUp(Exception):
    """Nobody waits any more."""


class Lock(Protocol):
    """Who has the model."""

    def release(self) -> None:
        """Let the next one have it."""

    def acquire(self) -> Awaitable[Any]:
        """Wait until it is one's turn."""


class Turn:
    """A study's, which runs in a thread and has the model."""

    def __init__(self, model: Lock, tell: Callable[[tuple[str, Json]], None]):
        """With who has the model, and where events go, in the loop of the server."""
        self._model, self._tell = model, tell
        self.given_up = False
        self._since = self._told = time.monotonic()
        self._part: tuple[int, int, str] | None = None

    def tell(self, event: str, data: Json) -> None:
        """Send an event to the page."""
        self.pause()
        anyio.from_thread.run_sync(self._tell, (event, data))

    def part(self, number: int, of: int, what: str) -> None:
        """The study comes to one of its parts, which sweeps advance from now on."""
        self._part = number, of, what
        self.tell("progress", {"done": number, "total": of, "what": what})

    def advanced(self, done: float, total: int, what: str) -> None:
        """Hears of the library's progress: a good moment to let others have the model."""
        now = time.monotonic()
        if now - self._told >= _TOLD:
            self._told = now
            if self._part is not None:
                first, of, part = self._part
                done, total, what = first + done / max(total, 1), of, part
            self.tell("progress", {"done": done, "total": total, "what": what})
        elif now - self._since >= GIVEN:
            self.pause()

    def pause(self) -> None:
        """Let whoever waits have the model, and come back.

        Raises:
            GivenUp: nobody waits for the study any more.
        """
        if not self.given_up:
            anyio.from_thread.run(self._others)
            self._since = time.monotonic()
        if self.given_up:
            raise GivenUp

    async def _others(self) -> None:
        self._model.release()
        with anyio.CancelScope(shield=True):  # it is given back by whoever gave it to the study, so the study has it until then
            await self._model.acquire()
