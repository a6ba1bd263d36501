"""Where the embedded models, prompt data and shipped circuits lie: in the package (wheel) or beside it (clone); and writing elsewhere."""

from pathlib import Path

from mechcheck.base.errors import MechcheckError

_PACKAGE = Path(__file__).resolve().parents[1]


def data_dir(name: str) -> Path:
    """The folder `name` ("fixtures" or "claims"), inside an installed wheel or beside the package in a clone."""
    inside = _PACKAGE / name
    return inside if inside.is_dir() else _PACKAGE.parent / name


def trained_models() -> tuple[str, ...]:
    """Names of the trained models that come with mechcheck."""
    return tuple(sorted(p.parent.name for p in (data_dir("fixtures") / "models").glob("*/config.json")))


def embedded_dictionaries() -> dict[str, Path]:
    """Name -> directory, of the dictionaries that come with mechcheck."""
    return {p.parent.name: p.parent for p in sorted((data_dir("fixtures") / "dictionaries").glob("*/cfg.json"))}


def write_text(path: Path, text: str) -> Path:
    """Write a file that a user asked for, and the folders to it where they are not there.

    Raises:
        MechcheckError: it cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise MechcheckError(f"cannot write {path}: {error.strerror or error}") from None
    return path
