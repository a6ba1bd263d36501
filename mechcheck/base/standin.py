"""What stands in for a public name while tests are only listed: the name is taken from its module when something is done with it.

To list claims runs none of them: what their bodies call need not be there, nor torch be imported.
"""

import re
from collections.abc import Callable, Collection
from functools import cache
from typing import Any

_STANDS_FOR = re.compile(r"(?!.*Error$)(?=.*[a-z])")
"""Functions and classes. Constants are taken at once, as they may be a test's parameters, and errors, as `except` takes nothing else."""
_listing = False


def list_only(on: bool) -> None:
    """Say that from now on tests are listed and none is run, or that they are run again."""
    global _listing
    _listing = on


class StandIn:
    """A public function or class, not yet taken from its module.

    Whatever is done with it is done with what it stands for: it is called, subclassed, asked for an attribute, part of an annotation.
    To be imported and handed on costs nothing.
    """

    def __init__(self, stands_for: str, take: Callable[[], Any]) -> None:
        self.stands_for = stands_for
        """The public name, which can be asked for without taking it."""
        self._taken = take

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_") and name not in ("__name__", "__qualname__"):
            raise AttributeError(name)  # so pytest asks of all that is in a module whether it is a test or a fixture
        return getattr(self._taken(), name)

    def __call__(self, *given: Any, **named: Any) -> Any:
        return self._taken()(*given, **named)

    def __mro_entries__(self, bases: tuple[Any, ...]) -> tuple[Any, ...]:
        return (self._taken(),)

    def __instancecheck__(self, one: object) -> bool:
        return isinstance(one, self._taken())

    def __or__(self, other: Any) -> Any:
        return self._taken() | other

    def __ror__(self, other: Any) -> Any:
        return other | self._taken()


def by_name(take: Callable[[str], Any], names: Collection[str]) -> Callable[[str], Any]:
    """A package's `__getattr__` that hands out what `take` does; where tests are only listed, what stands in for it.

    Args:
        take: imports a name's module and gives what is called so.
        names: the public ones.
    """
    callables = {name for name in names if _STANDS_FOR.match(name)}

    @cache
    def standing_in(name: str) -> StandIn:
        return StandIn(name, lambda: take(name))

    return lambda name: standing_in(name) if _listing and name in callables else take(name)
