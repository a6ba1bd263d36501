"""Asks for studies as the page does, and listens to them without a server."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPConnection, HTTPResponse
from typing import Any

from asking import Asker

from mechcheck.explorer.studies.turn import Turn
from mechcheck.explorer.studies.work import STUDIES
from mechcheck.explorer.workbench import Workbench

SETTINGS = {
    "target": "", "size": 4, "method": "eap-ig-inputs", "prompts": 24, "faithful": 0.9, "along": "unembedding", "layer": 1,
    "place": "END", "reach": 4,
}  # fmt: skip


class Listening(Turn):
    """Keeps what a study says."""

    def __init__(self) -> None:
        self.events: list[tuple[str, Any]] = []

    def tell(self, event: str, data: Any) -> None:
        self.events.append((event, data))

    def part(self, number: int, of: int, what: str) -> None:
        self.tell("progress", {"done": number, "total": of, "what": what})


def studied(bench: Workbench, body: dict[str, Any], name: str, **settings: Any) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """(the steps of its trace, what it ends with)."""
    turn = Listening()
    found = STUDIES[name](bench, {"task": "ioi"} | body | SETTINGS | {"study": name} | settings, turn)
    return [data for event, data in turn.events if event == "trace"], found


@contextmanager
def begun(asker: Asker, body: dict[str, Any], name: str, **settings: Any) -> Iterator[HTTPResponse]:
    """The answer of a study that is asked for; leaving the context leaves the study alone."""
    connection = HTTPConnection("127.0.0.1", asker.port, timeout=30)
    asked = {"task": "ioi"} | body | SETTINGS | {"study": name} | settings
    connection.request("POST", "/api/study", json.dumps(asked), asker.own)
    answer = connection.getresponse()
    try:
        yield answer
    finally:
        answer.close()
        connection.close()


def events(answer: HTTPResponse) -> Iterator[tuple[str, Any]]:
    """(its name, what it says) of each event, as they come."""
    lines = []
    for line in answer:
        lines.append(line.decode())
        if line == b"\n":
            named, data, _ = lines
            assert named.startswith("event: ")
            assert data.startswith("data: ")
            yield named.removeprefix("event: ").strip(), json.loads(data.removeprefix("data: "))
            lines = []
