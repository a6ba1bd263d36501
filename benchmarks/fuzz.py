"""Inputs that nobody means, by the ten thousand: `python benchmarks/fuzz.py` looks for one that ends in a raw traceback, or in nothing.

Sound inputs are changed at random (values replaced by odd ones, bytes garbled, pipes and devices put where files are), or made up, and
given to whatever reads them: circuits and graphs, evidence with its samples and baselines, directories of models and dictionaries, the
notation of sites, edges, features and interventions, prompts as tokens and as text, claims, and the options of pytest and of the command.

A crash is an exception that is none of mechcheck's own (mechcheck/base/errors.py), or, from a command, anything but an exit status with a
message; a hang is an input that takes more than 5 seconds of a core, or 30 altogether. Input number i of a room depends on the seed, the
room and i alone, so that `--room circuit --only 17` makes it again and shows the traceback.

Writes benchmarks/results/fuzz.json. 100,000 inputs take about half an hour on a core; `--inputs 2000` is a quick look.
"""

import argparse
import ast
import faulthandler
import hashlib
import json
import os
import random
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import traceback
import warnings
from collections import Counter
from pathlib import Path
from typing import Any

RESULT = Path(__file__).parent / "results" / "fuzz.json"
LIMIT = 5.0
"""Seconds of a core that an input may take; six times as many may pass, as a pipe that is waited for takes none of them."""
MEMORY = 6 << 30
"""Bytes of addresses beyond those that a worker has once everything is imported."""
# Room -> inputs of 100,000: the dearer one is, the fewer.
SHARES = {
    "sites": 45_000, "claims": 12_000, "tokens": 12_000, "written": 6_000, "circuit": 8_000, "graph": 6_000, "dictionary_dir": 4_000,
    "interventions": 3_000, "metrics": 1_200, "report": 1_500, "compare": 900, "model_dir": 250, "arguments": 100, "options": 50,
}  # fmt: skip


class Hang(BaseException):
    """An input took too long. Not an Exception, so that nothing on the way takes it for a damaged file."""


def rooms() -> dict[str, Any]:
    """Name -> what makes an input from a generator, in a folder of its own, and gives it to what reads it."""
    from fuzzing import directories, files, options, texts

    modules = (texts, files, directories, options)
    return {name: next(getattr(module, name) for module in modules if hasattr(module, name)) for name in SHARES}


def one(room: str, seed: int, number: int) -> dict[str, Any] | str:
    """What became of an input: "taken", or "refused" in words; else where it crashed, or that it hung."""
    from mechcheck.base.errors import HookError, MechcheckError, NonFiniteError

    rng = random.Random(f"{seed} {room} {number}")
    before, folder = os.getcwd(), Path(tempfile.mkdtemp(prefix="fuzz-"))
    os.chdir(folder)  # nothing is written elsewhere, and names of sockets are short
    watch(LIMIT)
    try:
        return rooms()[room](rng, folder) or "taken"
    except (MechcheckError, HookError, NonFiniteError, SystemExit):
        return "refused"
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        watch(0)
        return {"room": room, "number": number, "kind": kind_of(error), "message": f"{error!s:.300}"}
    finally:
        watch(0)
        os.chdir(before)
        shutil.rmtree(folder, ignore_errors=True)


def watch(seconds: float) -> None:
    """Raise `Hang` in that time; 0: not any more."""
    signal.setitimer(signal.ITIMER_PROF, seconds)
    signal.setitimer(signal.ITIMER_REAL, 6 * seconds)


def prepare(room: str) -> None:
    """Import and load what the room's inputs are given to, so that none of them is charged with it."""
    from fuzzing import directories, files, texts

    rooms()
    _ = texts.model(), texts.usual_prompts(), texts.dictionary(), files.evidence(), files.two_runs()
    if room == "model_dir":
        for directory in directories.model_dirs():
            texts.m.load_model(directory, offline=True)


def kind_of(error: BaseException) -> str:
    """Two crashes are of one kind where the same exception comes from the same line of mechcheck's."""
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if f"{os.sep}mechcheck{os.sep}" in frame.filename]
    where = f"{Path(frames[-1].filename).parent.name}/{Path(frames[-1].filename).name}:{frames[-1].lineno}" if frames else "elsewhere"
    return f"{type(error).__name__} at {where}"


def work(room: str, seed: int, first: int, last: int, sandbox: Path) -> None:
    """Some inputs, one after the other: a line with the number of each that is begun, and one that says what became of it."""
    for one_of in (signal.SIGALRM, signal.SIGPROF):
        signal.signal(one_of, _hangs)
    warnings.simplefilter("ignore")
    tempfile.tempdir = str(sandbox)
    prepare(room)
    held = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (held + MEMORY, held + MEMORY))
    resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 41, 1 << 41))
    out = os.fdopen(os.dup(1), "w", buffering=1)
    for number in range(first, last):
        out.write(f"{number}\n")
        faulthandler.dump_traceback_later(8 * LIMIT, exit=True)  # where Python itself is not asked any more
        found = one(room, seed, number)
        faulthandler.cancel_dump_traceback_later()
        out.write((found if isinstance(found, str) else json.dumps(found)) + "\n")


def _hangs(*_: Any) -> None:
    raise Hang(f"more than {LIMIT:g} s of a core, or {6 * LIMIT:g} s altogether")


def run(room: str, seed: int, count: int, sandbox: Path, until: float, words: Counter[str]) -> tuple[int, list[dict[str, Any]]]:
    """A room's inputs in a process of their own, and in another one from the next input on where it dies; how many, and what they found.

    `words` counts those that were taken, and those that were refused.
    """
    found: list[dict[str, Any]] = []
    number = 0
    while number < count and time.monotonic() < until:
        command = [
            sys.executable,
            __file__,
            "--room",
            room,
            "--seed",
            str(seed),
            "--from",
            str(number),
            "--to",
            str(count),
            "--sandbox",
            str(sandbox),
        ]
        environment = os.environ | {"HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1", "TRANSFORMERS_VERBOSITY": "error", "TQDM_DISABLE": "1"}
        worker = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env=environment
        )
        assert worker.stdout is not None
        last = number - 1
        for line in worker.stdout:
            if line.strip().isdigit():
                last = int(line)
            elif line.startswith("{"):
                found.append(json.loads(line))
            else:
                words[line.strip()] += 1
            if time.monotonic() > until:
                worker.terminate()
                return last + 1, found
        if worker.wait() == 0:
            return count, found
        if last < number:
            raise SystemExit(f"the worker of {room} dies before its first input; see it with --room {room} --only 0")
        found.append({"room": room, "number": last, "kind": f"the process died ({worker.returncode})", "message": ""})
        number = last + 1
    return number, found


def save(seed: int, rows: dict[str, dict[str, int]], finds: list[dict[str, Any]]) -> None:
    """Write what was found; rooms that were not run now are kept as they were, if their inputs are made in the same way."""
    sources = [ast.dump(ast.parse(path.read_text(encoding="utf-8"))) for path in sorted(Path(__file__).parent.glob("fuzzing/*.py"))]
    digest = hashlib.sha256("".join(sources).encode()).hexdigest()[:16]
    known = json.loads(RESULT.read_text(encoding="utf-8")) if RESULT.is_file() else {}
    if known.get("generators") == digest and known.get("seed") == seed:
        rows = {room: row for room in SHARES if (row := (known["rooms"] | rows).get(room))}
        finds = [one for one in known["finds"] if one["room"] not in rows or one["room"] not in {find["room"] for find in finds}] + finds
        finds = [one for one in finds if rows[one["room"]]["crashes"] + rows[one["room"]]["hangs"]]
    totals = {key: sum(row[key] for row in rows.values()) for key in ("inputs", "refused", "crashes", "hangs")}
    told = {"seed": seed, "limit_s": LIMIT, "generators": digest, **totals, "rooms": rows, "finds": finds}
    RESULT.write_text(json.dumps(told, indent=1) + "\n", encoding="utf-8")


def _parsed() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--inputs", type=int, default=100_000, metavar="N", help="in all rooms (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0, metavar="N")
    parser.add_argument("--seconds", type=float, default=float("inf"), metavar="S", help="stop each room after this time")
    parser.add_argument("--room", action="append", choices=SHARES, help="only these; repeatable")
    parser.add_argument("--only", type=int, metavar="I", help="make one input of the room again, and show what it raises")
    parser.add_argument("--save", action="store_true", help="write benchmarks/results/fuzz.json")
    for name in ("--from", "--to", "--sandbox"):
        parser.add_argument(name, help=argparse.SUPPRESS, dest=name.strip("-") + "_")
    return parser.parse_args()


def main() -> int:
    """Run the rooms, and print what they found."""
    asked = _parsed()
    if asked.only is not None:
        signal.signal(signal.SIGALRM, _hangs)
        rng, folder = random.Random(f"{asked.seed} {asked.room[0]} {asked.only}"), Path(tempfile.mkdtemp(prefix="fuzz-"))
        os.chdir(folder)
        rooms()[asked.room[0]](rng, folder)
        return 0
    if asked.from_ is not None:
        work(asked.room[0], asked.seed, int(asked.from_), int(asked.to_), Path(asked.sandbox_))
        return 0
    rows, finds, began = {}, [], time.monotonic()
    for room in asked.room or SHARES:
        share = max(1, round(asked.inputs * SHARES[room] / sum(SHARES.values())))
        start = time.monotonic()
        with tempfile.TemporaryDirectory(prefix="fuzz-", ignore_cleanup_errors=True) as sandbox:
            words: Counter[str] = Counter()
            n, found = run(room, asked.seed, share, Path(sandbox), start + asked.seconds, words)
        hangs = [one for one in found if one["kind"].startswith("Hang") or "died" in one["kind"]]
        kinds = Counter(one["kind"] for one in found)
        rows[room] = {
            "inputs": n,
            "refused": words["refused"],
            "crashes": len(found) - len(hangs),
            "hangs": len(hangs),
            "kinds": len(kinds),
            "seconds": round(time.monotonic() - start),
        }
        finds += found
        print(
            f"{room:15} {n:7,} inputs  {words['refused']:6,} refused  "
            f"{len(found) - len(hangs):5} crashes of {len(kinds)} kinds  {len(hangs)} hangs",
            flush=True,
        )
        for kind, count in kinds.most_common():
            print(f"    {count:5} {kind}   e.g. {next(one for one in found if one['kind'] == kind)['number']}", flush=True)
    print(f"{sum(row['inputs'] for row in rows.values()):,} inputs in {time.monotonic() - began:.0f} s: {len(finds)} crashes or hangs")
    if asked.save:
        save(asked.seed, rows, finds)
    return 1 if finds else 0


if __name__ == "__main__":
    sys.exit(main())
