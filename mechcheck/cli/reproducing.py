"""`mechcheck reproduce`: somebody's evidence measured again, on this machine, and compared with what it says."""

import argparse
import os
import shlex
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

from mechcheck.base.errors import MechcheckError
from mechcheck.base.reading import is_dir
from mechcheck.base.text import shorten

Json = dict[str, Any]

_FROM_COMMAND = ("--mech-dtype", "--mech-budget")
"""Options that the run has not in fields of its own, and a claim's command has."""
_SHOWN = 12


def add_reproduce_command(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """`reproduce`."""
    parser = commands.add_parser(
        "reproduce", help="measure again what somebody's evidence says, and tell of each claim whether it is the same"
    )
    parser.add_argument("evidence", type=Path, help="the evidence, with its samples/ beside it")
    parser.add_argument(
        "--root", type=Path, default=Path(), metavar="DIR", help="where the claims' files lie as the evidence names them (default: here)"
    )
    parser.add_argument(
        "--model", action="append", default=[], metavar="PLACE",
        help="where one of the models is to be had, if not under its own name: a directory called like it; repeatable",
    )  # fmt: skip
    parser.add_argument("--circuits", metavar="DIR", help="circuits that the run took from a folder of its own (--mech-circuits)")
    parser.add_argument("--device", help="default: the evidence's")
    parser.add_argument("-n", dest="processes", default="0", metavar="N", help="processes, as with pytest (default: %(default)s)")
    parser.add_argument(
        "-o", "--out", type=Path, default=Path("reproduced"), metavar="DIR", help="for the new evidence (default: %(default)s)"
    )
    parser.set_defaults(run=_reproduce)


def _reproduce(chosen: argparse.Namespace) -> int:
    from mechcheck.evidence.runs import read_baseline, read_evidence

    before = read_baseline(chosen.evidence)
    run, claims = before.run, [claim for claim in before.claims.values() if claim["verdict"] != "skipped"]
    if not claims:
        raise MechcheckError(f"{chosen.evidence} has no claim that was measured")
    if not is_dir(chosen.root):
        raise MechcheckError(f"--root {chosen.root}: there is no such folder")
    files, absent = _files(chosen.root, claims)
    if not files:
        named = ", ".join(sorted(absent)[:3])
        raise MechcheckError(f"none of the claims' files is here ({named}): check out the claims, and name their folder with --root DIR")
    places = {name: _place(name, revision, chosen.model) for name, revision in _models(claims, _asked(run)).items()}
    print(f"{chosen.evidence}: {len(claims)} claims, made {run['created']}, profile {run['profile']}, seed {run['seed']}, {run['device']}")
    for line in (*_different_versions(run, chosen.root), *_different_weights(claims, places)):
        print(f"differs   {line}")
    for name, n in sorted(absent.items()):
        print(f"not here  {name} ({n} claims)")
    sys.stdout.flush()
    _measure(chosen, run, claims, files, places)
    made = read_evidence(chosen.out)
    return _tell(before.claims, made, chosen.out)


def _files(root: Path, claims: Sequence[Json]) -> tuple[list[str], Counter[str]]:
    """The claims' files that are here, and how many claims are in each of the others.

    Evidence can come from anywhere and must not say what is run: only what lies under the folder that was named.
    """
    here: list[str] = []
    counts = Counter(str(claim["nodeid"]).partition("::")[0] for claim in claims)
    for name in counts:
        path = PurePosixPath(name)
        if not path.is_absolute() and ".." not in path.parts and not name.startswith("-") and os.path.isfile(root / name):
            here.append(name)
    return here, Counter({name: n for name, n in counts.items() if name not in here})


def _asked(run: Json) -> list[str]:
    """The models that the run was asked for, by name."""
    return [*(run.get("selection") or {}).get("models", ())]


def _models(claims: Sequence[Json], asked: Sequence[str]) -> dict[str, str | None]:
    """The models that claims were given, and the revision of each: by the run, by a grid, or for their seeds; not those that a claim
    made itself, which nothing names."""
    from mechcheck.evidence.grids.models import all_models, axis_of_models
    from mechcheck.models.names import embedded_models

    known = {*asked, *embedded_models()}
    found = ((claim, model) for claim in claims for model in all_models(claim))
    given = (one for claim, one in found if one["name"] in known or one["name"] in axis_of_models(claim) or one["name"] in claim["nodeid"])
    return {model["name"]: model["revision"] for model in given}


def _place(name: str, revision: str | None, given: Sequence[str]) -> str:
    from mechcheck.models.names import place_of

    place = place_of(name, given)
    if place == name and (name.startswith((".", "/", "~", "-")) or "\\" in name):
        raise MechcheckError(f"the evidence calls a model {name!r:.80}, which is no name of one: say where it is with --model DIR")
    return f"{name}@{revision}" if place == name and revision else place


def _different_versions(run: Json, root: Path) -> Iterator[str]:
    from mechcheck.plugin.session import git_state, versions

    there, here = run["versions"], versions()
    for package in sorted({*there, *here}):
        if there.get(package) != here.get(package):
            yield f"{package}: {there.get(package, 'none')} there, {here.get(package, 'none')} here"
    commit, dirty = git_state(root)
    if run["commit"] != commit:
        yield f"commit of the claims: {run['commit'] or 'none'} there, {commit or 'none'} here"
    for where, changed in (("there", run["dirty"]), ("here", dirty)):
        if changed:
            yield f"changes that were not committed {where}"


def _different_weights(claims: Sequence[Json], places: dict[str, str]) -> Iterator[str]:
    from mechcheck.evidence.grids.models import all_models
    from mechcheck.models.loading import stored_weights

    for name, place in places.items():
        there = {model["weights_sha256"] for claim in claims for model in all_models(claim) if model["name"] == name}
        here = stored_weights(place)
        if there != {here}:
            yield f"weights of {name}: {', '.join(sorted(there))} there, {here} here"


def _measure(chosen: argparse.Namespace, run: Json, claims: Sequence[Json], files: list[str], places: dict[str, str]) -> None:
    """Run pytest on the claims' files, as the run was made, on the evidence's claims alone.

    Raises:
        MechcheckError: pytest ended without evidence.
    """
    from mechcheck.evidence.store import FILE

    asked = [name for name in _asked(run) if name in places]
    options = [
        f"--mech-profile={run['profile']}", f"--mech-seed={run['seed']}", f"--mech-device={chosen.device or run['device']}",
        f"--mech-baseline={chosen.evidence.resolve()}", "--mech-baseline-only", f"--mech-report={chosen.out.resolve()}",
        *(f"--mech-model={places[name] if not is_dir(Path(places[name])) else Path(places[name]).resolve()}" for name in asked),
        *_as_it_was(chosen, run, claims),
    ]  # fmt: skip
    out = chosen.out / FILE
    stamp = out.stat().st_mtime_ns if out.is_file() else None
    command = [sys.executable, "-m", "pytest", *files, "--rootdir=.", "-p", "no:randomly", "-p", "no:cacheprovider", "-q", *options]
    if chosen.processes != "0":
        command += ["-n", chosen.processes]
    with tempfile.TemporaryFile() as printed:
        status = subprocess.run(command, cwd=chosen.root, stdout=printed, stderr=subprocess.STDOUT, check=False).returncode
        if out.is_file() and out.stat().st_mtime_ns != stamp:
            return
        printed.seek(0)
        told = printed.read().decode(errors="replace")[-4000:]
    raise MechcheckError(f"pytest came to no evidence (exit status {status}):\n{told}")


def _as_it_was(chosen: argparse.Namespace, run: Json, claims: Sequence[Json]) -> Iterator[str]:
    """Options of the run that its fields do not have."""
    words = [word for claim in claims[:1] for word in _words(claim["command"])]
    given = dict(word.partition("=")[::2] for word in words if word.startswith("--mech-"))
    for name in _FROM_COMMAND:
        if (value := given.get(name, "")) and value.replace(",", "").isalnum():
            yield f"{name}={value}"
    if (fdr := (run.get("multiplicity") or {}).get("fdr")) is not None:
        yield f"--mech-fdr={fdr:g}"
    if chosen.circuits is not None:
        yield f"--mech-circuits={os.path.abspath(chosen.circuits)}"
    elif "--mech-circuits" in given:
        raise MechcheckError("the run took circuits from a folder of its own: get that folder too, and name it with --circuits DIR")


def _words(command: str) -> list[str]:
    try:
        return shlex.split(command)
    except ValueError:
        return []


def _tell(before: Any, made: Json, out: Path) -> int:
    """Every claim with what became of it, the changed ones last, where they are seen."""
    from mechcheck.evidence.drift_text import SYMBOLS, report_lines

    baseline, claims = made["run"]["baseline"], made["claims"]
    if baseline is None:
        raise MechcheckError(f"{out} was not compared: no claim was measured")
    for claim in claims:
        if claim["drift"] and claim["drift"]["status"] == "same":
            print(f"{SYMBOLS['same']} {'same':<13}{claim['id']}  {shorten(claim['drift']['reason'], 100)}")
    for line in report_lines(claims, baseline):
        print(line)
    same = sum(1 for claim in claims if claim["drift"] and claim["drift"]["status"] == "same")
    print(f"reproduced: {same} of {baseline['n']} claims are the same   evidence: {out}")
    return 0 if same == baseline["n"] else 1
