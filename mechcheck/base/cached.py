"""Attributes that are computed once."""

import functools
import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING or sys.version_info >= (3, 12):
    from functools import cached_property as cached_property
else:

    class cached_property(functools.cached_property):
        """As Python 3.12 has it: without the lock that all objects of a class share while one of them computes.

        A thread that gives the model away in the middle of such a computation would wait for ever for the one that got it.
        """

        def __get__(self, instance: Any, owner: type | None = None) -> Any:
            if instance is None:
                return self
            try:
                return instance.__dict__[self.attrname]
            except KeyError:
                value = instance.__dict__[self.attrname] = self.func(instance)
                return value
