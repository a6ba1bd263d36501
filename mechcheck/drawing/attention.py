"""The attention viewer's data, and what of it is readable without a script: the strongest links of each head."""

import base64
from typing import Any, NamedTuple

from mechcheck.drawing.numbers import fixed
from mechcheck.drawing.text import numbered

Json = dict[str, Any]

_HEADS = 24
_LINKS = 3


class Link(NamedTuple):
    """A strong attention: of a head, from a token, to a token."""

    head: str
    source: str
    target: str
    value: str


class View(NamedTuple):
    """An attention view ready for the template."""

    title: str
    data: list[Json]
    """What the script draws from, for each prompt: name, labels, patterns, weighted."""
    first: str
    """Which prompt the links are of; empty where there is one."""
    links: list[Link]
    left_out: int
    """Heads whose links are not listed."""


def view(figure: Json) -> View:
    """The viewer's data with repeated tokens numbered, and the strongest links of the first heads on the first prompt."""
    data = figure["data"]
    drawn = [
        {"name": one.get("name", ""), "labels": numbered(one["tokens"]), "patterns": one["patterns"], "weighted": one["weighted"]}
        for one in (data, *data.get("others", ()))
    ]
    links = [link for packed in data["patterns"][:_HEADS] for link in _strongest(packed, drawn[0]["labels"])]
    first = f"{drawn[0]['name']}: {' '.join(drawn[0]['labels'])}" if len(drawn) > 1 else ""
    return View(figure["title"], drawn, first, links, max(0, len(data["patterns"]) - _HEADS))


def _strongest(packed: Json, labels: list[str]) -> list[Link]:
    """The greatest weights of a head; those on the first token, where heads rest, only if there are no others."""
    n = len(labels)
    steps = base64.b64decode(packed["values"])
    order = sorted(range(min(len(steps), n * n)), key=lambda i: (i % n == 0, -steps[i]))
    scale = (packed["high"] - packed["low"]) / 255
    return [Link(packed["head"], labels[i // n], labels[i % n], fixed(packed["low"] + scale * steps[i], 2)) for i in order[:_LINKS]]
