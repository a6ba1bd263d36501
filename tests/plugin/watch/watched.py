"""A `mechcheck watch` in a process of its own, and somebody who edits files, presses keys and reads what it says."""

import os
import pty
import re
import select
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

READY = re.compile(r"-- watching \d+ files")
DONE = re.compile(r"-- \d+\.\d\d s;")
SECONDS = 120.0


class Watched:
    """What it has said, and how to make it say more."""

    def __init__(self, process: "subprocess.Popen[bytes]", output: int, keys: int | None):
        self.process, self._output, self._keys = process, output, keys
        self.text = ""

    def until(self, pattern: "re.Pattern[str] | str") -> str:
        """What was said up to the pattern, since the last time."""
        limit = time.monotonic() + SECONDS
        while not (found := re.search(pattern, self.text)):
            assert time.monotonic() < limit, f"{pattern!r} was not said in {SECONDS:g} s, but:\n{self.text}"
            self.read(limit - time.monotonic())
        said, self.text = self.text[: found.end()], self.text[found.end() :]
        return said

    def read(self, seconds: float) -> None:
        """Take in what is said within the time."""
        if select.select([self._output], [], [], seconds)[0]:
            with suppress(OSError):  # the terminal of a process that has ended
                self.text += os.read(self._output, 65536).decode(errors="replace").replace("\r\n", "\n")

    def quiet(self, seconds: float) -> str:
        """What is said within the time."""
        limit = time.monotonic() + seconds
        while (left := limit - time.monotonic()) > 0:
            self.read(left)
        said, self.text = self.text, ""
        return said

    def press(self, keys: str) -> None:
        assert self._keys is not None
        os.write(self._keys, keys.encode())

    def interrupt(self) -> None:
        """Ctrl-C: of a terminal by its key, else as a signal."""
        if self._keys is not None:
            self.press("\x03")
        else:
            self.process.send_signal(signal.SIGINT)

    def ended(self) -> int:
        """Its exit status."""
        limit = time.monotonic() + SECONDS
        while self.process.poll() is None and time.monotonic() < limit:
            self.read(0.05)
        return self.process.wait(1)


@contextmanager
def watching(
    folder: Path,
    *arguments: str,
    terminal: bool = False,
    environment: Mapping[str, str | None] | None = None,
    program: Sequence[str] = ("-m", "mechcheck.cli"),
) -> Iterator[Watched]:
    """A watch of a folder; with a terminal, keys can be pressed."""
    env = {name: value for name, value in {**os.environ, **(environment or {})}.items() if value is not None}
    command = [sys.executable, *program, "watch", *arguments]
    main, other = pty.openpty()
    process = subprocess.Popen(
        command, cwd=folder, env=env, stdin=other if terminal else subprocess.DEVNULL, stdout=other, stderr=other,
        start_new_session=True, preexec_fn=_controlling if terminal else None,
    )  # fmt: skip
    os.close(other)
    watched = Watched(process, main, main if terminal else None)
    try:
        yield watched
    finally:
        process.kill()
        process.wait()
        os.close(main)


def _controlling() -> None:
    """Make the terminal the one whose keys interrupt."""
    import fcntl
    import termios

    fcntl.ioctl(0, termios.TIOCSCTTY, 0)
