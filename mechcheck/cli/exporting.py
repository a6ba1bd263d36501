"""`mechcheck export`: evidence in formats that other programs read."""

import argparse
import json
from pathlib import Path

from mechcheck.base.errors import MechcheckError

FORMATS = ("ctrf", "sarif", "eval-results")


def add_export_command(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """`export`."""
    export = commands.add_parser("export", help="write evidence in a format that other programs read")
    export.add_argument("evidence", type=Path, nargs="?", default=Path("reports/evidence.json"), help="default: %(default)s")
    export.add_argument(
        "--format", choices=FORMATS, required=True,
        help="ctrf: a test report, for dashboards of CI; sarif: SARIF 2.1.0, what failed or was warned of at its line, for code scanning; "
        "eval-results: YAML for .eval_results/ in a model's repository on the Hugging Face Hub",
    )  # fmt: skip
    export.add_argument("-o", "--output", type=Path, help="write it there instead of printing it")
    export.add_argument("--model", help="eval-results: of this model, where the run has several")
    export.add_argument("--dataset", metavar="ID", help="eval-results: the benchmark's dataset on the hub, owner/name")
    export.add_argument("--source-url", metavar="URL", help="eval-results: where the evidence can be read")
    export.set_defaults(run=_export)


def _export(chosen: argparse.Namespace) -> None:
    from mechcheck.evidence.runs import read_evidence
    from mechcheck.evidence.store import write_bytes

    for name in ("model", "dataset", "source_url"):
        if getattr(chosen, name) is not None and chosen.format != "eval-results":
            raise MechcheckError(f"--{name.replace('_', '-')} belongs to --format eval-results; {chosen.format} has the whole run")
    text = _written(chosen, read_evidence(chosen.evidence))
    if chosen.output is None:
        print(text, end="")
    else:
        write_bytes(chosen.output, text.encode())
        print(chosen.output)


def _written(chosen: argparse.Namespace, evidence: dict[str, object]) -> str:
    if chosen.format == "eval-results":
        import yaml

        from mechcheck.evidence.formats.model_card import eval_results

        if chosen.dataset is None:
            raise MechcheckError("results on the hub belong to a benchmark's dataset: name it with --dataset OWNER/NAME")
        found = eval_results(evidence, chosen.model, chosen.dataset, chosen.source_url)
        return yaml.safe_dump(found, sort_keys=False, allow_unicode=True, width=140)
    if chosen.format == "ctrf":
        from mechcheck.evidence.formats.ctrf import ctrf as made
    else:
        from mechcheck.evidence.formats.sarif import sarif as made
    return json.dumps(made(evidence), indent=1, ensure_ascii=False, allow_nan=False) + "\n"
