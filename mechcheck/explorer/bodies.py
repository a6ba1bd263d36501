"""What the page asks: JSON of a known shape, or an error that says where on the page it belongs."""

import json
from typing import Any

from mechcheck.base.errors import MechcheckError
from mechcheck.base.json_schema import misfit

Json = dict[str, Any]

LIMIT = 1 << 16
"""Bytes of a body at most: far more than a prompt that fits into a model's context."""
KINDS = ("none", "zero", "mean", "resample", "patch", "scale")

_TEXT: Json = {"type": "string"}
_PROMPT: Json = {
    "text": _TEXT,
    "counterfactual": _TEXT,
    "references": {"type": "array", "items": _TEXT, "maxItems": 64},
    "answer": _TEXT,
    "foil": _TEXT,
    "positions": {"type": "object", "additionalProperties": {"type": "integer", "minimum": 0}},
}
_CHANGE: Json = {
    "do": {"enum": list(KINDS)},
    "heads": _TEXT,
    "at": {"type": "array", "items": _TEXT, "maxItems": 64},
    "factor": {"type": "number"},
}


_CLAIM: Json = {
    "task": _TEXT,
    "row": {"type": "integer", "minimum": 0},
    "statement": _TEXT,
    "expects": {"enum": ["below", "above", "rate"]},
    "threshold": _TEXT,
    "file": _TEXT,
}


_STUDY: Json = {
    "task": _TEXT,
    "study": {"enum": ["targeted", "generic", "patching", "discovery", "lens", "steering"]},
    "target": _TEXT,
    "size": {"type": "integer", "minimum": 1, "maximum": 16},
    "method": {"enum": ["eap-ig-inputs", "eap", "relp", "exact", "prune", "acdc", "edge-pruning", "information-flow"]},
    "prompts": {"type": "integer", "minimum": 2, "maximum": 240},
    "faithful": {"type": "number", "minimum": 0.01, "maximum": 0.99},
    "direction": {"enum": ["unembedding", "difference"]},
    "layer": {"type": "integer", "minimum": 0},
    "place": _TEXT,
    "reach": {"type": "number", "minimum": 0.01, "maximum": 1000},
}


def _table(properties: Json) -> Json:
    return {"type": "object", "properties": properties, "required": list(properties), "additionalProperties": False}


SCHEMAS: dict[str, Json] = {
    "predict": _table({**_PROMPT, **_CHANGE}),
    "attention": _table({**_PROMPT, **_CHANGE}),
    "effects": _table({**_PROMPT, **_CHANGE}),
    "claim": _table({**_PROMPT, **_CHANGE, **_CLAIM}),
    "save": _table({**_PROMPT, **_CHANGE, **_CLAIM, "replace": {"type": "boolean"}}),
    "prove": _table({**_PROMPT, **_CHANGE, **_CLAIM}),
    "study": _table({**_PROMPT, **_CHANGE, **_STUDY}),
    "complete": _table({"start": _TEXT}),
    "example": _table({"task": _TEXT, "row": {"type": "integer", "minimum": 0}}),
}
"""What is asked -> the shape of its body."""


class Problem(MechcheckError):
    """Something that was given does not fit, and where on the page that was."""

    def __init__(self, where: str, said: object):
        super().__init__(str(said))
        self.where = where

    @property
    def told(self) -> Json:
        """As the page is told of it."""
        return {"where": self.where, "said": str(self)}


def read_body(asked: str, raw: bytes) -> Json:
    """A body as what it was asked with.

    Raises:
        Problem: no JSON, or of another shape than `SCHEMAS[asked]`.
    """
    try:
        body = json.loads(raw)
    except (ValueError, RecursionError):
        raise Problem("page", "what was sent is no JSON") from None
    wrong = misfit(body, SCHEMAS[asked])
    if wrong is not None:
        raise Problem("page", f"what was sent does not fit: {wrong}")
    return body
