"""What a pool needs of a worker, wherever it runs."""

import pickle
import traceback
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from typing import Any, Protocol

from mechcheck.base.errors import MechcheckError

Resources = Mapping[str, float]
"""What a task needs beside a core: `num_gpus`, or names that the cluster gives a meaning."""


class LostWorkerError(RuntimeError):
    """A worker ended, or its machine did, before it had answered."""


class LeftWorkerError(LostWorkerError):
    """A worker had left before it was given the task: no fault of the task's."""


class Worker(Protocol):
    """One process that does one task at a time, and keeps what it has loaded between them."""

    name: str
    """For whoever reads that it was lost: which process, and where."""

    def call(self, task: bytes) -> "Future[bytes]":
        """Do a task, made by `packed`; what comes back is for `unpacked`. `LostWorkerError` where the worker ended before."""

    def stop(self) -> None:
        """End it at once; what it is doing is lost."""


def packed(function: Callable, arguments: tuple[Any, ...], named: Mapping[str, Any]) -> bytes:
    """A task as it is sent.

    Raises:
        MechcheckError: something in it cannot be sent to another process.
    """
    try:
        return pickle.dumps((function, arguments, dict(named)), protocol=pickle.HIGHEST_PROTOCOL)
    except (pickle.PicklingError, AttributeError, TypeError) as error:
        raise MechcheckError(
            f"{getattr(function, '__qualname__', function)!s} cannot be sent to another process ({error}); "
            "functions are sent by their name, so define them in a module, and pass values that can be pickled"
        ) from error


def answered(task: bytes) -> bytes:
    """Do a task in the worker; an error is its answer too."""
    try:
        function, arguments, named = pickle.loads(task)
        return pickle.dumps((True, function(*arguments, **named)), protocol=pickle.HIGHEST_PROTOCOL)
    except Exception as error:
        error.add_note(f"in a worker:\n{''.join(traceback.format_tb(error.__traceback__))}")
        try:
            pickle.loads(told := pickle.dumps((False, error)))
        except Exception:  # an error of the user's may be anything
            told = pickle.dumps((False, RuntimeError(f"{type(error).__name__}: {error}\n{''.join(error.__notes__)}")))
        return told


def unpacked(answer: bytes) -> Any:
    """What a task came to, or its error."""
    done, found = pickle.loads(answer)
    if done:
        return found
    raise found
