"""Who may ask: only the page that this server sent, to somebody who has the link.

A page of another site can make a browser send requests to 127.0.0.1, and by a name of its own that it lets resolve to 127.0.0.1 it can
read the answers (DNS rebinding). Against that stand the Host header, the Origin header, and a token that is in the link alone.
"""

import hmac
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any
from urllib.parse import parse_qs

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
Application = Callable[[Scope, Receive, Send], Awaitable[None]]

HEADERS = (
    (b"cache-control", b"no-store"),
    (b"content-security-policy", b"frame-ancestors 'none'"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"referrer-policy", b"no-referrer"),
    (b"x-content-type-options", b"nosniff"),
)
"""Of every answer: it is kept nowhere, shown in no frame, and its address, in which the token is, is told to nobody."""


class Guard:
    """Passes on what comes from the page itself, and refuses everything else in one line."""

    def __init__(self, inner: Application, token: str, port: int):
        self._inner, self._token = inner, token.encode()
        self._host = f"127.0.0.1:{port}".encode()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, or have it answered."""
        if scope["type"] != "http":
            return
        refused = self._refused(scope)

        async def sealed(message: MutableMapping[str, Any]) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message.get("headers", ()), *HEADERS]
            await send(message)

        if refused is None:
            await self._inner(scope, receive, sealed)
            return
        plain = [(b"content-type", b"text/plain; charset=utf-8")]
        await sealed({"type": "http.response.start", "status": 403, "headers": plain})
        await sealed({"type": "http.response.body", "body": refused.encode()})

    def _refused(self, scope: Scope) -> str | None:
        """Why a request is refused; None where it is not."""
        given: dict[bytes, list[bytes]] = {}
        for name, value in scope["headers"]:
            given.setdefault(name, []).append(value)
        if given.get(b"host") != [self._host]:
            return "asked for under another name than the link's\n"
        origins = given.get(b"origin", [])
        if origins != [b"http://" + self._host] and (origins or scope["method"] not in ("GET", "HEAD")):
            return "asked for by another page than the explorer's\n"
        if not hmac.compare_digest(self._shown(scope, given), self._token):
            return "the token is missing or wrong: open the link that mechcheck explore printed\n"
        return None

    @staticmethod
    def _shown(scope: Scope, given: dict[bytes, list[bytes]]) -> bytes:
        """The token that came along: in the page's address, or, where the page asks, in a header, which no other site can set."""
        if scope["method"] == "GET":
            (found, *more) = parse_qs(scope["query_string"].decode("latin-1")).get("token", [""])
            return b"" if more else found.encode()
        (header, *more) = given.get(b"authorization", [b""])
        return b"" if more or not header.startswith(b"Bearer ") else header.removeprefix(b"Bearer ")
