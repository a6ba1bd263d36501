"""Asks a server as the page does, or as somebody else would."""

import json
from http.client import HTTPConnection
from typing import Any, NamedTuple
from urllib.parse import parse_qs, urlsplit


class Answer(NamedTuple):
    """What came back."""

    status: int
    headers: dict[str, str]
    text: str

    @property
    def json(self) -> Any:
        """The body."""
        return json.loads(self.text)


class Asker:
    """Sends requests as the page does, or as somebody else would."""

    def __init__(self, link: str):
        self.link = link
        parts = urlsplit(link)
        self.port, self.token = parts.port, parse_qs(parts.query)["token"][0]
        self.own = {
            "Host": parts.netloc, "Origin": f"http://{parts.netloc}", "Authorization": f"Bearer {self.token}",
            "Content-Type": "application/json",
        }  # fmt: skip

    def send(self, method: str, path: str, headers: dict[str, str], body: bytes = b"") -> Answer:
        """Exactly these headers."""
        connection = HTTPConnection("127.0.0.1", self.port, timeout=20)
        connection.putrequest(method, path, skip_host=True)
        for name, value in {**headers, "Content-Length": str(len(body))}.items():
            connection.putheader(name, value)
        connection.endheaders(body)
        found = connection.getresponse()
        answer = Answer(found.status, {name.lower(): value for name, value in found.getheaders()}, found.read().decode())
        connection.close()
        return answer

    def ask(self, what: str, body: Any) -> Answer:
        """As the page asks."""
        return self.send("POST", f"/api/{what}", self.own, json.dumps(body).encode())
