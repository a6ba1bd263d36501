"""What workers are given to do; sent by name, so it lies in a module."""

import os
import signal
import time
from pathlib import Path


def process(wait: float = 0.0) -> int:
    time.sleep(wait)
    return os.getpid()


def twice(x: int) -> int:
    return 2 * x


def fail(text: str) -> None:
    raise LookupError(text)


def fail_oddly() -> None:
    class OddError(Exception):
        """Nobody can send it."""

    raise OddError("local")


def end_once(seen: Path) -> str:
    """End the process, but for the second time."""
    if not seen.exists():
        seen.touch()
        os._exit(3)
    return "lived"


def warned(then: float = 0.0) -> tuple[int, str]:
    """Be told, in the middle of the work, that this process will be ended soon."""
    os.kill(os.getpid(), signal.SIGUSR2)
    time.sleep(then)
    return os.getpid(), "done"


def end() -> None:
    os._exit(3)


def remember(value: int) -> None:
    os.environ["REMEMBERED"] = str(value)


def remembered() -> str:
    return os.environ["REMEMBERED"]


def leave(path: Path) -> None:
    os.environ["LEAVES"] = str(path)


def left() -> None:
    (Path(os.environ["LEAVES"]) / str(os.getpid())).touch()
