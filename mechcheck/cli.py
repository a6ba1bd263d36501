"""The `mechcheck` command: reports and tables from evidence, the embedded models, fetching models."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from mechcheck._errors import MechcheckError


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns the exit status."""
    parser = argparse.ArgumentParser(prog="mechcheck", description="Circuit claims as tests. Claims themselves are run with pytest.")
    commands = parser.add_subparsers(dest="command", required=True)
    report = commands.add_parser("report", help="draw the HTML report of an evidence file")
    report.add_argument("evidence", type=Path, nargs="?", default=Path("reports/evidence.json"))
    report.add_argument("-o", "--output", type=Path, help="default: index.html beside the evidence")
    report.set_defaults(run=_report)
    summary = commands.add_parser("summary", help="print the claims of evidence files as a Markdown table")
    summary.add_argument("evidence", type=Path, nargs="*", default=[Path("reports/evidence.json")])
    summary.add_argument("--model", action="append", default=[], help="only this model's column; repeatable")
    summary.set_defaults(run=_summary)
    models = commands.add_parser("models", help="list the embedded models and the circuits recorded for them")
    models.set_defaults(run=_models)
    prefetch = commands.add_parser("prefetch", help="fetch hub models into the local cache (the only command that uses the network)")
    prefetch.add_argument("model", nargs="+")
    prefetch.add_argument("--revision", help="commit, tag or branch")
    prefetch.set_defaults(run=_prefetch)
    chosen = parser.parse_args(arguments)
    try:
        chosen.run(chosen)
    except MechcheckError as error:
        print(f"mechcheck: {error}", file=sys.stderr)
        return 1
    return 0


def _read(path: Path) -> dict:
    import json

    from mechcheck._evidence import SCHEMA, read_json

    try:
        evidence = read_json(path)
        found = evidence["run"]["schema"]
    except FileNotFoundError:
        raise MechcheckError(f"no evidence at {path}; run `pytest claims` first, or name the file") from None
    except (json.JSONDecodeError, KeyError, TypeError) as error:
        raise MechcheckError(f"{path} is not an evidence file of mechcheck ({type(error).__name__}: {error})") from error
    if found != SCHEMA:
        raise MechcheckError(f"{path} has schema {found!r}, this version reads {SCHEMA!r}")
    return evidence


def _report(chosen: argparse.Namespace) -> None:
    from mechcheck.report import write_report

    output = chosen.output or chosen.evidence.parent / "index.html"
    write_report(_read(chosen.evidence), output)
    print(output)


def _summary(chosen: argparse.Namespace) -> None:
    from mechcheck._summary import markdown

    print(markdown([_read(path) for path in chosen.evidence], chosen.model))


def _models(chosen: argparse.Namespace) -> None:
    from mechcheck._circuit import models_with_circuit
    from mechcheck._models import embedded_models
    from mechcheck._paths import data_dir
    from mechcheck._tasks import task_names
    from mechcheck.compiled import blueprint, compiled_models, task_of

    for name in embedded_models():
        if name in compiled_models():
            roles = "; ".join(f"{role} {sites}" for role, sites in blueprint(name).circuit_roles.items())
            print(f"{name}\n  compiled for: {task_of(name)}\n  known circuit: {roles}")
            continue
        tasks = [task for task in task_names() if name in models_with_circuit(task)]
        print(f"{name}\n  circuits: {', '.join(tasks) or 'none'}\n  card: {data_dir('fixtures') / 'models' / name / 'README.md'}")


def _prefetch(chosen: argparse.Namespace) -> None:
    from mechcheck._models import fetch_model

    for name in chosen.model:
        print(f"{name}: {fetch_model(name, chosen.revision)}")


if __name__ == "__main__":
    sys.exit(main())
