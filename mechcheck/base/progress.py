"""A bar for sweeps that take a while."""

from collections.abc import Iterator
from contextlib import contextmanager

from tqdm.auto import tqdm

# Seconds after which a bar appears.
_PATIENCE = 2.0
_quiet = False


def be_quiet(quiet: bool) -> None:
    """Show no bars from now on (or show them again)."""
    global _quiet
    _quiet = quiet


@contextmanager
def progress(total: int, what: str) -> Iterator["tqdm"]:
    """A bar to be advanced by `update`; nothing is shown where the error stream is no terminal."""
    with tqdm(total=total, desc=what, unit="variant", delay=_PATIENCE, disable=True if _quiet else None, leave=False) as bar:
        yield bar
