"""What a run's verdicts depend on, so that another can go on with it only where all of it is the same."""

from collections.abc import Iterable, Mapping
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from mechcheck.base.errors import MechcheckError
from mechcheck.base.outgoing import outgoing
from mechcheck.circuits.recorded import circuit_folders
from mechcheck.evidence.record import Record
from mechcheck.evidence.unfinished.resuming import Interrupted, differences
from mechcheck.models.names import place_of
from mechcheck.plugin.settings import Settings
from mechcheck.plugin.watch.imports import made_of


def inputs(records: Iterable[Record], settings: Settings, root: Path, versions: Mapping[str, str]) -> dict[str, Any]:
    """The run's `inputs`, as the evidence schema has them.

    Args:
        records: of the claims that are to be run.
        root: pytest's, below which their files lie.
        versions: of what measures.
    """
    options = {
        "seed": settings.seed, "profile": settings.profile, "decoys": settings.decoys, "budget": settings.budget, "device": settings.device,
        "dtypes": ",".join(settings.dtypes), "threads": settings.threads, "fdr": settings.fdr, "prompts": settings.prompts,
        "models": ",".join(settings.models), "circuits": settings.circuits and str(settings.circuits),
        "strict": ",".join(sorted(settings.strict)),
    }  # fmt: skip
    places = {(root / record["nodeid"].partition("::")[0], record["task"]) for record in records}
    files = {path for file in {file for file, _ in places} for path in made_of(file, root)}
    for folder in {folder for file, task in places if task for folder in circuit_folders(task, file.parent, settings.circuits)}:
        files |= set(folder.glob("*.toml"))
    found = {_named(path, root): sha256(path.read_bytes()).hexdigest() for path in sorted(files)}
    return outgoing({"options": {name: str(value) for name, value in options.items()}, "versions": dict(versions), "files": found})


def take_over(resumed: Interrupted, now: Mapping[str, Any], given: tuple[str, ...]) -> None:
    """Put what an interrupted run had decided where this one's is put.

    Args:
        now: this run's `inputs`.
        given: the models of --mech-model.

    Raises:
        UsageError: that run is another; everything is as it was.
    """
    found = differences(resumed.run.get("inputs"), now) or other_models(resumed.records.values(), given)
    if found:
        resumed.leave()
        raise pytest.UsageError(f"--mech-resume: the interrupted run is another: {'; '.join(found)}. Leave it out to run all anew")
    resumed.lay_out()


def other_models(records: Iterable[Record], given: tuple[str, ...]) -> list[str]:
    """Which models' weights are not those that the records were made with, in words."""
    from mechcheck.models.loading import stored_weights

    known = {record["model"]["name"]: record["model"]["weights_sha256"] for record in records if record["model"]}
    found = []
    for name, sha in sorted(known.items()):
        try:
            now = stored_weights(place_of(name, given))
        except MechcheckError:  # a test's own fixture may have made it in memory
            continue
        if now != sha:
            found.append(f"the weights of {name} have changed")
    return found


def _named(path: Path, root: Path) -> str:
    return path.relative_to(root).as_posix() if root in path.parents else path.name
