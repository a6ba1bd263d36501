"""mechcheck: a circuit claim is a test.

The public names stand in `__init__.pyi`. Each is imported when it is first used, so that loading the pytest plugin costs no torch
import, and listing claims none either; with EAGER_IMPORT=1 in the environment all are imported at once, which shows that each is there.
"""

import lazy_loader as _lazy

from mechcheck.base.standin import by_name as _by_name

_take, __dir__, __all__ = _lazy.attach_stub(__name__, __file__)
__getattr__ = _by_name(_take, __all__)
