"""Made-up prompts for the page, as the evidence's reader has them."""

import random
from pathlib import Path
from typing import Any

KEY = "ab" * 32


def texts(n: int, *, words: list[str] | None = None) -> dict[str, Any]:
    """Prompts of six tokens, the second of which is S and, in turns, Mary (the answer) or John (the foil)."""
    words = ["When", " Mary", " John", " went", " home", " to"] if words is None else words
    return {
        "ids": [f"id{i:04}{'f' * 6}" for i in range(n)],
        "templates": [f"template {i % 3}" for i in range(n)],
        "words": words,
        "tokens": [[0, 1 + i % 2, 3, 4, 3, 5] for i in range(n)],
        "names": ["", "S", "END"],
        "marks": [[0, 1, 0, 0, 0, 2] for _ in range(n)],
        "answers": [words[1]] * n,
        "foils": [words[2]] * n,
    }


def check(values: list[float], known: dict[str, Any], **changes: Any) -> dict[str, Any]:
    """What a check was decided on: of the first of these prompts."""
    n = len(values)
    made = {"ids": known["ids"][:n], "templates": known["templates"][:n], "name": "preference", "values": values, "ratio": False}
    return made | {"operands": [], "decoys": None} | changes


def difference(values: list[float], known: dict[str, Any], **changes: Any) -> dict[str, Any]:
    """The same, as a clean value less one under an intervention."""
    clean = [value + 3.0 for value in values]
    operands = [
        {"name": "preference, untouched", "unit": "logits", "values": clean, "sign": 1},
        {"name": "preference, Patch", "unit": "logits", "values": [3.0] * len(values), "sign": -1},
    ]
    return check(values, known, operands=operands, decoys={"n": 2, "values": [0.125] * len(values)}, **changes)


def told(folder: Path, known: dict[str, Any] | None, **claims: list[dict[str, Any]]) -> dict[str, Any]:
    """All of it, by claim."""
    found = {
        name: {"file": f"samples/r/{name}.npz", "texts": KEY if known else None, "checks": checks, "problems": []}
        for name, checks in claims.items()
    }
    return {"folder": folder, "claims": found, "texts": {KEY: known} if known else {}}


def values(n: int, seed: int = 0) -> list[float]:
    """Around 1."""
    draw = random.Random(seed)
    return [draw.gauss(1.0, 1.0) for _ in range(n)]
