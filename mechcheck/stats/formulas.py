"""Names of what was computed from named things, with the brackets that they need and no others.

A name is read as a formula: operators are those with a space on either side, and a minus in front. So a name that somebody gave,
"clean - ablated", is put in brackets where it has to be.
"""

import re

COMPARISON, SUM, PRODUCT, SIGN, WORD = range(5)
"""How closely a name holds together, by the operator in it that is evaluated last."""

_OPERATORS = ((COMPARISON, (">", "<", ">=", "<=", "==", "!=")), (SUM, ("+", "-")), (PRODUCT, ("*", "/")))


def binding(name: str) -> int:
    """How closely a name holds together."""
    found = set(re.findall(r"(?<= )[-+*/<>=!]+(?= )", _outside_brackets(name)))
    for level, operators in _OPERATORS:
        if found.intersection(operators):
            return level
    return SIGN if name.startswith("-") else WORD


def bracketed(name: str, least: int) -> str:
    """The name, in brackets where it holds together less closely than that."""
    return name if binding(name) >= least else f"({name})"


def plus(a: str, b: str) -> str:
    """a + b; a - c where b is -c."""
    if (c := _negated(b)) is not None:
        return minus(a, c)
    if b.startswith("-") and binding(b) == SUM:
        return f"{bracketed(a, SUM)} - {b[1:]}"
    return f"{bracketed(a, SUM)} + {bracketed(b, SUM)}"


def minus(a: str, b: str) -> str:
    """a - b; a + c where b is -c."""
    if (c := _negated(b)) is not None:
        return plus(a, c)
    return f"{bracketed(a, SUM)} - {bracketed(b, PRODUCT)}"


def times(factor: str, a: str) -> str:
    """factor * a, of a number."""
    return f"{factor} * {bracketed(a, PRODUCT)}"


def over(a: str, b: str) -> str:
    """a / b."""
    return f"{bracketed(a, PRODUCT)} / {bracketed(b, SIGN)}"


def negative(a: str) -> str:
    """-a; c where a is -c."""
    return f"-{bracketed(a, PRODUCT)}" if (c := _negated(a)) is None else c


def compared(a: str, sign: str, b: str) -> str:
    """a > b, or a < b."""
    return f"{bracketed(a, SUM)} {sign} {bracketed(b, SUM)}"


def _negated(name: str) -> str | None:
    """What this is the negative of; None where it is no negative."""
    if not name.startswith("-") or binding(name) < PRODUCT:
        return None
    rest = name[1:]
    return rest[1:-1] if rest.startswith("(") and _outside_brackets(rest) == "_" * (len(rest) - 1) + ")" else rest


def _outside_brackets(name: str) -> str:
    depth, kept = 0, []
    for character in name:
        depth += (character in "([{") - (character in ")]}")
        kept.append(character if depth <= 0 else "_")
    return "".join(kept)
