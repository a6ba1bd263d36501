"""A worker that connects back to whoever started it, does what it is sent, and ends when nobody is there any more."""

import os
import signal
import socket
import sys
from collections.abc import Sequence
from contextlib import suppress
from multiprocessing.connection import Client

from mechcheck.cluster.workers import answered

KEY = "MECHCHECK_WORKER_KEY"
"""Where the key lies by which a worker is known; the list of processes shows arguments, and not this."""

NUMBER = "MECHCHECK_WORKER"
"""Where a worker finds its number, from 1 on."""

Address = tuple[str, int]

GOODBYE = b""
"""What a worker sends that leaves: whatever it is sent from then on it does not begin."""
_GRACE_S = 5.0
"""Seconds that it waits for whoever has not heard of it: hung up at once, a task on its way would look like one that was lost."""


class _LeaveNow(BaseException):
    """While it is idle."""


def serve(address: Address, key: bytes, number: int, path: list[str], leave_at: Sequence[int] = ()) -> None:
    """Be worker `number` of the pool at an address, until it hangs up; modules are found where they are there.

    Args:
        leave_at: signals that say that this process will be ended soon. It leaves at once where it is idle, and else when it has answered:
            nothing that it does is broken off by them.
    """
    sys.path[:] = [*path, *(folder for folder in sys.path if folder not in path)]
    os.environ[NUMBER] = str(number)
    with suppress(ValueError):  # where this is not the main thread
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches all processes of a terminal; the pool's owner says what it means
    leaving, busy = False, False

    def leave(*_: object) -> None:
        nonlocal leaving
        leaving = True
        if not busy:
            raise _LeaveNow

    with Client(address, authkey=key) as connection, suppress(EOFError, OSError):
        connection.send((number, f"process {os.getpid()} on {socket.gethostname()}"))
        with suppress(_LeaveNow):
            for one in leave_at:
                signal.signal(one, leave)
            while not leaving:
                task = connection.recv_bytes()
                busy = True
                connection.send_bytes(answered(task))
                busy = False
        busy = True
        connection.send_bytes(GOODBYE)
        while connection.poll(_GRACE_S):  # a task that was on its way, which is not begun; at the end the pool hangs up
            connection.recv_bytes()


if __name__ == "__main__":
    host, port, number, *path = sys.argv[1:]
    serve((host, int(port)), bytes.fromhex(os.environ.pop(KEY)), int(number), path)
