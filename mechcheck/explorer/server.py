"""The server: the page, and what it asks, on 127.0.0.1 alone."""

import secrets
import socket
from functools import cache
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
from mechcheck.explorer.bodies import KINDS, LIMIT, SCHEMAS, Json, Problem, read_body
from mechcheck.explorer.guard import Guard
from mechcheck.explorer.workbench import Workbench

if TYPE_CHECKING:
    from transformer_lens.model_bridge import TransformerBridge

_HERE = Path(__file__).parent
_SCRIPTS = ("state.js", "ask.js", "prompt.js", "heads.js", "prediction.js", "explorer.js")


_KINDS = [(kind, "leave as it is" if kind == "none" else kind) for kind in KINDS]


@cache
def _script() -> str:
    return script(*(_HERE / name for name in _SCRIPTS))


def page(about: Json) -> str:
    """The page, before anything is asked."""
    running = _script()
    allowed = f"{policy(running)}; connect-src 'self'"
    looks = Markup(style(_HERE / "explorer.css"))
    template = environment(_HERE).get_template("explorer.html.j2")
    return visible(template.render(about=about, kinds=_KINDS, policy=allowed, style=looks, script=Markup(running)))


def application(workbench: Workbench, token: str, port: int) -> Guard:
    """What answers requests: one at a time goes to the model, in a thread, so that the page and refusals are never waited for."""
    one_at_a_time = anyio.Lock()

    async def first(request: Request) -> Response:
        return HTMLResponse(page(workbench.about))

    async def answer(request: Request) -> Response:
        asked = request.path_params["asked"]
        if asked not in SCHEMAS:
            return _told(404, Problem("page", "nothing of that name can be asked"))
        raw = b""
        async for part in request.stream():
            raw += part
            if len(raw) > LIMIT:
                return _told(413, Problem("page", f"more than {LIMIT} bytes were sent"))
        try:
            body = read_body(asked, raw)
            async with one_at_a_time:
                if await request.is_disconnected():  # the page asks something else by now
                    return Response(status_code=499)
                return JSONResponse(await anyio.to_thread.run_sync(getattr(workbench, asked), body))
        except Problem as problem:
            return _told(422, problem)
        except (MechcheckError, HookError, NonFiniteError) as error:
            return _told(422, Problem("page", error))

    routes = [Route("/", first, methods=["GET"]), Route("/api/{asked}", answer, methods=["POST"])]
    return Guard(Starlette(routes=routes), token, port)


def _told(status: int, problem: Problem) -> Response:
    return JSONResponse({"problems": [problem.told]}, status)


class Server:
    """A server that listens already: `link` can be opened as soon as `run` is called."""

    def __init__(self, model: "TransformerBridge"):
        self.workbench = Workbench(model)
        # asyncio sends at once on what says that it is TCP; otherwise the end of each answer waits 40 ms for an acknowledgement.
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
        self._socket.bind(("127.0.0.1", 0))
        self._socket.listen()
        port, token = self._socket.getsockname()[1], secrets.token_urlsafe(24)
        self.link = f"http://127.0.0.1:{port}/?token={token}"
        inner = application(self.workbench, token, port)
        # No log of what was asked, which would keep the token.
        config = uvicorn.Config(inner, lifespan="off", ws="none", http="h11", loop="asyncio", log_level="warning", access_log=False)
        self._uvicorn = uvicorn.Server(config)

    def run(self) -> None:
        """Answer until somebody stops it."""
        self._uvicorn.run(sockets=[self._socket])

    def stop(self) -> None:
        """Let `run`, in another thread, come to its end."""
        self._uvicorn.should_exit = True
