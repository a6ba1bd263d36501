"""--mech-strict: which caveats fail the claims that have them."""

import pytest

from mechcheck.base.errors import MechcheckError
from mechcheck.evidence.status import words_among
from mechcheck.notation.caveats import CAVEATS

EVERY = "all"


def add_strict(group: pytest.OptionGroup) -> None:
    """The option."""
    group.addoption(
        "--mech-strict", nargs="?", const=EVERY, default=None, metavar="LIST",
        help=f"Fail claims that have caveats they do not accept: {EVERY} (which it means alone, too), or some, separated by commas: "
        f"{', '.join(CAVEATS)} (default: none; a caveat is told, and fails nothing).",
    )  # fmt: skip


def strict_of(config: pytest.Config) -> frozenset[str]:
    """What the option asks for.

    Raises:
        UsageError: a word that is no caveat.
    """
    given: str | None = config.getoption("--mech-strict")
    if given is None:
        return frozenset()
    try:
        words = words_among(given, (EVERY, *CAVEATS))
    except MechcheckError as error:
        raise pytest.UsageError(f"--mech-strict: {error}; before the name of a file write --mech-strict={EVERY}") from None
    if not words:
        raise pytest.UsageError(f"--mech-strict= names no caveat; choose among {EVERY}, {', '.join(CAVEATS)}, or leave it out")
    return frozenset(CAVEATS) if EVERY in words else words
