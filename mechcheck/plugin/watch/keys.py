"""Single keys from the terminal, without waiting for Enter."""

import os
import select
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

try:
    import termios
    import tty
except ImportError:  # Windows
    termios = tty = None  # type: ignore[assignment]


def has_keys() -> bool:
    """Whether somebody sits at a terminal that says which key was pressed."""
    return termios is not None and sys.stdin is not None and not sys.stdin.closed and sys.stdin.isatty()


@contextmanager
def single_keys() -> Iterator[None]:
    """Within it keys come one by one; afterwards the terminal is as it was. Ctrl-C interrupts as ever."""
    if not has_keys():
        yield
        return
    before = termios.tcgetattr(sys.stdin)
    try:
        tty.setcbreak(sys.stdin)
        yield
    finally:
        termios.tcsetattr(sys.stdin, termios.TCSADRAIN, before)


def next_key(seconds: float) -> str:
    """The key that was pressed within the time, or nothing."""
    if not has_keys():
        time.sleep(seconds)
        return ""
    # Past Python's own buffer, in which `select` does not see what is left.
    ready, _, _ = select.select([sys.stdin.fileno()], [], [], seconds)
    return os.read(sys.stdin.fileno(), 1).decode("latin-1") if ready else ""


def ask(question: str, given_up: Callable[[], bool]) -> str:
    """A line that is typed, up to Enter; nothing where somebody gives up, by Escape or otherwise."""
    print(question, end="", flush=True)
    typed = ""
    while (key := next_key(0.1)) not in ("\r", "\n"):
        if key == "\x1b" or given_up():
            typed = ""
            break
        if key in ("\x7f", "\b"):
            print("\b \b" * bool(typed), end="", flush=True)
            typed = typed[:-1]
        elif key.isprintable():
            print(key, end="", flush=True)
            typed += key
    print(flush=True)
    return typed.strip()
