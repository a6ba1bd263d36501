"""Our reading of a schema says what the jsonschema package says, and says where."""

import copy
import random

import jsonschema
import pytest
from made_evidence import evidence, hostile_claim, rich_claims

from mechcheck.base.json_schema import misfit
from mechcheck.evidence.store import schema

VALIDATOR = jsonschema.Draft202012Validator(schema())
ODD = (None, True, False, 0, -1, 1.5, 2.0, "", "x", [], [1], ["a"], {}, {"a": 1}, [None, None], "supported", 10**30)


def places(value, at=()):
    """Where something is in it."""
    yield at
    inside = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, one in inside:
        yield from places(one, (*at, key))


def replaced(value, at, draw: random.Random):
    """With something else at a place, or nothing, or something more."""
    if not at:
        return draw.choice(ODD)
    found = copy.deepcopy(value)
    inside = found
    for key in at[:-1]:
        inside = inside[key]
    match draw.randrange(4):
        case 0:
            del inside[at[-1]]
        case 1 if isinstance(inside, dict):
            inside["more"] = draw.choice(ODD)
        case _:
            inside[at[-1]] = draw.choice(ODD)
    return found


def test_every_change_is_judged_as_jsonschema_judges_it():
    whole = evidence([*rich_claims()[:3], hostile_claim()])
    assert misfit(whole, schema()) is None
    for claim in whole["claims"]:
        claim["figures"] = claim["figures"][:1]
    draw, known, judged = random.Random(0), list(places(whole)), {True: 0, False: 0}
    for _ in range(250):
        changed = replaced(whole, draw.choice(known), draw)
        right = VALIDATOR.is_valid(changed)
        assert (misfit(changed, schema()) is None) == right
        judged[right] += 1
    assert min(judged.values()) > 10


@pytest.mark.parametrize(
    ("value", "asked", "said"),
    [
        (1, {"type": "string"}, "it: text is expected, not 1"),
        (True, {"type": ["integer", "null"]}, "it: a whole number or null is expected, not True"),
        (float("nan"), {"type": "number"}, "it: a number is expected, not nan"),
        (1, {"const": True}, "it: True is expected, not 1"),
        ("z", {"enum": ["a", None]}, "it: one of a, null is expected, not 'z'"),
        ({}, {"required": ["a", "b"]}, "it: it lacks a, b"),
        ({"a": [0, "x"]}, {"properties": {"a": {"items": {"type": "integer"}}}}, "a[1]: a whole number is expected, not 'x'"),
        ({"b": 1}, {"properties": {}, "additionalProperties": False}, "it: it has an entry 'b', which is not known"),
        ({"b": 1}, {"additionalProperties": {"type": "null"}}, "['b']: null is expected, not 1"),
        ([1], {"minItems": 2}, "it: it has 1 members"),
        ("x", {"pattern": "^[0-9]$"}, "it: 'x' is none of what it may be (^[0-9]$)"),
        (0, {"exclusiveMinimum": 0}, "it: a number above 0 is expected, not 0"),
        (9, {"maximum": 8}, "it: a number of at most 8 is expected, not 9"),
        ({"a": 1}, {"oneOf": [{"type": "null"}, {"properties": {"a": {"type": "string"}}}]}, "a: text is expected, not 1"),
        (1, {"oneOf": [{"type": "number"}, {"type": "integer"}]}, "it: it is more than one of the things that it may be"),
    ],
)
def test_what_it_says(value, asked, said):
    assert misfit(value, asked) == said


def test_a_word_that_is_not_known_is_no_silence():
    with pytest.raises(NotImplementedError, match="'uniqueItems' in a schema"):
        misfit([], {"uniqueItems": True})
