"""Pages with figures on them: their templates, style and scripts, and a page of a single figure."""

import base64
import hashlib
from functools import cache
from pathlib import Path
from typing import Any

import jinja2
from markupsafe import Markup

from mechcheck.base.cache import kept
from mechcheck.drawing import kinds, palette
from mechcheck.drawing.text import visible

Json = dict[str, Any]

_HERE = Path(__file__).parent
_SHEETS = ("base.css", "figures.css", "pictures.css")
_SCRIPTS = ("figures.js", "matrix.js", "lines.js", "attention.js", "circuit.js", "save.js")


def environment(*folders: Path) -> jinja2.Environment:
    """Templates that escape what they are given: those of figures, and those in `folders`."""
    folder = kept("templates")
    env = jinja2.Environment(
        loader=jinja2.FileSystemLoader([*folders, _HERE]),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        bytecode_cache=None if folder is None else jinja2.FileSystemBytecodeCache(str(folder)),  # of templates as they are now, by a hash
    )
    env.globals.update(figures_=kinds)
    return env


def style(*sheets: Path) -> str:
    """What figures, and a page around them, look like; `sheets` are what else is on the page."""
    read = [path.read_text(encoding="utf-8") for path in (*(_HERE / name for name in _SHEETS), *sheets)]
    return palette.themes() + "".join(read) + palette.css()


def script(*scripts: Path) -> str:
    """What makes figures answer to a reader; `scripts` are what else the page runs, after these."""
    paths = (*(_HERE / name for name in _SCRIPTS), *scripts)
    return "\n".join(['"use strict";', palette.javascript(), *(path.read_text(encoding="utf-8") for path in paths)])


def policy(running: str) -> str:
    """Nothing is loaded from anywhere; of scripts, a browser that knows hashes runs this one alone."""
    digest = base64.b64encode(hashlib.sha256(running.encode()).digest()).decode()
    return (
        "default-src 'none'; style-src 'unsafe-inline'; "
        f"script-src 'unsafe-inline' 'sha256-{digest}'; img-src data:; base-uri 'none'; form-action 'none'"
    )


@cache
def _alone() -> tuple[jinja2.Template, Markup, Markup]:
    return environment().get_template("alone.html.j2"), Markup(style()), Markup(script(_HERE / "alone.js"))


def page(figure: Json) -> str:
    """A page of one figure that opens offline: kinds that answer to a reader do so here as in a report."""
    template, looks, running = _alone()
    return visible(template.render(figure=figure, policy=policy(running), style=looks, script=running))
