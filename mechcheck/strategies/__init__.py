"""Hypothesis strategies over prompts, for `check.for_all`, and over sites. Each shrinks to what is simplest: the shortest sentence, the
first words, the first head.

Hypothesis is imported when a claim runs that asks for one, so that collecting claims costs no import of it.
"""

import lazy_loader as _lazy

from mechcheck.base.standin import by_name as _by_name

_take, __dir__, __all__ = _lazy.attach_stub(__name__, __file__)
__getattr__ = _by_name(_take, __all__)
