"""Text from outside on its way into the page: made visible, measured, and linked where it cites something."""

import re
import unicodedata
from collections import Counter
from collections.abc import Sequence

from markupsafe import Markup, escape

# Characters that HTML forbids or drops, and the bidirectional overrides that would re-order what stands around them.
_UNSEEN = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ufffe\uffff]")
_ARXIV = r"arXiv:\s?(?P<id>\d{4}\.\d{4,5}(?:v\d+)?|[a-z-]+(?:\.[A-Z]{2})?/\d{7})"
_URL = r"https?://[^\s<>\"']+[^\s<>\"'.,;:)\]]"
_CITED = re.compile(f"{_ARXIV}|{_URL}", re.IGNORECASE)
_WHITE = {"\n": "⏎", "\r": "␍", "\t": "⇥"}


def visible(html: str) -> str:
    """A finished page with each character that cannot be seen, or not be written as UTF-8, replaced by its escape."""
    shown = _UNSEEN.sub(lambda m: f"\\u{ord(m[0]):04x}", html)
    return shown.encode("utf-8", "backslashreplace").decode("utf-8")


def token(text: str) -> str:
    """A token with its line breaks and tabs shown, so that it can be told from its neighbours."""
    return "".join(_WHITE.get(c, c) for c in text) or "∅"


def numbered(tokens: Sequence[str]) -> list[str]:
    """Tokens as labels, told apart where they repeat: John, gave, John becomes John_1, gave, John_2."""
    names = [visible(token(t).strip() or token(t)) for t in tokens]
    times, seen = Counter(names), Counter[str]()
    labels = []
    for name in names:
        seen[name] += 1
        labels.append(f"{name}_{seen[name]}" if times[name] > 1 else name)
    return labels


def width(text: str, size: float = 10.5) -> float:
    """About how many pixels wide a text is, on the generous side."""
    return sum(0.0 if unicodedata.combining(c) else 1.1 if unicodedata.east_asian_width(c) in "WF" else 0.64 for c in text) * size


def linked(text: str) -> Markup:
    """`text` with its arXiv numbers and web addresses made into links."""
    parts, done = [], 0
    for m in _CITED.finditer(text):
        target = f"https://arxiv.org/abs/{m['id']}" if m["id"] else m[0]
        parts.append(escape(text[done : m.start()]))
        parts.append(Markup('<a href="{}">{}</a>').format(target, m[0]))
        done = m.end()
    return Markup("").join([*parts, escape(text[done:])])
