"""The ledger: a line for each claim of each run, added and never rewritten, so that trying again leaves a trace."""

import json
import os
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import suppress
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

LEDGER = "ledger.jsonl"
MOVES = 10
"""Changes of what is demanded that a reader is shown: the latest."""

Json = dict[str, Any]
_HEAD, _NEXT = b'{"claim": ', b', "run": '


class _Try(NamedTuple):
    """What is remembered of a line, in the order of which tries of a claim are told."""

    created: str
    seed: int
    commit: str | None
    verdict: str
    regions: list[list[float | None]]


def remember(folder: Path, run: Json, claims: Sequence[Json]) -> str | None:
    """Add this run to the ledger in a folder, and say in each claim's `tries` how often it was tried, this run included.

    A run is never lost for the ledger's sake.

    Args:
        folder: where the evidence goes.
        run: the run's record; with an `id` of its own.
        claims: the records; those that were skipped are no tries.

    Returns:
        What stood in the way of remembering them; None where nothing did.
    """
    path, problem = folder / LEDGER, None
    new = [_entry(run, claim) for claim in claims if claim["verdict"] != "skipped"]
    try:
        append(path, new)
    except OSError as error:
        problem = (
            f"the tries of this run are not remembered: {path} cannot be written ({error.strerror or error}); "
            "make it writable, or choose another folder with --mech-report"
        )
    known: dict[str, dict[str, _Try]] = {}
    for name, number, one in [*_read(path, {claim["id"] for claim in claims}), *filter(None, map(_parsed, new))]:
        known.setdefault(name, {})[number] = one  # a line that came twice, as where ledgers were put together, is one try
    for claim in claims:
        tries = known.get(claim["id"])
        claim["tries"] = None if tries is None else _summary(sorted(tries.values(), key=lambda one: one.created))
    return problem


def append(path: Path, entries: Iterable[Json]) -> None:
    """Add lines at the end, all at once, whoever else adds some at the same time; a line that a killed run left torn is ended first.

    Raises:
        OSError: the file cannot be written.
    """
    data = "".join(json.dumps(entry, allow_nan=False) + "\n" for entry in entries).encode()
    if not data:
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    handle = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT | getattr(os, "O_BINARY", 0), 0o666)
    try:
        _lock(handle)
        if os.lseek(handle, 0, os.SEEK_END):
            os.lseek(handle, -1, os.SEEK_END)
            if os.read(handle, 1) != b"\n":
                data = b"\n" + data
        while data:
            data = data[os.write(handle, data) :]
    finally:
        os.close(handle)  # which gives the lock back


def _lock(handle: int) -> None:
    """Wait until nobody else adds lines; where files cannot be locked, a single write is still not torn apart by another's."""
    with suppress(ImportError, OSError):
        import fcntl

        fcntl.flock(handle, fcntl.LOCK_EX)


def _entry(run: Json, claim: Json) -> Json:
    """A claim's line. Readers look for the id at its beginning, so it comes first, and the run's behind it."""
    deciding = None if claim["deciding"] is None else claim["expectations"][claim["deciding"]]
    return {
        "claim": claim["id"],
        "run": run["id"],
        **{key: run[key] for key in ("created", "seed", "profile", "commit", "dirty")},
        "verdict": claim["verdict"],
        "met": claim["met"],
        "sampling": _sampling(claim.get("sampling")),
        "deciding": None if deciding is None else _deciding(deciding),
        "regions": [expectation["region"] for expectation in claim["expectations"]],
    }


def _sampling(sampling: Json | None) -> Json | None:
    """How far a claim had to draw."""
    if sampling is None:
        return None
    looks = sampling["looks"]
    return {"budget": sampling["budget"], "prompts": looks[-1]["prompts"], "looks": len(looks), "stopped": sampling["stopped"]}


def _deciding(expectation: Json) -> Json:
    estimate = expectation["estimate"]
    return {
        "label": expectation["label"],
        "region": expectation["region"],
        **{key: estimate[key] for key in ("value", "low", "high", "n")},
        "p": expectation["p"],
    }


def _read(path: Path, wanted: Collection[str]) -> Iterator[tuple[str, str, _Try]]:
    """Claim, run and what is remembered of each line about one of these claims; lines that are none are passed over."""
    heads = {json.dumps(name).encode() for name in wanted}
    with suppress(OSError), path.open("rb") as lines:
        for line in lines:
            if line.startswith(_HEAD) and line[len(_HEAD) : line.find(_NEXT)] not in heads:
                continue  # without parsing it: most lines of a long ledger are about other claims
            with suppress(ValueError):
                if (found := _parsed(json.loads(line))) is not None and found[0] in wanted:
                    yield found


def _parsed(entry: Any) -> tuple[str, str, _Try] | None:
    try:
        one = _Try(entry["created"], entry["seed"], entry["commit"], entry["verdict"], entry["regions"])
        return entry["claim"], entry["run"], one
    except (KeyError, TypeError):
        return None


def _summary(tries: Sequence[_Try]) -> Json:
    """A claim's `tries`, as the evidence schema has it."""
    moves = list(_moves(tries))
    return {
        "n": len(tries),
        "first": tries[0].created,
        "last": tries[-1].created,
        "seeds": sorted({one.seed for one in tries}),
        "commits": len({one.commit for one in tries if one.commit is not None}),
        "verdicts": dict(Counter(one.verdict for one in tries).most_common()),
        "moved": len(moves),
        "moves": [change for changes in moves for change in changes][-MOVES:],
    }


def _moves(tries: Sequence[_Try]) -> Iterator[list[Json]]:
    """The changes of each try that demanded something else than the one before; an error may have come before all was demanded."""
    told = [one for one in tries if one.verdict != "errored"]
    for earlier, later in pairwise(told):
        if earlier.regions == later.regions:
            continue
        places = range(max(len(earlier.regions), len(later.regions)))
        pairs = [(i, *(side.regions[i] if i < len(side.regions) else None for side in (earlier, later))) for i in places]
        yield [{"created": later.created, "check": i, "before": before, "after": after} for i, before, after in pairs if before != after]
