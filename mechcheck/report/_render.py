"""The page: templates, style and script put together, and written as one file."""

import os
import tempfile
from functools import cache
from pathlib import Path
from typing import Any

import jinja2
from markupsafe import Markup

from mechcheck.drawing import numbers, text
from mechcheck.drawing.page import environment, policy, script, style
from mechcheck.report import _cells, _claims, _decoys, _glyphs, _tally, _tries
from mechcheck.report._anchor import anchor
from mechcheck.report._cards import cards, unplaced
from mechcheck.report._grids import grids
from mechcheck.report._groups import folders
from mechcheck.report._pack import Pack
from mechcheck.report._prompts import Prompts, Which
from mechcheck.report._sources import Sources

Json = dict[str, Any]

_HERE = Path(__file__).parent
_SCRIPTS = ("filters.js", "claims.js", "opening.js", "prompts.js", "wide.js", "page.js")
# Up to this many characters of pictures and tables (about 60 claims), all of them stand in the page and read without a script.
_INLINE = 1_200_000
# Up to this many claims, the lines of all are in sight at once; above, those of a test with several claims wait behind its verdicts.
_UNFOLDED = 60
_COLUMNS = (
    ("rank", "verdict"), ("statement", "claim"), ("model", "model"), ("effect", "effect"), ("low", "interval"),
    ("", "vs. threshold"), ("n", "n (clusters)"), ("decoys", "decoys"),
)  # fmt: skip


@cache
def _environment() -> jinja2.Environment:
    env = environment(_HERE)
    env.globals.update(
        anchor=anchor,
        cells_=_cells,
        claims_=_claims,
        decoys_=_decoys,
        glyphs=_glyphs,
        numbers=numbers,
        linked=text.linked,
        token=text.token,
        tally=_tally,
        tries=_tries,
    )
    return env


@cache
def _script() -> str:
    return script(*(_HERE / name for name in _SCRIPTS))


@cache
def _style() -> str:
    return style(_HERE / "page.css", _HERE / "prompts.css")


def render(evidence: Json, prompts: Json | None = None, folder: Path | None = None, which: Which = "all") -> str:
    """The page of a run, as HTML.

    Args:
        evidence: of the run.
        prompts: its prompts with what each gave, as `mechcheck.evidence.samples.shown.prompts_of` reads them.
        folder: where the page goes, from where it links to the samples.
        which: all prompts, the worst of each claim, or none.
    """
    known = Prompts(prompts, folder, which)
    pack = Pack()
    html = _page(evidence, pack, known)
    if pack.size <= _INLINE:
        html = _page(evidence, Pack(inline=True), known)
    return text.visible(html)


def _page(evidence: Json, pack: Pack, prompts: Prompts) -> str:
    claims = sorted(evidence["claims"], key=_claims.rank)
    drifts = any(c["drift"] for c in claims)
    return (
        _environment()
        .get_template("page.html.j2")
        .render(
            run={
                **dict.fromkeys(("baseline", "ledger_problem", "upgraded_from", "multiplicity")),
                "undecided": [],
                "problems": [],
                **evidence["run"],
            },
            claims=claims,
            counts=_tally.counts(claims),
            came=_tally.outcome(claims),
            folders=folders(evidence["claims"]),
            unfolded=len(claims) <= _UNFOLDED,
            cards=cards(evidence["claims"]),
            unplaced=unplaced(claims),
            grids=grids(evidence["claims"]),
            models=sorted({_claims.model_name(c) for c in claims} - {""}),
            kinds=[kind for kind in _claims.KINDS if any(c["kind"] == kind for c in claims)],
            tasks=sorted({c["task"] for c in claims if c["task"]}),
            columns=[*_COLUMNS, ("drift", "drift")] if drifts else _COLUMNS,
            drifts=drifts,
            pack=pack,
            prompts=prompts,
            sources=Sources(claims),
            policy=policy(_script()),
            style=Markup(_style()),
            script=Markup(_script()),
        )
    )


def write_report(evidence: Json, path: Path, prompts: Json | None = None, which: Which = "all") -> None:
    """Write the page; a reader sees the old file or the whole new one, never half of it. Arguments as those of `render`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    content = render(evidence, prompts, path.parent, which).encode("utf-8")
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
