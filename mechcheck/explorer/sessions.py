"""A session as a file: what is on a page, what was tried on it and what was measured, so that it opens again, here or elsewhere."""

from pathlib import Path
from typing import TYPE_CHECKING

from mechcheck.base.errors import MechcheckError
from mechcheck.base.json_schema import misfit
from mechcheck.base.reading import parse_json, read_text
from mechcheck.explorer.bodies import MOST, Json, Problem
from mechcheck.models.loading import provenance

if TYPE_CHECKING:
    from transformer_lens.model_bridge import TransformerBridge

LARGEST = 1 << 21
"""Bytes of a file; as JSON within JSON it can be twice as many."""
FORMAT = "mechcheck explorer session 1"
_TEXT: Json = {"type": "string"}
_TEXTS: Json = {"type": "array", "items": _TEXT, "maxItems": MOST}
_VALUES: Json = {"type": "array", "items": {"type": ["number", "null"]}, "maxItems": 2}
SCHEMA: Json = {
    "type": "object",
    "properties": {
        "format": {"const": FORMAT},
        "model": {
            "type": "object",
            "properties": {"name": _TEXT, "weights_sha256": {"type": "string", "pattern": "^[0-9a-f]{64}$"}},
            "required": ["name", "weights_sha256"],
            "additionalProperties": False,
        },
        "address": {"type": "string", "pattern": r"^#[!-~]*\Z"},
        "tried": {
            "type": "array",
            "items": {
                "type": "object",
                "properties": {"said": _TEXT, "address": {"type": "string", "pattern": r"^#[!-~]*\Z"}, "text": _TEXT, "came": _TEXT},
                "required": ["said", "address", "text", "came"],
                "additionalProperties": False,
            },
            "maxItems": 100,
        },
        "measured": {
            "type": "array",
            "items": {
                "type": "object",
                "properties": {"name": _TEXT, "unit": _TEXT, "values": _VALUES},
                "required": ["name", "unit", "values"],
                "additionalProperties": False,
            },
            "maxItems": 100,
        },
        "claim": {"type": "object", "additionalProperties": _TEXT},
    },
    "required": ["format", "model", "address", "tried", "measured", "claim"],
    "additionalProperties": False,
}
"""`address` is the state as a page's address has it, behind the #; nothing in a session is run, and no text in it is more than a text."""


def read_session(text: str) -> Json:
    """What a session's file says.

    Raises:
        Problem: it is larger than one can be, no JSON, or of another shape than `SCHEMA`.
    """
    if len(text.encode(errors="replace")) > LARGEST:
        raise Problem("session", f"this file is larger than a session can be, {LARGEST:,} bytes")
    try:
        found = parse_json(text)
    except ValueError as error:
        raise Problem("session", f"this is no session of the explorer: {error}") from None
    wrong = misfit(found, SCHEMA)
    if wrong is not None:
        raise Problem("session", f"this is no session of the explorer: {wrong}")
    session: Json = found
    return session


def opened(text: str, model: "TransformerBridge") -> Json:
    """The same, of this model.

    Raises:
        Problem: as `read_session`; a session of another model, or of other weights of the same name.
    """
    found, loaded = read_session(text), provenance(model)
    named, weights = found["model"]["name"], found["model"]["weights_sha256"]
    if weights != loaded.weights_sha256:
        if named == loaded.name:
            told = f"other weights than {named} has here"
        else:
            told = f"{named!r:.80}, and this is {loaded.name}: start mechcheck explore --session FILE, without another model's name"
        raise Problem("session", f"this session is of {told} ({weights[:12]}, not {loaded.weights_sha256[:12]})")
    return found


def session_file(path: str) -> tuple[str, str]:
    """A session's file as it was named on the command line: its text, and the name of the model that it is of.

    Raises:
        MechcheckError: no such file, or no session.
    """
    try:
        text = read_text(Path(path), LARGEST)
    except (OSError, ValueError) as error:
        raise MechcheckError(f"--session {path}: it cannot be read: {error}") from error
    try:
        return text, read_session(text)["model"]["name"]
    except Problem as problem:
        raise MechcheckError(f"--session {path}: {problem}") from problem
