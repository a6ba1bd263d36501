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
            raise EOFError

    with Client(address, authkey=key) as connection, suppress(EOFError, OSError):
        connection.send((number, f"process {os.getpid()} on {socket.gethostname()}"))
        for one in leave_at:
            signal.signal(one, leave)
        while not leaving:
            task = connection.recv_bytes()
            busy = True
            connection.send_bytes(answered(task))
            busy = False


if __name__ == "__main__":
    host, port, number, *path = sys.argv[1:]
    serve((host, int(port)), bytes.fromhex(os.environ.pop(KEY)), int(number), path)
