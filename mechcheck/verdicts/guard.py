"""Models are shared between claims: a test body that leaves one changed is an error, and the changed model is forgotten."""

import contextlib
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

if TYPE_CHECKING:
    from mechcheck.models.fingerprint import Fingerprint


class Guard:
    """Watches over the models of one claim; the state of each is taken once for all its runs, as each of them must leave it so."""

    def __init__(self) -> None:
        self._before: WeakKeyDictionary[Any, Fingerprint] = WeakKeyDictionary()

    @contextlib.contextmanager
    def untouched(self, model: Any, contrast: str | None = None) -> Iterator[None]:
        """Raise if what runs in this context leaves the model changed; after an error of its own, only forget the model.

        Args:
            model: what the body was given; None where it takes none.
            contrast: which contrast run it is; None for the claim's own.

        Raises:
            HookError: weights or hooks are not as they were.
        """
        if model is None:
            yield
            return
        from mechcheck.base.errors import HookError
        from mechcheck.models.fingerprint import fingerprint

        if model not in self._before:
            self._before[model] = fingerprint(model)
        try:
            yield
        except BaseException:
            with contextlib.suppress(Exception):  # the error of the claim's own is what the record should tell
                _check(model, self._before[model])
            raise
        try:
            _check(model, self._before[model])
        except HookError as error:
            raise HookError(f"its contrast ({contrast}) changed the model: {error}" if contrast else str(error)) from error


def _check(model: Any, before: "Fingerprint") -> None:
    from mechcheck.models.fingerprint import check_untouched
    from mechcheck.models.loading import forget_models

    try:
        check_untouched(model, before)
    except Exception:
        forget_models()  # the next claim must not get the changed model
        raise
