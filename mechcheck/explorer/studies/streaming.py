"""A study's answer: server-sent events, one after the other, for as long as somebody reads them."""

import json
import math
from collections.abc import Callable

import anyio
import anyio.to_thread
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from mechcheck.base.errors import HookError, MechcheckError, NonFiniteError
from mechcheck.base.progress import heard_by
from mechcheck.explorer.bodies import Json, Problem
from mechcheck.explorer.studies.turn import GivenUp, Lock, Turn

MOST = 4
"""Studies at a time, of all tabs together."""
_LOOK = 0.1  # seconds between two looks whether somebody still waits

Work = Callable[[Turn], Json]


class Studies:
    """Begins them, and knows which of them run."""

    def __init__(self, model: Lock, ending: Callable[[], bool]):
        """With who has the model, and whether the server comes to its end."""
        self.model, self.ending = model, ending
        self.running: set[Turn] = set()

    def begin(self, work: Work, request: Request) -> Response:
        """The answer to a request, in which the work is done.

        Raises:
            Problem: too many run.
        """
        if sum(not turn.given_up for turn in self.running) >= MOST:
            raise Problem("study", f"{MOST} studies run already, in this tab or others: stop one, or wait until one is done")
        return _Events(self, work, request)


class _Events(Response):
    """Work in a thread, which sends what it says."""

    media_type = "text/event-stream"

    def __init__(self, studies: Studies, work: Work, request: Request):
        super().__init__()
        del self.headers["content-length"]
        self._studies, self._work, self._request = studies, work, request
        self._into, self._events = anyio.create_memory_object_stream[tuple[str, Json]](math.inf)
        self._turn = Turn(studies.model, self._into.send_nowait)
        studies.running.add(self._turn)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send it."""
        try:
            await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
            async with anyio.create_task_group() as group:
                group.start_soon(self._watch)
                group.start_soon(self._run)
                try:
                    async for event, data in self._events:
                        await send({"type": "http.response.body", "body": _written(event, data), "more_body": True})
                finally:
                    self._turn.given_up = True
                    group.cancel_scope.cancel()
            await send({"type": "http.response.body", "body": b""})
        finally:
            self._turn.given_up = True
            self._events.close()
            self._studies.running.discard(self._turn)

    async def _watch(self) -> None:
        while not (self._studies.ending() or await self._request.is_disconnected()):
            await anyio.sleep(_LOOK)
        self._turn.given_up = True

    async def _run(self) -> None:
        async with self._into:
            await self._studies.model.acquire()
            try:
                found = None if self._turn.given_up else await anyio.to_thread.run_sync(self._done)
            finally:
                self._studies.model.release()
            if found is not None:
                self._into.send_nowait(("end", found))

    def _done(self) -> Json | None:
        """In a thread: what comes of it, or what does not fit; None where it was given up."""
        try:
            with heard_by(self._turn.advanced):
                return {"problems": [], **self._work(self._turn)}
        except GivenUp:
            return None
        except (MechcheckError, HookError, NonFiniteError) as error:
            return {"problems": [{"where": "study", "said": str(error)}]}


def _written(event: str, data: Json) -> bytes:
    """As the standard has it; JSON is one line, and has no word for what is not finite."""
    return f"event: {event}\ndata: {json.dumps(_finite(data), allow_nan=False)}\n\n".encode()


def _finite(value: object) -> object:
    if isinstance(value, dict):
        return {name: _finite(one) for name, one in value.items()}
    if isinstance(value, list):
        return [_finite(one) for one in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
