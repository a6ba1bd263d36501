"""A page as a parser reads it."""

from collections.abc import Iterator
from html.parser import HTMLParser

from mechcheck.report import anchor

VOID = {"meta", "input", "img", "br", "link", "col", "wbr"}


# HTML allows to leave out their end tags.
OPTIONAL = {"td", "th", "tr", "option", "dt", "dd", "li", "thead", "tbody"}


INLINE = {"a", "b", "bdi", "code", "i", "small", "span", "strong", "sub", "sup"}


class Page(HTMLParser):
    """The parsed page: its elements, and its text outside of style and script."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.scripts: list[str] = []
        self.words: list[str] = []
        self.unbalanced: list[str] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in INLINE:
            self.words.append(" ")
        if tag not in VOID | OPTIONAL:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        if tag not in OPTIONAL and (not self.open or self.open.pop() != tag):
            self.unbalanced.append(tag)

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] == "script":
            self.scripts.append(data)
        elif not self.open or self.open[-1] != "style":
            self.words.append(data)

    @property
    def text(self) -> str:
        """What a reader sees, with white space folded."""
        return " ".join("".join(self.words).split())

    def all(self, tag: str, css_class: str = "") -> Iterator[dict[str, str | None]]:
        """The attributes of every such element."""
        return (a for t, a in self.elements if t == tag and (not css_class or css_class in (a.get("class") or "").split()))


def claim_html(html: str, claim_id: str) -> str:
    """The part of the page that is about one claim."""
    start = html.rindex('<details class="claim"', 0, html.index(f'<div class="body" id="{anchor(claim_id)}"'))
    end = html.find('<details class="claim"', start + 1)
    return html[start : end if end > 0 else None]
