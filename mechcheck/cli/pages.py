"""Commands that draw the page of evidence: of a run as it lies there, and of one that died."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mechcheck.base.errors import MechcheckError

if TYPE_CHECKING:
    from mechcheck.report import Which


def add_page_commands(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """`report` and `recover`."""
    report = commands.add_parser("report", help="draw the HTML report of an evidence file")
    report.add_argument("evidence", type=Path, nargs="?", default=Path("reports/evidence.json"), help="default: %(default)s")
    report.add_argument("-o", "--output", type=Path, help="default: index.html beside the evidence")
    report.add_argument(
        "--prompts", choices=("all", "worst", "none"), default="all",
        help="shown with their values, which are read from the samples beside the evidence: all, the worst five of each claim, or none",
    )  # fmt: skip
    report.set_defaults(run=_report)
    recover = commands.add_parser("recover", help="make evidence of what a run left that was killed before it wrote its own")
    recover.add_argument(
        "folder", type=Path, nargs="?", default=Path("reports"), help="where that run's evidence would have gone (default: %(default)s)"
    )
    recover.add_argument(
        "-o", "--out", type=Path, metavar="DIR", help="default: a folder recovered-<run> in it, so that it replaces nothing"
    )
    recover.set_defaults(run=_recover)


def draw(evidence: dict[str, Any], folder: Path, page: Path, which: "Which" = "all") -> None:
    """The page of evidence that lies in a folder with its samples."""
    from mechcheck.evidence.samples.shown import prompts_of
    from mechcheck.report import write_report

    write_report(evidence, page, None if which == "none" else prompts_of(evidence, folder), which)


def _report(chosen: argparse.Namespace) -> None:
    from mechcheck.evidence.door import unfit_figure
    from mechcheck.evidence.runs import folder_of, read_evidence

    output, evidence = chosen.output or chosen.evidence.parent / "index.html", read_evidence(chosen.evidence)
    if problem := unfit_figure(evidence):
        raise MechcheckError(f"{chosen.evidence} cannot be drawn: {problem}")
    draw(evidence, folder_of(chosen.evidence), output, chosen.prompts)
    print(output)


def _recover(chosen: argparse.Namespace) -> None:
    from mechcheck.evidence.leftovers import recover
    from mechcheck.evidence.runs import read_evidence
    from mechcheck.evidence.store import FILE

    for folder in recover(chosen.folder, chosen.out):
        evidence = read_evidence(folder)
        undecided = len(evidence["run"]["undecided"])
        print(f"{folder / FILE}: {len(evidence['claims'])} claims, {undecided} undecided of those that the run asked for")
        draw(evidence, folder, folder / "index.html")
