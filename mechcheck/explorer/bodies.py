"""What the page asks: JSON of a known shape, or an error that says where on the page it belongs."""

import json
from typing import Any

from mechcheck.base.errors import MechcheckError
from mechcheck.base.json_schema import misfit
from mechcheck.explorer.measures import MEASURES

Json = dict[str, Any]

LIMIT = 1 << 16
"""Bytes of a body at most: far more than a prompt that fits into a model's context."""
LIMITS = {"session": 1 << 22, "claim": 1 << 20, "save": 1 << 20, "prove": 1 << 20}
"""The same where more is sent: a file, or a circuit with the score of each of its edges."""
MOST = 64
"""References at most."""
KINDS = {
    "none": "leave as it is", "zero": "zero", "mean": "mean", "resample": "resample", "patch": "patch", "scale": "scale", "steer": "steer",
    "permute": "permute", "sparsify": "sparsify", "noise": "noise", "knockout": "knock out attention",
}  # fmt: skip
"""What can be done -> what the page calls it."""
SITES = {
    "heads": ("heads", "0.1, 0.0-3, 0.3@END"),
    "queries": ("queries of heads", "0.1, 0.0-3, 0.3@END"),
    "keys": ("keys of heads", "0.1, 0.0-3, 0.3@END"),
    "values": ("values of heads", "0.1, 0.0-3, 0.3@END"),
    "patterns": ("attention of heads", "0.1, 0.0-3, 0.3@END"),
    "attn_outs": ("attention layers", "0, 0-1, 1@END"),
    "mlps": ("MLPs", "0, 0-1, 1@END"),
    "neurons": ("neurons", "0.5, 0.0-31@END"),
    "resid": ("stream before a layer", "0, 0-1, 1@END"),
    "resid_mid": ("stream within a layer", "0, 0-1, 1@END"),
    "resid_post": ("stream behind a layer", "0, 0-1, 1@END"),
    "edges": ("edges", "0.1->1.3.q, 0.0-3->logits@END"),
}
"""What can be changed, by the function that reads its text -> (what the page calls it, how it is written)."""
HEAD_LIKE = ("heads", "queries", "keys", "values", "patterns")
"""Of these, what each head has one of."""

_TEXT: Json = {"type": "string"}
_PROMPT: Json = {
    "text": _TEXT,
    "counterfactual": _TEXT,
    "references": {"type": "array", "items": _TEXT, "maxItems": MOST},
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
_SETTINGS: Json = {
    "of": {"enum": list(SITES)},
    "direction": {"enum": ["answer", "counterfactual"]},
    "strength": {"type": "number"},
    "share": {"type": "number"},
    "deviations": {"type": "number"},
    "seed": {"type": "integer", "minimum": 0, "maximum": 2**32 - 1},
    "keys": _TEXT,
    "only": {"type": "boolean"},
}
DEFAULTS: Json = {
    "of": "heads", "direction": "answer", "strength": 1.0, "share": 0.5, "deviations": 1.0, "seed": 0, "keys": "", "only": False,
    "shown": "",
}  # fmt: skip
"""What is meant where a body is silent of a setting."""

_CLAIM: Json = {
    "task": _TEXT,
    "row": {"type": "integer", "minimum": 0},
    "statement": _TEXT,
    "expects": {"enum": ["below", "above"]},
    "threshold": _TEXT,
    "file": _TEXT,
}
_CLAIM_SILENT: Json = {"measure": {"enum": list(MEASURES)}, "circuit": _TEXT}
"""Of which a body may be silent: the mean logit difference is meant then, and no circuit that was found."""


_STUDY: Json = {
    "task": _TEXT,
    "study": {"enum": ["targeted", "generic", "patching", "discovery", "lens", "steering"]},
    "target": _TEXT,
    "size": {"type": "integer", "minimum": 1, "maximum": 16},
    "method": {"enum": ["eap-ig-inputs", "eap", "relp", "exact", "prune", "acdc", "edge-pruning", "information-flow"]},
    "prompts": {"type": "integer", "minimum": 2, "maximum": 240},
    "faithful": {"type": "number", "minimum": 0.01, "maximum": 0.99},
    "along": {"enum": ["unembedding", "difference"]},
    "layer": {"type": "integer", "minimum": 0},
    "place": _TEXT,
    "reach": {"type": "number", "minimum": 0.01, "maximum": 1000},
}


def _table(properties: Json, silent: Json | None = None) -> Json:
    """Of these properties, and those that it may be silent of."""
    known = properties | (silent or {})
    return {"type": "object", "properties": known, "required": list(properties), "additionalProperties": False}


SCHEMAS: dict[str, Json] = {
    "predict": _table({**_PROMPT, **_CHANGE}, _SETTINGS),
    "attention": _table({**_PROMPT, **_CHANGE}, _SETTINGS | {"shown": _TEXT}),
    "effects": _table({**_PROMPT, **_CHANGE}, _SETTINGS),
    "claim": _table({**_PROMPT, **_CHANGE, **_CLAIM}, _SETTINGS | _CLAIM_SILENT),
    "save": _table({**_PROMPT, **_CHANGE, **_CLAIM, "replace": {"type": "boolean"}}, _SETTINGS | _CLAIM_SILENT),
    "prove": _table({**_PROMPT, **_CHANGE, **_CLAIM}, _SETTINGS | _CLAIM_SILENT),
    "study": _table({**_PROMPT, **_CHANGE, **_STUDY}, _SETTINGS),
    "complete": _table({"start": _TEXT}),
    "example": _table(
        {"task": _TEXT, "row": {"type": "integer", "minimum": 0}}, {"many": {"type": "integer", "minimum": 1, "maximum": MOST}}
    ),
    "session": _table({"text": _TEXT}),
    "opening": _table({}),
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


def _number(text: str) -> int | float:
    """A whole number is one however it is written, as 1.0 too."""
    value = float(text)
    return int(value) if value.is_integer() and abs(value) < _EXACT else value


_EXACT = 2**53


def read_body(asked: str, raw: bytes) -> Json:
    """A body as what it was asked with.

    Raises:
        Problem: no JSON, or of another shape than `SCHEMAS[asked]`.
    """
    try:
        body = json.loads(raw, parse_float=_number)
    except (ValueError, RecursionError):
        raise Problem("page", "what was sent is no JSON") from None
    wrong = misfit(body, SCHEMAS[asked])
    if wrong is not None:
        raise Problem("page", f"what was sent does not fit: {wrong}")
    return body
