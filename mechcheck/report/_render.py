"""The page: templates, style and script put together, and written as one file."""

import base64
import hashlib
import os
import tempfile
from functools import cache
from pathlib import Path
from typing import Any

import jinja2
from markupsafe import Markup

from mechcheck.report import _claims, _figures, _glyphs, _numbers, _palette, _text, _tries
from mechcheck.report._anchor import anchor
from mechcheck.report._pack import Pack
from mechcheck.report._sources import Sources

Json = dict[str, Any]

_HERE = Path(__file__).parent
_SCRIPTS = ("claims.js", "figures.js", "matrix.js", "attention.js", "save.js", "page.js")
# Up to this many characters of pictures and tables (about 60 claims), all of them stand in the page and read without a script.
_INLINE = 1_200_000
_COLUMNS = (
    ("rank", "verdict"), ("statement", "claim"), ("model", "model"), ("effect", "effect"), ("low", "interval"),
    ("", "vs. threshold"), ("n", "n (clusters)"), ("decoys", "decoys"),
)  # fmt: skip


@cache
def _environment() -> jinja2.Environment:
    env = jinja2.Environment(
        loader=jinja2.FileSystemLoader(_HERE),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    env.globals.update(
        anchor=anchor,
        claims_=_claims,
        figures_=_figures,
        glyphs=_glyphs,
        numbers=_numbers,
        linked=_text.linked,
        token=_text.token,
        tries=_tries,
    )
    return env


@cache
def _script() -> str:
    return "\n".join(['"use strict";', _palette.javascript(), *((_HERE / name).read_text(encoding="utf-8") for name in _SCRIPTS)])


@cache
def _style() -> str:
    return _palette.themes() + (_HERE / "page.css").read_text(encoding="utf-8") + _palette.css()


def _policy() -> str:
    """Nothing is loaded from anywhere; of scripts, a browser that knows hashes runs ours alone."""
    digest = base64.b64encode(hashlib.sha256(_script().encode()).digest()).decode()
    return (
        "default-src 'none'; style-src 'unsafe-inline'; "
        f"script-src 'unsafe-inline' 'sha256-{digest}'; img-src data:; base-uri 'none'; form-action 'none'"
    )


def render(evidence: Json) -> str:
    """The page of a run, as HTML."""
    pack = Pack()
    html = _page(evidence, pack)
    if pack.size <= _INLINE:
        html = _page(evidence, Pack(inline=True))
    return _text.visible(html)


def _page(evidence: Json, pack: Pack) -> str:
    claims = sorted(evidence["claims"], key=_claims.rank)
    drifts = any(c["drift"] for c in claims)
    return (
        _environment()
        .get_template("page.html.j2")
        .render(
            run={"baseline": None, "ledger_problem": None, "upgraded_from": None} | evidence["run"],
            claims=claims,
            counts=_claims.counts(claims),
            cards=_claims.cards(evidence["claims"]),
            unplaced=_claims.unplaced(claims),
            grids=_claims.grids(evidence["claims"]),
            models=sorted({_claims.model_name(c) for c in claims} - {""}),
            tasks=sorted({c["task"] for c in claims if c["task"]}),
            columns=[*_COLUMNS, ("drift", "drift")] if drifts else _COLUMNS,
            drifts=drifts,
            pack=pack,
            sources=Sources(claims),
            policy=_policy(),
            style=Markup(_style()),
            script=Markup(_script()),
        )
    )


def write_report(evidence: Json, path: Path) -> None:
    """Write the page; a reader sees the old file or the whole new one, never half of it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    content = render(evidence).encode("utf-8")
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".tmp")
    try:
        with os.fdopen(handle, "wb") as f:
            f.write(content)
        # mkstemp makes files that only their owner reads, which a published report must not be.
        os.chmod(name, 0o644)
        os.replace(name, path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
