"""What a piece of code may use as it likes, and others must find as it was: random numbers, environment, folder, paths, warnings."""

import os
import random
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import numpy as np
import torch


@contextmanager
def own_surroundings(seed: int) -> Iterator[None]:
    """Within it the global generators (random, numpy, torch) start from a seed; afterwards they, and the process, are as they were.

    The process's part is environment variables, the current folder, `sys.path` and the filters of warnings.

    Args:
        seed: below 256 ** 4.
    """
    environment, path, folder = dict(os.environ), list(sys.path), _folder()
    of_torch = [(one, one.get_state()) for one in _generators()]
    generators = random.getstate(), np.random.get_state()  # noqa: NPY002
    random.seed(seed)
    np.random.seed(seed)  # noqa: NPY002  # whoever uses the global generator is to find it in the same state each time
    for one, _ in of_torch:
        one.manual_seed(seed)
    try:
        with warnings.catch_warnings():
            yield
    finally:
        random.setstate(generators[0])
        np.random.set_state(generators[1])  # noqa: NPY002
        for one, state in of_torch:
            one.set_state(state)
        if os.environ != environment:
            for name in [name for name in os.environ if name not in environment]:
                del os.environ[name]
            os.environ.update(environment)
        if sys.path != path:
            sys.path[:] = path
        if folder is not None and folder != _folder():
            with suppress(OSError):  # it was removed meanwhile
                os.chdir(folder)


def _folder() -> str | None:
    """The current folder; None where there is none any more."""
    try:
        return os.getcwd()
    except OSError:
        return None


def _generators() -> list[torch.Generator]:
    """torch's own, of the CPU and of the GPUs that are in use."""
    return [torch.default_generator, *(torch.cuda.default_generators if torch.cuda.is_initialized() else ())]
