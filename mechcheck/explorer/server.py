"""The server: the page, and what it asks, on 127.0.0.1 alone."""

import json
import secrets
import socket
from collections.abc import Callable
from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING

import anyio
import uvicorn
from markupsafe import Markup
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.routing import Route

from mechcheck.base.errors import HookError, MechcheckError, NonFiniteError
from mechcheck.drawing.page import environment, policy, script, style
from mechcheck.drawing.text import visible
from mechcheck.explorer.bodies import HEAD_LIKE, KINDS, LIMIT, LIMITS, MOST, SCHEMAS, SITES, Json, Problem, read_body
from mechcheck.explorer.guard import Guard
from mechcheck.explorer.measures import MEASURES
from mechcheck.explorer.proving import Prover
from mechcheck.explorer.saving import Exists, save_all
from mechcheck.explorer.sessions import opened
from mechcheck.explorer.studies.streaming import Studies
from mechcheck.explorer.studies.work import STUDIES
from mechcheck.explorer.workbench import Workbench

if TYPE_CHECKING:
    from transformer_lens.model_bridge import TransformerBridge

_HERE = Path(__file__).parent
_SCRIPTS = (
    "../report/wide.js", "state.js", "ask.js", "prompt.js", "heads.js", "acts.js", "prediction.js", "claim.js", "sharing.js",
    "studies/stream.js", "studies/studies.js", "explorer.js",
)  # fmt: skip


@cache
def _script() -> str:
    return script(*(_HERE / name for name in _SCRIPTS))


def page(about: Json, folder: Path | None = None) -> str:
    """The page, before anything is asked; claims are saved into the folder, if there is one."""
    running = _script()
    allowed = f"{policy(running)}; connect-src 'self'"
    looks = Markup(style(_HERE / "explorer.css", _HERE / "studies" / "studies.css"))
    template = environment(_HERE).get_template("explorer.html.j2")
    shown = {"kinds": KINDS, "places": SITES, "head_like": HEAD_LIKE, "measures": MEASURES, "most": MOST}
    return visible(template.render(about=about, folder=folder, policy=allowed, style=looks, script=Markup(running), **shown))


class Desk:
    """Answers questions: one at a time goes to the model, in a thread, so that the page and refusals are never waited for."""

    def __init__(self, workbench: Workbench, prover: Prover, folder: Path | None, ending: Callable[[], bool]):
        """With a folder that claims are saved into, and whether the server comes to its end."""
        self._workbench, self._prover, self._folder, self._ending = workbench, prover, folder, ending
        self._model = anyio.Semaphore(1, max_value=1)  # which is passed on between tasks by studies, as a lock cannot be
        self._studies = Studies(self._model, ending)

    async def first(self, _: Request) -> Response:
        """The page."""
        return HTMLResponse(page(self._workbench.about, self._folder))

    async def answer(self, request: Request) -> Response:
        """What is asked."""
        asked = request.path_params["asked"]
        if asked not in SCHEMAS:
            return _told(404, Problem("page", "nothing of that name can be asked"))
        raw, limit = b"", LIMITS.get(asked, LIMIT)
        async for part in request.stream():
            raw += part
            if len(raw) > limit:
                where = "session" if asked == "session" else "page"
                return _told(413, Problem(where, f"that is too long: more than {limit:,} bytes were sent, and nothing was done with them"))
        try:
            body = read_body(asked, raw)
            if asked == "study":
                return self._studies.begin(partial(STUDIES[body["study"]], self._workbench, body), request)
            found = await self._found("claim" if asked in ("save", "prove") else asked, body, request)
            if found is not None and asked in ("save", "prove") and not found["problems"]:
                found = await (self._saved if asked == "save" else self._proved)(body, found, request)
            if found is None and self._ending():
                return _told(503, Problem("run", "the server came to its end, and what was run with it"))
            # Where there is nothing, the page asks something else by now.
            return Response(status_code=499) if found is None else Answer(found)
        except Problem as problem:
            return _told(422, problem)
        except (MechcheckError, HookError, NonFiniteError) as error:
            return _told(422, Problem("page", error))

    async def _found(self, asked: str, body: Json, request: Request) -> Json | None:
        async with self._model:
            if await request.is_disconnected():
                return None
            found: Json = await anyio.to_thread.run_sync(getattr(self._workbench, asked), body)
            return found

    async def _saved(self, body: Json, made: Json, _: Request) -> Json:
        if self._folder is None:
            raise Problem("file", "no folder was named to save to: start mechcheck explore with --save-to DIR")
        try:
            (path, *more) = save_all(self._folder, {body["file"]: made["source"], **made["beside"]}, body["replace"])
        except Exists as problem:
            return {"saved": "", "exists": True, "source": made["source"], "problems": [problem.told]}
        said = " and ".join([str(path), *(one.name for one in more)])
        return {"saved": visible(said), "exists": False, "source": made["source"], "problems": []}

    async def _proved(self, body: Json, made: Json, request: Request) -> Json | None:
        async def given_up() -> bool:
            return self._ending() or await request.is_disconnected()

        found = await self._prover.prove(body["file"], made["source"], given_up, made["beside"])
        if found is None:
            return None
        self._workbench.measured[made["fresh"]] = made["source"]
        return {name: visible(x) if isinstance(x, str) else x for name, x in found.items()} | {
            "source": made["source"], "here": made["here"], "problems": [],
        }  # fmt: skip


class Answer(JSONResponse):
    """JSON in ASCII, since texts that somebody sent may hold what UTF-8 has not."""

    def render(self, content: Json) -> bytes:
        """As bytes."""
        return json.dumps(content, allow_nan=False, separators=(",", ":")).encode("ascii")


def application(desk: Desk, token: str, port: int) -> Guard:
    """What answers requests."""
    routes = [Route("/", desk.first, methods=["GET"]), Route("/api/{asked}", desk.answer, methods=["POST"])]
    return Guard(Starlette(routes=routes), token, port)


def _told(status: int, problem: Problem) -> Response:
    return Answer({"problems": [problem.told]}, status)


class Server:
    """A server that listens already: `link` can be opened as soon as `run` is called."""

    def __init__(
        self, model: "TransformerBridge", *, place: str | None = None, device: str = "cpu", folder: Path | None = None, session: str = ""
    ):
        """For a model, that a run of pytest finds at a place (its name) for a device; claims are saved into a folder.

        Raises:
            Problem: a session's text that is none, or of another model.
        """
        self.workbench = Workbench(model)
        self.workbench.begins = opened(session, model) if session else None
        # asyncio sends at once on what says that it is TCP; otherwise the end of each answer waits 40 ms for an acknowledgement.
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
        self._socket.bind(("127.0.0.1", 0))
        self._socket.listen()
        port, token = self._socket.getsockname()[1], secrets.token_urlsafe(24)
        self.link = f"http://127.0.0.1:{port}/?token={token}"
        desk = Desk(self.workbench, Prover(place or self.workbench.name, device), folder, lambda: self._uvicorn.should_exit)
        inner = application(desk, token, port)
        # No log of what was asked, which would keep the token.
        config = uvicorn.Config(inner, lifespan="off", ws="none", http="h11", loop="asyncio", log_level="warning", access_log=False)
        self._uvicorn = uvicorn.Server(config)

    def run(self) -> None:
        """Answer until somebody stops it."""
        self._uvicorn.run(sockets=[self._socket])

    def stop(self) -> None:
        """Let `run`, in another thread, come to its end."""
        self._uvicorn.should_exit = True
