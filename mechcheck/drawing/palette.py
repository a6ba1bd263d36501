"""The colours of heatmaps: blue for more, orange for less than nothing, told apart by every common kind of colour vision."""

import base64
import re
import struct
import zlib
from collections.abc import Sequence
from functools import cache
from typing import NamedTuple

STEPS = 24
MISSING_CLASS = "nil"
_BLUE = ((247, 249, 252), (198, 219, 239), (107, 174, 214), (33, 113, 181), (8, 48, 107))
_ORANGE = ((247, 249, 252), (253, 208, 162), (253, 141, 60), (217, 72, 1), (127, 39, 4))
_MISSING = (208, 208, 208)

Rgb = tuple[int, int, int]


def _mix(ramp: Sequence[Rgb], step: int) -> Rgb:
    place = step / STEPS * (len(ramp) - 1)
    i = min(int(place), len(ramp) - 2)
    share = place - i
    red, green, blue = (round(a + (b - a) * share) for a, b in zip(ramp[i], ramp[i + 1], strict=True))
    return red, green, blue


def colour(step: int) -> Rgb:
    """The colour of a step from -STEPS (orange) over 0 (nearly white) to STEPS (blue)."""
    return _mix(_ORANGE, -step) if step < 0 else _mix(_BLUE, step)


def step_class(step: int | None) -> str:
    """The CSS class of a step: `b7` for 7, `o7` for -7."""
    return MISSING_CLASS if step is None else f"o{-step}" if step < 0 else f"b{step}"


class Scale(NamedTuple):
    """Numbers to steps: diverging about 0 when both signs occur, else from the least to the greatest value."""

    low: float
    high: float
    diverging: bool

    def step(self, x: float | None) -> int | None:
        """The step of a number; None for a missing one."""
        if x is None:
            return None
        if self.diverging:
            return round(STEPS * x / self.high)
        if self.high == self.low:
            return 0
        share = (x - self.low) / (self.high - self.low)
        # All-negative values keep the colour of negatives: the lowest is the strongest.
        return round(STEPS * share) if self.low >= 0 else -round(STEPS * (1 - share))


def scale_for(values: Sequence[float]) -> Scale:
    """The scale that fits the values."""
    low, high = min(values, default=0.0), max(values, default=0.0)
    if low < 0 < high:
        bound = max(-low, high)
        return Scale(-bound, bound, True)
    return Scale(low, high, False)


def _luminance(rgb: Rgb) -> float:
    linear = [c / 255 / 12.92 if c <= 10 else ((c / 255 + 0.055) / 1.055) ** 2.4 for c in rgb]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def _hex(rgb: Rgb) -> str:
    return "#" + "".join(f"{c:02x}" for c in rgb)


def _is_dark(step: int) -> bool:
    """Whether white stands out from a colour more than black does (WCAG contrast)."""
    return _luminance(colour(step)) < 0.179


@cache
def paints() -> dict[str, tuple[str, str]]:
    """Class of a step -> its colour, and the class of the text on it: on-dark or on-light."""
    of_steps = {step_class(s): (_hex(colour(s)), "on-dark" if _is_dark(s) else "on-light") for s in range(-STEPS, STEPS + 1)}
    return of_steps | {MISSING_CLASS: (_hex(_MISSING), "on-light")}


_BARS = {"seq": (0, STEPS), "neg": (-STEPS, 0), "div": (-STEPS, STEPS)}
"""Kind of colour bar -> the steps at its ends."""


def ramp_colours(ramp: str) -> list[str]:
    """The colours of a colour bar, from its low end."""
    first, last = _BARS[ramp]
    return [_hex(colour(s)) for s in range(first, last + 1)]


def css() -> str:
    """The rules of every step, with ink that stands out from it, and the gradients of the colour bars."""
    rules = []
    for step in range(-STEPS, STEPS + 1):
        ink = "#fff" if _is_dark(step) else "#000"
        rules.append(f".{step_class(step)}{{background:{_hex(colour(step))};color:{ink}}}")
    for name, (first, last) in _BARS.items():
        stops = ",".join(_hex(colour(s)) for s in range(first, last + 1, 6))
        rules.append(f".ramp.{name}{{background:linear-gradient(90deg,{stops})}}")
    return "".join(rules)


# Name: (light, dark). Every text colour stands out from every background that it stands on by at least 4.5 to 1.
_THEME = {
    "bg": ("#fff", "#0f141a"), "ink": ("#1b1f24", "#e4e9ef"), "muted": ("#57606a", "#9aa5b1"), "line": ("#d8dee4", "#2d3640"),
    "panel": ("#f6f8fa", "#171e26"), "link": ("#0757ba", "#78b6ff"), "side": ("#0969da1c", "#4ea1ff29"),
    "good": ("#116329", "#7ee2a0"), "good-bg": ("#dafbe1", "#12341f"), "bad": ("#a40e26", "#ff9c94"), "bad-bg": ("#ffe3e0", "#4a1517"),
    "amber": ("#744700", "#f2cc60"), "amber-bg": ("#fff3bf", "#3d2f05"), "violet": ("#5b2fb0", "#cbb2ff"),
    "violet-bg": ("#f0e7ff", "#2e1f52"), "teal": ("#0b5563", "#7edbe6"), "teal-bg": ("#d5f2f4", "#0d3a41"),
    "grey-bg": ("#eaeef2", "#29323c"),
    "s0": ("#0b62b8", "#6cb4ff"), "s1": ("#c04f00", "#ffa657"), "s2": ("#00785a", "#56d3aa"), "s3": ("#a83279", "#f08fc6"),
    "s4": ("#6b5b00", "#d9c75c"), "s5": ("#555", "#b0b8c1"),
    # Grids of colour are drawn for paper. In the dark their lightness is turned round and their hue kept.
    "paper": ("none", "invert(.92) hue-rotate(180deg)"),
}  # fmt: skip


def themes() -> str:
    """The colours of the page: light, or dark where the system or the reader wants it so; print is light."""
    light, dark = ("".join(f"--{name}:{pair[i]};" for name, pair in _THEME.items()) for i in (0, 1))
    return (
        f":root{{color-scheme:light;{light}}}"
        f"@media screen and (prefers-color-scheme:dark){{:root:not([data-theme=light]){{color-scheme:dark;{dark}}}}}"
        f"@media screen{{:root[data-theme=dark]{{color-scheme:dark;{dark}}}}}"
    )


def on_paper(sheet: str) -> str:
    """A style sheet in the light colours, each written out: what shows a single picture may know no variables."""
    return re.sub(r"var\(--([\w-]+)\)", lambda m: _THEME[m[1]][0], sheet)


def javascript() -> str:
    """The colours of steps from -STEPS to STEPS, for what a script draws."""
    return f"const STEPS = {STEPS}, RAMP = {[_hex(colour(s)) for s in range(-STEPS, STEPS + 1)]};"


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(steps: Sequence[Sequence[int | None]]) -> str:
    """A data URI of a PNG with one pixel per cell: a picture of a large grid that needs no script."""
    colours = [colour(s) for s in range(-STEPS, STEPS + 1)] + [_MISSING]
    missing = len(colours) - 1
    rows = b"".join(b"\0" + bytes(missing if s is None else s + STEPS for s in line) for line in steps)
    header = struct.pack(">IIBBBBB", len(steps[0]), len(steps), 8, 3, 0, 0, 0)
    palette = b"".join(bytes(c) for c in colours)
    chunks = [(b"IHDR", header), (b"PLTE", palette), (b"IDAT", zlib.compress(rows, 9)), (b"IEND", b"")]
    blob = b"\x89PNG\r\n\x1a\n" + b"".join(_chunk(kind, data) for kind, data in chunks)
    return "data:image/png;base64," + base64.b64encode(blob).decode()
