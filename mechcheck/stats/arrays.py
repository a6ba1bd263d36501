"""What numpy takes for an array: values that remember what they are of."""

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

import numpy as np
from jaxtyping import Float
from numpy.typing import DTypeLike

from mechcheck.base.errors import MechcheckError, NonFiniteError


class LikeArray:
    """Something that is its values to numpy: `np.asarray(it)`, `np.abs(it)`, `np.mean(it, axis=-1)` and `it[0, 3]` are plain ones."""

    values: np.ndarray

    def _array(self) -> np.ndarray:
        """What numpy sees."""
        return self.values

    def __array__(self, dtype: DTypeLike | None = None, copy: bool | None = None) -> np.ndarray:
        values = self._array()
        found = np.array(values, dtype=dtype, copy=copy)
        if found is values:  # no copy of the reader's own, so that what was measured is not changed through it
            found = values.view()
            found.flags.writeable = False
        return found

    def __array_ufunc__(self, ufunc: np.ufunc, method: str, *inputs: Any, **kwargs: Any) -> Any:
        if any(isinstance(out, LikeArray) for out in kwargs.get("out", ())):
            raise MechcheckError("what was measured is read only: let numpy write into an array of its own")
        return getattr(ufunc, method)(*_plain(inputs), **_plain(kwargs))

    def __array_function__(self, function: Callable, types: Collection[type], args: tuple, kwargs: dict) -> Any:
        return function(*_plain(args), **_plain(kwargs))

    def __getitem__(self, at: Any) -> Any:
        return self._array()[at]

    def __len__(self) -> int:
        return len(self._array())


def _plain(given: Any) -> Any:
    """The same with plain arrays, however deep in lists and tuples they lie."""
    if isinstance(given, LikeArray):
        return np.asarray(given)
    if isinstance(given, Mapping):
        return {key: _plain(value) for key, value in given.items()}
    return type(given)(map(_plain, given)) if type(given) in (list, tuple) else given


LARGEST = 1e100
"""The cube of a larger value is infinite, or a sum of such cubes is."""


def check_finite(values: Float[np.ndarray, "*any prompt"], ids: Sequence[str], name: str) -> None:
    """Raise `NonFiniteError` where any value is NaN or infinite, or too large to be calculated with, with the prompts on which it is."""
    fine = np.isfinite(values).reshape(-1, len(ids)).all(0)
    if not fine.all():
        bad = [name for name, well in zip(ids, fine, strict=True) if not well]
        raise NonFiniteError(f"{name} is not finite on {len(bad)} of {len(ids)} prompts ({', '.join(bad[:3])})")
    if float(np.abs(values).max(initial=0.0)) > LARGEST:
        raise NonFiniteError(f"{name} is beyond {LARGEST:g} on some prompt, so that its cube is infinite: measure it in a larger unit")
