"""Models are shared between claims: a test body that leaves one changed is an error, and the changed model is forgotten."""

import contextlib
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

import pytest

if TYPE_CHECKING:
    from mechcheck.conformance.sentinels import Fingerprint

_BEFORE = pytest.StashKey["WeakKeyDictionary[Any, Fingerprint]"]()


@contextlib.contextmanager
def left_untouched(item: pytest.Item, model: Any, contrast: str | None = None) -> Iterator[None]:
    """Raise if what runs in this context leaves the model changed; after an error of its own, only forget the model.

    Args:
        item: the claim; a model's state is taken once for all its runs, as each of them must leave it so.
        model: what the body was given; None where it takes none.
        contrast: which contrast run it is; None for the claim's own.

    Raises:
        HookError: weights or hooks are not as they were.
    """
    if model is None:
        yield
        return
    from mechcheck.base.errors import HookError
    from mechcheck.conformance.sentinels import fingerprint

    states = item.stash.setdefault(_BEFORE, WeakKeyDictionary())
    if model not in states:
        states[model] = fingerprint(model)
    try:
        yield
    except BaseException:
        with contextlib.suppress(Exception):  # the error of the claim's own is what the record should tell
            _check(model, states[model])
        raise
    try:
        _check(model, states[model])
    except HookError as error:
        raise HookError(f"its contrast ({contrast}) changed the model: {error}" if contrast else str(error)) from error


def _check(model: Any, before: "Fingerprint") -> None:
    from mechcheck.conformance.sentinels import check_untouched
    from mechcheck.models.loading import forget_models

    try:
        check_untouched(model, before)
    except Exception:
        forget_models()  # the next claim must not get the changed model
        raise
