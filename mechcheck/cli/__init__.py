"""The `mechcheck` command: reports, comparisons, models, searches."""

import argparse
import io
import os
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from mechcheck.base.errors import HookError, MechcheckError, NonFiniteError
from mechcheck.base.paths import data_dir
from mechcheck.cli.circuits import add_circuit_commands
from mechcheck.cli.costs import add_cost_command
from mechcheck.cli.exploring import add_explore_command
from mechcheck.cli.exporting import add_export_command
from mechcheck.cli.pages import add_page_commands, draw
from mechcheck.cli.reproducing import add_reproduce_command
from mechcheck.cli.sharing import add_sharing, shared_by
from mechcheck.cli.watching import add_watch_command, run_watch


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns the exit status: 0, 1 when a comparison found what fails it, 2 when something was wrong, 130 when it was
    interrupted."""
    parser = make_parser()
    if any("\0" in one for one in arguments or ()):  # a shell can give none
        parser.error("an argument has a null character, which no name of a file has")
    chosen, more = parser.parse_known_args(arguments)
    if more and chosen.run not in (_verify, run_watch):
        parser.error(f"unrecognized arguments: {' '.join(more)}")
    chosen.pytest = more
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # a path or a name may hold what the terminal's encoding has not
            with suppress(OSError):  # one that has become another file since it was opened
                stream.reconfigure(errors="backslashreplace")
    try:
        return chosen.run(chosen) or 0
    except (MechcheckError, HookError, NonFiniteError) as error:
        print(f"mechcheck: {error}", file=sys.stderr)
    except OSError as error:  # what is to be written cannot be
        print(f"mechcheck: {error.filename or 'the output'}: {error.strerror or error}", file=sys.stderr)
    except KeyboardInterrupt:
        print("mechcheck: interrupted", file=sys.stderr)
        return 130
    return 2


def make_parser() -> argparse.ArgumentParser:
    """The command line: a parser with one sub-command for each thing to do."""
    parser = argparse.ArgumentParser(prog="mechcheck", description="Circuit claims as tests. Claims themselves are run with pytest.")
    commands = parser.add_subparsers(dest="command", required=True)
    add_page_commands(commands)
    summary = commands.add_parser("summary", help="print the claims of evidence files as a Markdown table")
    summary.add_argument("evidence", type=Path, nargs="*", default=[Path("reports/evidence.json")], help="default: reports/evidence.json")
    summary.add_argument("--model", action="append", default=[], help="only this model's column; repeatable, in this order")
    summary.add_argument("--match", default="", metavar="TEXT", help="only claims whose task or statement contains this text")
    summary.set_defaults(run=_summary)
    add_export_command(commands)
    add_cost_command(commands)
    _add_drift_commands(commands)
    add_reproduce_command(commands)
    models = commands.add_parser("models", help="list the embedded models and the circuits recorded for them")
    models.set_defaults(run=_models)
    add_explore_command(commands)
    add_watch_command(commands)
    support = commands.add_parser("support", help="try every primitive on every layout and print what works (half a minute on two cores)")
    support.add_argument("-o", "--output", type=Path, help="write the table there (docs/support.md)")
    support.set_defaults(run=_support)
    _add_calibrate(commands)
    add_circuit_commands(commands)
    prefetch = commands.add_parser("prefetch", help="fetch hub models into the local cache (the only command that uses the network)")
    prefetch.add_argument("model", nargs="*", help="hub ids with an optional @revision")
    prefetch.add_argument("--revision", help="commit, tag or branch of the models named")
    prefetch.add_argument(
        "--claims", nargs=argparse.REMAINDER, default=[],
        help="also what claims need; whatever follows selects them, as for pytest: paths, -k, --mech-model, ...",
    )  # fmt: skip
    prefetch.set_defaults(run=_prefetch)
    verify = commands.add_parser("verify", help="run the shipped claims; options of pytest and of mechcheck (--mech-...) are passed on")
    verify.set_defaults(run=_verify)
    return parser


def _add_calibrate(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    from mechcheck.verdicts.case import PROFILES

    calibrate = commands.add_parser("calibrate", help="plant claims that are known to be true or false, and count how verdicts come out")
    calibrate.add_argument("model", nargs="*", help="as in --mech-model (default: all embedded models)")
    calibrate.add_argument("--profile", action="append", choices=PROFILES, help="repeatable (default: all of them)")
    calibrate.add_argument("--claims", type=int, default=8000, metavar="N", help="null claims for each profile (default: %(default)s)")
    calibrate.add_argument("--seed", type=int, default=0, metavar="N", help="of prompts, claims and samples (default: %(default)s)")
    calibrate.add_argument("--population", type=int, default=2400, metavar="N", help="prompts, whose mean is true (default: %(default)s)")
    calibrate.add_argument("--device", default="cpu", help="cpu, cuda, cuda:N or mps (default: %(default)s)")
    calibrate.add_argument("-o", "--out", type=Path, default=Path("reports"), help="for calibration.json and .html (default: %(default)s)")
    add_sharing(calibrate)
    calibrate.set_defaults(run=_calibrate)


def _add_drift_commands(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    compare = commands.add_parser("compare", help="what changed between two runs, told from noise by pairing their prompts")
    compare.add_argument("baseline", type=Path, help="the earlier evidence, with its samples/ beside it")
    compare.add_argument("evidence", type=Path, help="the later evidence, with its samples/ beside it")
    compare.add_argument("--margin", type=_fraction, help="negligible below this fraction of the effect (default: 0.05)")
    compare.add_argument("--rename", metavar="OLD=NEW", help="the baseline's model OLD is called NEW in the evidence")
    compare.add_argument("--fail-on", metavar="LIST", default="drifted,flipped,missing", help="exit with 1 on these (default: %(default)s)")
    compare.add_argument("--json", action="store_true", help="print the comparison as JSON")
    compare.add_argument("--page", type=Path, metavar="FILE", help="also draw the evidence as an HTML page that shows the comparison")
    compare.set_defaults(run=_compare)
    accept = commands.add_parser("accept", help="record why a claim's change since the baseline is accepted, beside the baseline")
    accept.add_argument("claim", help="its id, as the comparison shows it")
    accept.add_argument("--why", required=True, help="the reason")
    accept.add_argument("--evidence", type=Path, default=Path("reports/evidence.json"), help="the changed run (default: %(default)s)")
    accept.add_argument("--baseline", type=Path, help="default: the one that the run was compared with")
    accept.set_defaults(run=_accept)


def _fraction(text: str) -> float:
    value = float(text)
    if not 0 < value < 1:
        raise argparse.ArgumentTypeError(f"a margin is a fraction of the effect, between 0 and 1, not {text}")
    return value


def _compare(chosen: argparse.Namespace) -> int:
    import json

    from mechcheck.evidence.accepted import read_accepted
    from mechcheck.evidence.compare import compare
    from mechcheck.evidence.drift import MARGIN
    from mechcheck.evidence.drift_text import report_lines
    from mechcheck.evidence.runs import folder_of, read_baseline, read_run, renamed
    from mechcheck.evidence.status import CHANGES, failing_changes, words_among

    fail_on = words_among(chosen.fail_on, CHANGES)
    before, after = read_baseline(chosen.baseline), read_run(chosen.evidence)
    if chosen.rename:
        old, sign, new = chosen.rename.partition("=")
        if not (old and sign and new):
            raise MechcheckError(f"--rename takes OLD=NEW, not {chosen.rename!r}")
        before = renamed(before, old, new)
    found = compare(before, after, fraction=chosen.margin or MARGIN, accepted=read_accepted(chosen.baseline))
    claims = [claim | {"drift": found.drift.get(name)} for name, claim in after.claims.items()]
    evidence = {"run": after.run | {"baseline": found.baseline}, "claims": claims}
    if chosen.page:
        draw(evidence, folder_of(chosen.evidence), chosen.page)
    if chosen.json:
        print(json.dumps(found._asdict(), indent=1, ensure_ascii=False, allow_nan=False))
    else:
        print("\n".join(report_lines(claims, found.baseline)))
    failing = failing_changes(evidence, fail_on)
    if failing:
        print(f"mechcheck: failed by {', '.join(failing)}", file=sys.stderr)
    return 1 if failing else 0


def _accept(chosen: argparse.Namespace) -> None:
    from mechcheck.evidence.accepted import accept, read_accepted
    from mechcheck.evidence.compare import compare
    from mechcheck.evidence.drift import MARGIN, margin_of
    from mechcheck.evidence.runs import read_baseline, read_run

    after = read_run(chosen.evidence)
    compared = after.run.get("baseline")
    path = chosen.baseline or (compared and Path(compared["file"]))
    if path is None:
        raise MechcheckError(f"{chosen.evidence} was not compared with a baseline; name it with --baseline FILE")
    before, fraction = read_baseline(path), compared["margin"] if compared else MARGIN
    found = compare(before, after, fraction=fraction, accepted=read_accepted(path))
    missing = {claim["id"]: claim for claim in found.baseline["missing"]}
    name = chosen.claim
    if name not in found.drift and name not in missing:
        raise MechcheckError(_unknown_claim(name, [*found.drift, *missing], path))
    if name in found.drift and found.drift[name]["status"] == "same":
        raise MechcheckError(f"{name} is the same as in {path}: there is nothing to accept")
    now = after.claims.get(name)
    statement = (now or before.claims[name])["statement"]
    margins = {e["label"]: margin_of(e["estimate"]["value"], e["threshold"], fraction) for e in (now["expectations"] if now else [])}
    status = found.drift[name]["status"] if name in found.drift else "missing"
    print(f"{name} ({status}) is accepted in {accept(path, name, statement, chosen.why, now, margins)}")


def _unknown_claim(name: str, known: Sequence[str], path: Path) -> str:
    import difflib

    near = difflib.get_close_matches(name, known, 3, 0.4) or [other for other in known if name in other][:3]
    return f"no claim {name!r} was compared with {path}" + (f"; did you mean {' or '.join(near)}?" if near else "")


def _summary(chosen: argparse.Namespace) -> None:
    from mechcheck.evidence.runs import read_evidence
    from mechcheck.evidence.summary import markdown

    print(markdown([read_evidence(path) for path in chosen.evidence], chosen.model, match=chosen.match))


def _models(chosen: argparse.Namespace) -> None:
    from mechcheck.circuits.recorded import models_with_circuit
    from mechcheck.compiled import blueprint, compiled_models, task_of
    from mechcheck.models.names import embedded_models
    from mechcheck.tasks.registry import task_names

    for name in embedded_models():
        if name in compiled_models():
            roles = "; ".join(f"{role} {sites}" for role, sites in blueprint(name).circuit_roles.items())
            print(f"{name}\n  compiled for: {task_of(name)}\n  known circuit: {roles}")
            continue
        tasks = [task for task in task_names() if name in models_with_circuit(task)]
        print(f"{name}\n  circuits: {', '.join(tasks) or 'none'}\n  card: {data_dir('fixtures') / 'models' / name / 'README.md'}")


def _verify(chosen: argparse.Namespace) -> int:
    import pytest

    # Claims inside an installed package: no cache is left there, and paths are shown from here.
    return int(pytest.main([str(data_dir("claims")), f"--rootdir={Path.cwd()}", "-p", "no:cacheprovider", *chosen.pytest]))


def _support(chosen: argparse.Namespace) -> int:
    from mechcheck.conformance.support_table import bugs, markdown, support_table

    table = support_table(processes=os.cpu_count() or 1)
    text = markdown(table)
    print(text, end="")
    if chosen.output:
        chosen.output.write_text(text, encoding="utf-8")
    for bug in bugs(table):
        print(f"mechcheck: {bug}", file=sys.stderr)
    return 1 if bugs(table) else 0


def _calibrate(chosen: argparse.Namespace) -> None:
    import torch

    from mechcheck.base.device import repeat_exactly
    from mechcheck.conformance.calibration import LEAST, calibrate_profiles
    from mechcheck.conformance.calibration_page import page, table
    from mechcheck.evidence.store import write_json
    from mechcheck.models.names import embedded_models
    from mechcheck.verdicts.case import PROFILES

    if chosen.claims < LEAST:
        raise MechcheckError(f"--claims {chosen.claims}: at least {LEAST}, so that there are some of each kind")
    torch.set_num_threads(1)
    repeat_exactly()
    names = chosen.model or embedded_models()
    with shared_by(chosen) as executor:
        results = calibrate_profiles(
            names, chosen.profile or list(PROFILES), claims=chosen.claims, seed=chosen.seed, device=chosen.device,
            population=chosen.population, executor=executor,
        )  # fmt: skip
    print("\n".join(table(results)))
    write_json(chosen.out / "calibration.json", results)
    (chosen.out / "calibration.html").write_text(page(results), encoding="utf-8")
    print(f"{chosen.out / 'calibration.json'}   page: {chosen.out / 'calibration.html'}")


def _prefetch(chosen: argparse.Namespace) -> None:
    from mechcheck.models.loading import fetch_model

    if not (chosen.model or chosen.claims):
        raise MechcheckError("prefetch needs models, or --claims PATH... to fetch what they need")
    for name in chosen.model:
        print(f"{name}: {fetch_model(name, chosen.revision)}")
    if chosen.claims:
        from mechcheck.plugin.needs import hub_models

        for name in hub_models(chosen.claims):
            print(f"{name}: {fetch_model(name)}")
