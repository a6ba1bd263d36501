"""What is a figure: data that can be drawn, saved, and shown in a notebook."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from mechcheck.base.errors import MechcheckError

Json = dict[str, Any]

_CONVERTERS = "rsvg-convert or Inkscape, or save an .html, whose button below the figure gives a PNG"


class Figure:
    """Something to look at. The report draws it where a claim shows it; it also draws, saves and shows itself."""

    def data(self) -> Json:
        """The figure as the evidence schema has it: its kind, its title and its data."""
        raise NotImplementedError

    def svg(self) -> str:
        """The figure as SVG that stands by itself, on white. Attention is drawn head by head; only a page lets one pick heads."""
        from mechcheck.drawing.picture import picture

        return picture(self.data())

    def html(self) -> str:
        """A page of the figure alone that opens offline, on which it answers to a reader as in the report."""
        from mechcheck.drawing.page import page

        return page(self.data())

    def save(self, path: str | Path) -> Path:
        """Write the figure into a file: .svg for a paper, .html for a reader.

        Args:
            path: the file; its ending says which. A file that is there is replaced.

        Returns:
            The path.

        Raises:
            MechcheckError: another ending, or a path that cannot be written.
        """
        path = Path(path)
        made = {".svg": self.svg, ".html": self.html}.get(path.suffix.lower())
        if made is None:
            how = f"; save an .svg and convert it with {_CONVERTERS}" if path.suffix.lower() in _BITMAPS else ""
            raise MechcheckError(f"cannot save a figure as {path.name!r}: the name must end with .svg or .html{how}")
        content = made()
        try:
            path.write_text(content, encoding="utf-8")
        except OSError as error:
            raise MechcheckError(f"cannot write the figure to {path}: {error.strerror or error}") from error
        return path

    def _repr_html_(self) -> str:
        from mechcheck.drawing.notebook import shown

        return shown(self.data())


_BITMAPS = (".png", ".jpg", ".jpeg", ".gif", ".webp", ".pdf", ".eps")


class _HasFigure(Protocol):
    def figure(self) -> Figure: ...


class Pictured:
    """Something that a notebook shows as its figure."""

    def _repr_html_(self: _HasFigure) -> str | None:
        try:
            return self.figure()._repr_html_()
        except MechcheckError:
            return None  # there is nothing to be drawn: the notebook falls back on the text


@dataclass(frozen=True)
class RecordedFigure(Figure):
    """A figure of a claim's record in evidence.json, to be drawn again: `RecordedFigure(claim["figures"][0]).save("figure.svg")`.

    Raises:
        MechcheckError: it is not a figure as the evidence has it, or of a kind that only a newer version knows.
    """

    record: Json
    """Its kind, its title and its data."""

    def __post_init__(self) -> None:
        from mechcheck.drawing.kinds import prepared

        try:
            known = prepared(self.record)
            if not isinstance(self.record["title"], str):
                raise TypeError("its title is no text")
        except (KeyError, TypeError, ValueError, IndexError, AttributeError, ArithmeticError) as error:
            raise MechcheckError(
                "this is no figure as the evidence has it (a kind, a title, and the data of that kind): give one of a claim's `figures` "
                f"in evidence.json ({type(error).__name__}: {error})"
            ) from error
        if known is None:
            raise MechcheckError(f"this version cannot draw a figure of the kind {self.record['kind']!r}")

    def data(self) -> Json:
        """The record itself."""
        return self.record

    def __repr__(self) -> str:
        return f"RecordedFigure({self.record['kind']}, {self.record['title']!r})"
