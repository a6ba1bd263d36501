"""The report's figures on the explorer's page."""

from functools import cache

import jinja2

from mechcheck.drawing.figure import Figure
from mechcheck.drawing.page import environment
from mechcheck.drawing.text import visible


@cache
def _template() -> jinja2.Template:
    return environment().from_string('{% from "figure.html.j2" import figure as drawn %}{{ drawn(figure, true) }}')


def html(figure: Figure) -> str:
    """A figure as it stands in a report, for a script to wire."""
    return visible(_template().render(figure=figure.data()))
