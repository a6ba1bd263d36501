"""The attention viewer's data, and what of it is readable without a script: the strongest links of each head."""

import base64
import re
from typing import Any, NamedTuple

from mechcheck.drawing.numbers import fixed
from mechcheck.drawing.text import numbered

Json = dict[str, Any]

_HEADS = 24
_LINKS = 3
_NUMBER = re.compile(r"_\d+$")


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
    """What the script draws from, for each prompt: its name and what is said of it, labels, patterns, weighted."""
    first: str
    """Which prompt the links are of; empty where there is one."""
    links: list[Link]
    left_out: int
    """Heads whose links are not listed."""


def view(figure: Json) -> View:
    """The viewer's data with repeated tokens numbered, and the strongest links of the first heads on the first prompt."""
    data = figure["data"]
    drawn = [_drawn(one) for one in (data, *data.get("others", ()))]
    links = [link for packed in data["patterns"][:_HEADS] for link in _strongest(packed, drawn[0]["labels"])]
    return View(figure["title"], drawn, drawn[0]["said"] if len(drawn) > 1 else "", links, max(0, len(data["patterns"]) - _HEADS))


def _drawn(data: Json) -> Json:
    """A prompt's part of the viewer's data; as a sentence it has no numbers behind its tokens."""
    labels = numbered(data["tokens"])
    name = data.get("name", "")
    said = f"{name}: {' '.join(_NUMBER.sub('', label) for label in labels)}"
    return {"name": name, "said": said, "labels": labels, "patterns": data["patterns"], "weighted": data["weighted"]}


def _strongest(packed: Json, labels: list[str]) -> list[Link]:
    """The greatest weights of a head; those on the first token, where heads rest, only if there are no others."""
    n = len(labels)
    steps = base64.b64decode(packed["values"])
    order = sorted(range(min(len(steps), n * n)), key=lambda i: (i % n == 0, -steps[i]))
    scale = (packed["high"] - packed["low"]) / 255
    return [Link(packed["head"], labels[i // n], labels[i % n], fixed(packed["low"] + scale * steps[i], 2)) for i in order[:_LINKS]]
