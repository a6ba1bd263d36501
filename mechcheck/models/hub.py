"""The hub, and the local cache of what came from it."""

import hashlib
import re
from pathlib import Path

from mechcheck.base.errors import ModelError
from mechcheck.base.reading import check_file

_SAFE_FILES = ["*.safetensors", "*.safetensors.index.json", "*.json", "*.txt", "*.model"]


class HubError(Exception):
    """Why a repository cannot be had."""


def snapshot(name: str, revision: str | None, offline: bool) -> Path:
    """The local copy of a repository, fetched unless `offline`, without pickles.

    Raises:
        HubError: there is none.
        ModelError: it is damaged.
    """
    from huggingface_hub import snapshot_download

    try:
        directory = Path(snapshot_download(name, revision=revision, allow_patterns=_SAFE_FILES, local_files_only=offline))
    except (OSError, ValueError) as error:  # huggingface_hub's errors derive from these
        first_line = (str(error).strip().splitlines() or [type(error).__name__])[0]
        why = "it is not in the local cache and this run is offline" if offline else f"the hub answered: {first_line}"
        raise HubError(why) from error
    _check_downloaded(directory, name)
    return directory


def _check_downloaded(directory: Path, name: str) -> None:
    """Compare large files with the SHA-256 that the hub gave them, which is what its cache calls them by."""
    for path in sorted(directory.glob("*.safetensors")):
        stored = path.resolve()
        if re.fullmatch(r"[0-9a-f]{64}", stored.name) and sha256(stored).hexdigest() != stored.name:
            raise ModelError(
                f"{path.name} of {name!r} in the local cache is damaged: its SHA-256 is not the one the hub gave. "
                f"Delete it ({stored}) and fetch it again (mechcheck prefetch {name})"
            )


def sha256(path: Path) -> "hashlib._Hash":
    """The hash of a file."""
    check_file(path)
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256")
