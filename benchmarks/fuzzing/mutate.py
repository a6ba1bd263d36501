"""Odd values, and changes that make an odd input of a sound one; all are drawn from a generator, so that each can be made again."""

import copy
import os
import random
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

Rng = random.Random

WORDS = (
    "", " ", "0", "-1", "1.1", "0.0-3", "9" * 5000, "1e999", "nan", "inf", "None", "true", "[]", "{}", "[[", "]]", "{{", "'", '"', '"""',
    "\\", "\\u0000",
    "\\ud800", "\ud800", "\udcff", "\x00", "\ufeff", "é", "日本", "𝒳", "\u202e", "٣", "²", "->", "@", "@END", "logits", "input", "mlp0",
    "0.3->1.1.q",
    "0-99999999999", "99999999999", "0.0-9999999", "0-9999999.0-9999999", "head", "END", "ALL", "NEW", "=", "#", "\n", "\r\n", "\t", ",",
    ".", "-", "//",
    "../../etc/passwd", "/dev/zero", "%s%s%n", "${jndi}", "{0.__class__}", "<script>", "</script>", "]]>", "&amp;", "a.b.c",
    "1979-05-27T07:32:00Z",
    "x" * 100_000,
)  # fmt: skip


def odd(rng: Rng) -> Any:
    """A value as JSON or Python has them, of any type."""
    kind = rng.randrange(12)
    if kind < 3:
        return rng.choice(WORDS)
    if kind < 6:
        return rng.choice(
            (0, 1, -1, 2, 7, -(2**31), 2**31, 2**63, 2**64, -(2**63) - 1, 10**30, 10**400, 0.5, -0.0, 1e308, -1e308, 5e-324, 1e-9)
        )
    if kind < 7:
        return rng.choice((float("nan"), float("inf"), float("-inf")))
    if kind < 9:
        return rng.choice((None, True, False))
    if kind < 10:
        return [odd(rng) for _ in range(rng.randrange(4))]
    if kind < 11:
        return {str(odd(rng)): odd(rng) for _ in range(rng.randrange(4))}
    return nested(rng.choice((3, 50, 60, 150)), rng)


def nested(depth: int, rng: Rng) -> Any:
    """Lists and tables in each other."""
    value: Any = rng.choice((0, "x", None))
    for _ in range(depth):
        value = [value] if rng.random() < 0.5 else {"a": value}
    return value


class Odd:
    """An object of a class that nothing knows."""


def odd_object(rng: Rng) -> Any:
    """A value as only Python has them, or one of `odd`."""
    import numpy as np
    import torch

    made: tuple[Callable[[], Any], ...] = (
        lambda: odd(rng), lambda: odd(rng), lambda: odd(rng), Odd, lambda: b"\xff\x00", lambda: (1, 2, 3), lambda: {1, 2}, lambda: 1j,
        lambda: range(3), lambda: Path("x"), lambda: np.arange(4), lambda: np.array(["a"], dtype=object), lambda: np.float64("nan"),
        lambda: np.zeros((2, 0)), lambda: torch.arange(3), lambda: torch.tensor(float("nan")), lambda: torch.ones(2, 2,
        dtype=torch.complex64),
        lambda: torch.empty(2, device="meta"), lambda: torch.full((2, 3), float("inf")), lambda: torch.zeros(0), lambda: [[]],
        lambda: [[1], [2, 3]],
        lambda: print, lambda: Odd, lambda: iter(()), lambda: [np.int64(3), 2.0], lambda: np.array(7), lambda: torch.ones(2, 3,
        dtype=torch.bool),
    )  # fmt: skip
    return rng.choice(made)()


def alike(value: Any, rng: Rng) -> Any:
    """Another value of the same type, which a schema can have nothing against."""
    match value:
        case bool():
            return not value
        case int():
            return rng.choice((0, 1, 2, 10, value + 1, 2**31, 2**53, 10**300, -1))
        case float():
            return rng.choice((0.0, -0.0, 1.0, -1.0, 1e308, -1e308, 5e-324, 1e-300, -value, value * 2))
        case str():
            return rng.choice((*WORDS, value[::-1], value * 2, value[:1]))
        case list():
            return rng.choice((value[:-1], value[1:], value * 2, value * 50, []))
        case dict():
            return {key: one for key, one in value.items() if rng.random() < 0.7}
    return rng.choice((None, 0.0, "x"))


def changed(value: Any, rng: Rng, times: int | None = None) -> Any:
    """A copy with some of what it holds replaced, removed, doubled or exchanged."""
    value = copy.deepcopy(value)
    for _ in range(times or rng.choice((1, 1, 1, 2, 5))):
        where = _place(value, rng)
        if where is None:
            return odd(rng)
        inside, key = where
        if rng.random() < 0.5:
            inside[key] = alike(inside[key], rng)
            continue
        match rng.randrange(7):
            case 0:
                del inside[key]
            case 1 if isinstance(inside, dict):
                inside[rng.choice(WORDS)] = inside[key]
            case 1:
                inside.insert(key, copy.deepcopy(inside[key]))
            case 2:
                other = _place(value, rng)
                inside[key] = copy.deepcopy(other[0][other[1]]) if other else odd(rng)
            case 3:
                inside[key] = [inside[key]]
            case _:
                inside[key] = odd(rng)
    return value


def _place(value: Any, rng: Rng) -> tuple[Any, Any] | None:
    """Somewhere in a nested value: what holds it, and its key there."""
    found = None
    while isinstance(value, dict | list) and value:
        key = rng.choice(list(value)) if isinstance(value, dict) else rng.randrange(len(value))
        found = (value, key)
        if rng.random() < 0.2:
            break
        value = value[key]
    return found


def garbled(data: bytes, rng: Rng) -> bytes:
    """Bytes with some of them changed, cut, repeated or replaced by words."""
    for _ in range(rng.choice((1, 1, 2, 4, 16))):
        at = rng.randrange(len(data) + 1)
        end = min(len(data), at + rng.choice((1, 1, 4, 30, 300)))
        match rng.randrange(8):
            case 0:
                data = data[:at] + bytes(rng.randrange(256) for _ in range(rng.randrange(1, 5))) + data[end:]
            case 1:
                data = data[:at]
            case 2:
                data = data[:at] + data[end:]
            case 3:
                data = data[:end] + data[at:end] * rng.choice((1, 2, 50)) + data[end:]
            case 4:
                data = (
                    data[:at]
                    + rng.choice((b"[" * 3000, b'{"a":' * 2000, b"a." * 3000, b"\xff\xfe", b"\xef\xbb\xbf", b"\x00", b"(" * 500))
                    + data[at:]
                )
            case _:
                data = data[:at] + rng.choice(WORDS).encode("utf-8", "surrogatepass") + data[end:]
    return data


def odd_path(folder: Path, rng: Rng, suffix: str = "") -> Path:
    """A path at which there is no file that could be read to its end."""
    path = folder / f"odd{rng.randrange(10**9)}{suffix}"
    match rng.randrange(13):
        case 0 | 1 | 2:
            os.mkfifo(path)
        case 3:
            with socket.socket(socket.AF_UNIX) as bound:
                bound.bind(os.path.relpath(path))
        case 4:
            path.symlink_to(
                rng.choice(("/dev/zero", "/dev/null", "/dev/tty", "/proc/kmsg", "/proc/self/mem", "/proc/self/maps", "/dev/full"))
            )
        case 5:
            path.mkdir()
        case 6:
            path.symlink_to(path)
        case 7:
            path.symlink_to("nowhere")
        case 8:
            return path
        case 9:
            return folder / ("n" * 300 + suffix)
        case 10:
            return folder / f"\udcff{suffix}"
        case 11:
            return folder / f"a\x00b{suffix}"
        case 12:
            with path.open("wb") as stream:
                stream.truncate(1 << 40)
    return path
