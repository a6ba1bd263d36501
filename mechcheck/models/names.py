"""What a model is called: by what was asked for it, before anything is loaded."""

import os
from collections.abc import Sequence
from pathlib import Path

from mechcheck.base.paths import trained_models
from mechcheck.base.reading import is_dir
from mechcheck.base.text import nearest

_A_SLIP = 0.8
"""From which likeness to an embedded model on a name is taken for that name misspelt; ids of the hub are less like them."""


def embedded_models() -> tuple[str, ...]:
    """Names of the models that come with mechcheck: trained ones first, then those that are compiled when they are first used."""
    from mechcheck.compiled import compiled_models

    return (*trained_models(), *compiled_models())


def model_name(name_or_path: str) -> str:
    """How a model is called in ids and circuit files."""
    path = directory_of(name_or_path)
    return path.resolve().name if path is not None else name_or_path.partition("@")[0]


def directory_of(name: str) -> Path | None:
    """The directory of that name, with ~ read as the home directory; None where there is none."""
    path = Path(os.path.expanduser(name))
    return path if is_dir(path) else None


def place_of(name: str, given: Sequence[str]) -> str:
    """Where a model comes from: the one of those given that is called so, or as the last part of the hub id; else its own name."""
    return next((one for one in given if model_name(one) in (name, name.rpartition("/")[2])), name)


def unlike_any(name: str, embedded: Sequence[str]) -> str | None:
    """What is wrong with the name of a model, as far as can be told without a network; None where there may be such a model.

    An embedded model, a directory and whatever looks like the id of a repository are fine; a name that is nearly that of an embedded
    model is none of these, but a slip.

    Args:
        name: as in --mech-model.
        embedded: names of the embedded models.
    """
    if name in embedded or directory_of(name) is not None:
        return None
    if Path(name).is_absolute() or name.startswith((".", "~")) or name.count("/") > 1:
        siblings = Path(os.path.expanduser(os.path.dirname(name) or "."))
        near = nearest(Path(name).name, (path.name for path in siblings.iterdir() if is_dir(path))) if is_dir(siblings) else None
        return f"there is no directory {name}" + (f"; did you mean {siblings / near}?" if near else "")
    near = None if "/" in name else nearest(name.partition("@")[0], embedded, _A_SLIP)
    return near and f"unknown model {name!r}; did you mean {near!r}?"
