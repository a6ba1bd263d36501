"""Where recorded circuits are looked for, and of which models there are some. Needs no torch: claims are listed by this."""

from pathlib import Path

from mechcheck.base.paths import data_dir
from mechcheck.base.reading import read_toml


def circuit_file(model_name: str) -> str:
    """The name of a model's circuit file; a hub id's slash is written as two hyphens."""
    return model_name.replace("/", "--") + ".toml"


def circuit_path(task: str, model_name: str, near: Path | None = None, given: Path | None = None) -> Path | None:
    """The recorded circuit of a model for a task, from the first of `circuit_folders` that has one.

    A directory called as the last part of a hub id ("pythia-410m") takes that model's file, whose hash tells whether it fits.
    """
    folders, file = circuit_folders(task, near, given), circuit_file(model_name)
    exact = [folder / file for folder in folders if (folder / file).is_file()]
    copies = [] if exact or "/" in model_name else [path for folder in folders for path in sorted(folder.glob(f"*--{file}"))]
    return next(iter([*exact, *copies]), None)


def models_with_circuit(task: str, near: Path | None = None, given: Path | None = None) -> tuple[str, ...]:
    """Names of the models that have a recorded circuit for a task."""
    folders = circuit_folders(task, near, given)
    return tuple(sorted({path.stem.replace("--", "/") for folder in folders for path in folder.glob("*.toml")}))


def circuit_folders(task: str, near: Path | None = None, given: Path | None = None) -> list[Path]:
    """Where circuits for a task are looked for: beside the claim, in the folder that was given, among the shipped ones.

    Args:
        task: the claim's task.
        near: the claim's folder; `circuits/` in it comes first.
        given: a folder as `mechcheck discover` fills it: <claims folder>/<model>.toml. For shipped claims it has what is found
            under their own folder's name ("studies/ioi"), which comes before all others, and under their task.
    """
    shipped = data_dir("claims")
    own = [given / near.relative_to(shipped)] if given and near and near.is_relative_to(shipped) else []
    beside = [near / "circuits"] if near else []
    found = [given / task] if given else []
    return list(dict.fromkeys([*own, *beside, *found, shipped / task / "circuits"]))


def roles_at(path: Path) -> frozenset[str]:
    """The roles that a circuit's file has, for whoever wants no more of it; none where it cannot be read."""
    try:
        roles = read_toml(path).get("roles")
    except (OSError, ValueError):
        return frozenset()
    return frozenset(roles if isinstance(roles, dict) else ())
