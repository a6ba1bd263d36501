"""Parts of the page that are read only when a claim is opened: kept apart, the same one once, and compressed."""

import base64
import zlib
from collections.abc import Callable
from typing import NamedTuple

from markupsafe import Markup

from mechcheck.drawing.text import visible

# Control characters are made visible before a part is packed, so none of them occurs in one.
_BETWEEN = "\x1e"
_BLOCK = 160 * 1024


class Packed(NamedTuple):
    """All parts of a page: blocks of deflated text (base64), and for each part its block and place therein."""

    blocks: list[str]
    places: list[tuple[int, int]]


class Pack:
    """Takes parts of the page away; `inline` leaves them where they are."""

    def __init__(self, inline: bool = False) -> None:
        self.inline = inline
        self.size = 0
        """Characters of all parts, each as often as it occurs."""
        self._numbers: dict[str, int] = {}
        self._groups: list[str] = []

    def more(self, group: str, *, caller: Callable[[], str]) -> Markup:
        """The place of a part (a Jinja call block); parts of a group are alike, and stand together so that they compress well."""
        part = visible(str(caller())).strip()
        if not part:
            return Markup("")
        self.size += len(part)
        if self.inline:
            return Markup('<div class="more">{}</div>').format(Markup(part))
        return Markup('<div class="more" data-part="{}"></div>').format(self.data(group, part))

    def data(self, group: str, part: str) -> int:
        """The number of a part that a script asks for by itself: text in which every character can be seen; packed in any case."""
        number = self._numbers.setdefault(part, len(self._numbers))
        if number == len(self._groups):
            self._groups.append(group)
        return number

    def packed(self) -> Packed:
        """The parts in blocks small enough to be unpacked at the click of a mouse."""
        parts = list(self._numbers)
        blocks: list[list[str]] = []
        places = [(0, 0)] * len(parts)
        room = 0
        for number in sorted(range(len(parts)), key=lambda i: (self._groups[i], parts[i])):
            if not blocks or len(parts[number]) > room:
                blocks.append([])
                room = _BLOCK
            places[number] = (len(blocks) - 1, len(blocks[-1]))
            blocks[-1].append(parts[number])
            room -= len(parts[number])
        return Packed([_deflated(_BETWEEN.join(block)) for block in blocks], places)


def _deflated(text: str) -> str:
    compressor = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    return base64.b64encode(compressor.compress(text.encode("utf-8")) + compressor.flush()).decode()
