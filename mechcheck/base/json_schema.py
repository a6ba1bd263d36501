"""Whether a value is as a JSON Schema says: the words of the standard that the schemas of this project use, and no others."""

import math
import re
import sys
from collections.abc import Callable, Mapping
from typing import Any

Json = Mapping[str, Any]


def misfit(value: Any, schema: Json) -> str | None:
    """Where and how a value, as it came from JSON, differs from its schema; None where it does not.

    Raises:
        NotImplementedError: a word in the schema that is not known here, which would be passed over in silence otherwise.
    """
    return _misfit(value, schema, schema, "")


def _misfit(value: Any, schema: Json, root: Json, where: str) -> str | None:
    for word, asked in schema.items():
        if word in _SILENT:
            continue
        if word not in _WORDS:
            raise NotImplementedError(f"{word!r} in a schema")
        found = _WORDS[word](value, asked, schema, root, where)
        if found is not None:
            return found
    return None


def _at(where: str, what: str) -> str:
    return f"{where or 'it'}: {what}"


_LARGEST = sys.float_info.max


def _is(value: Any, kind: str) -> bool:
    match kind:
        case "null":
            return value is None
        case "boolean":
            return isinstance(value, bool)
        case "integer":
            return _is_number(value) and value == int(value)
        case "number":
            return _is_number(value)
    return isinstance(value, {"string": str, "array": list, "object": dict}[kind])


def _is_number(value: Any) -> bool:
    # A whole number of JSON's may be larger than any float, and is taken for none.
    return isinstance(value, int | float) and not isinstance(value, bool) and -_LARGEST <= value <= _LARGEST


def _same(one: Any, other: Any) -> bool:
    """As JSON has it, where true is not 1."""
    return bool(one == other) and isinstance(one, bool) == isinstance(other, bool)


_NAMES = {
    "null": "null", "boolean": "true or false", "integer": "a whole number", "number": "a number", "string": "text", "array": "a list",
    "object": "a table",
}  # fmt: skip


def _said(value: Any) -> str:
    """A value as a message shows it."""
    for kind in ("array", "object"):
        if _is(value, kind):
            return _NAMES[kind]
    return f"{value!r:.60}"


def _type(value: Any, asked: Any, schema: Json, root: Json, where: str) -> str | None:
    kinds = [asked] if isinstance(asked, str) else asked
    if any(_is(value, kind) for kind in kinds):
        return None
    return _at(where, f"{' or '.join(_NAMES[kind] for kind in kinds)} is expected, not {_said(value)}")


def _enum(value: Any, asked: Any, schema: Json, root: Json, where: str) -> str | None:
    if any(_same(value, one) for one in asked):
        return None
    return _at(where, f"one of {', '.join('null' if one is None else str(one) for one in asked)} is expected, not {_said(value)}")


def _const(value: Any, asked: Any, schema: Json, root: Json, where: str) -> str | None:
    return None if _same(value, asked) else _at(where, f"{asked!r} is expected, not {_said(value)}")


def _ref(value: Any, asked: Any, schema: Json, root: Json, where: str) -> str | None:
    *_, kind, name = asked.split("/")
    return _misfit(value, root[kind][name], root, where)


def _one_of(value: Any, asked: Any, schema: Json, root: Json, where: str) -> str | None:
    found = [_misfit(value, one, root, where) for one in asked]
    if found.count(None) == 1:
        return None
    if None in found:
        return _at(where, "it is more than one of the things that it may be")
    # Of two things, of which one is null, the other was meant; of several that which was followed furthest.
    return max((one for one in found if one is not None), key=lambda one: 0 if one.startswith("it: ") else len(one.partition(": ")[0]))


def _required(value: Any, asked: Any, schema: Json, root: Json, where: str) -> str | None:
    lacking = [name for name in asked if name not in value] if isinstance(value, dict) else []
    return _at(where, f"it lacks {', '.join(lacking)}") if lacking else None


def _properties(value: Any, asked: Any, schema: Json, root: Json, where: str) -> str | None:
    if isinstance(value, dict):
        for name, one in asked.items():
            if name in value and (found := _misfit(value[name], one, root, f"{where}.{name}".removeprefix("."))) is not None:
                return found
    return None


def _additional(value: Any, asked: Any, schema: Json, root: Json, where: str) -> str | None:
    more = [name for name in value if name not in schema.get("properties", {})] if isinstance(value, dict) else []
    if asked is False:
        return _at(where, f"it has an entry {more[0]!r:.60}, which is not known") if more else None
    for name in more:
        found = _misfit(value[name], asked, root, f"{where}[{name!r:.60}]")
        if found is not None:
            return found
    return None


def _items(value: Any, asked: Any, schema: Json, root: Json, where: str) -> str | None:
    if isinstance(value, list):
        for place, one in enumerate(value):
            found = _misfit(one, asked, root, f"{where}[{place}]")
            if found is not None:
                return found
    return None


def _length(value: Any, asked: Any, schema: Json, root: Json, where: str) -> str | None:
    if not isinstance(value, list) or schema.get("minItems", 0) <= len(value) <= schema.get("maxItems", math.inf):
        return None
    return _at(where, f"it has {len(value)} members")


def _pattern(value: Any, asked: Any, schema: Json, root: Json, where: str) -> str | None:
    if not isinstance(value, str) or re.search(asked, value):
        return None
    return _at(where, f"{value!r:.60} is none of what it may be ({asked})")


def _bound(holds: Callable[[float, float], bool], words: str) -> Callable[[Any, Any, Json, Json, str], str | None]:
    def check(value: Any, asked: Any, schema: Json, root: Json, where: str) -> str | None:
        if not _is_number(value) or holds(value, asked):
            return None
        return _at(where, f"a number {words} {asked} is expected, not {_said(value)}")

    return check


_WORDS: dict[str, Callable[[Any, Any, Json, Json, str], str | None]] = {
    "type": _type, "enum": _enum, "const": _const, "$ref": _ref, "oneOf": _one_of, "required": _required, "properties": _properties,
    "additionalProperties": _additional, "items": _items, "minItems": _length, "maxItems": _length, "pattern": _pattern,
    "minimum": _bound(lambda x, y: x >= y, "of at least"), "exclusiveMinimum": _bound(lambda x, y: x > y, "above"),
    "maximum": _bound(lambda x, y: x <= y, "of at most"), "exclusiveMaximum": _bound(lambda x, y: x < y, "below"),
}  # fmt: skip
# They say what something is for, and ask nothing of it.
_SILENT = ("$schema", "$id", "$defs", "title", "description", "contentEncoding")
