"""Workers that connect back, whatever has started them."""

import secrets
import threading
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress
from multiprocessing.connection import Connection, Listener

from mechcheck.cluster.serving import GOODBYE, Address
from mechcheck.cluster.workers import LeftWorkerError, LostWorkerError

_LOOK_S = 0.2
"""Seconds between two looks at whether a worker that has not connected is still coming."""


class Door:
    """Where workers connect. Only those get in that know the key."""

    def __init__(self, host: str) -> None:
        self.key = secrets.token_bytes(32)
        self._listener = Listener((host, 0), backlog=256, authkey=self.key)
        self._expected: dict[int, ConnectedWorker] = {}
        threading.Thread(target=self._accept, name="mechcheck-door", daemon=True).start()

    @property
    def port(self) -> int:
        """On which it listens."""
        address: Address = self._listener.address
        return address[1]

    def expect(self, number: int, lives: Callable[[], bool], end: Callable[[], None]) -> "ConnectedWorker":
        """A worker that will connect under a number.

        Args:
            lives: whether it is still coming.
            end: ends it, whatever it is doing.
        """
        worker = self._expected[number] = ConnectedWorker(number, lives, end)
        return worker

    def close(self) -> None:
        """Let nobody in any more."""
        self._listener.close()

    def _accept(self) -> None:
        from multiprocessing import AuthenticationError

        while True:
            try:
                connection = self._listener.accept()
                number, name = connection.recv()
                self._expected.pop(number).connect(connection, name)
            except (AuthenticationError, EOFError, ConnectionError, KeyError, TypeError, ValueError):
                continue  # a stranger, or one that is gone again
            except OSError:
                return  # closed


class ConnectedWorker:
    """A worker at the other end of a connection."""

    def __init__(self, number: int, lives: Callable[[], bool], end: Callable[[], None]) -> None:
        self.name = f"worker {number}"
        self._lives, self._end = lives, end
        self._connected = threading.Event()
        self._stopped = self._busy = False
        self._connection: Connection | None = None
        self._calls: list[tuple[bytes, Future[bytes]]] = []
        self._called = threading.Condition()
        threading.Thread(target=self._carry, name=f"mechcheck-worker-{number}", daemon=True).start()

    def connect(self, connection: Connection, name: str) -> None:
        """It is there."""
        self._connection, self.name = connection, name
        self._connected.set()

    def call(self, task: bytes) -> "Future[bytes]":
        done: Future[bytes] = Future()
        with self._called:
            self._calls.append((task, done))
            self._called.notify()
        return done

    def stop(self) -> None:
        with self._called:
            self._stopped = True
            self._called.notify()
        if self._connection is not None:
            with suppress(OSError):
                self._connection.close()  # at which one that is idle ends by itself
        if self._busy or self._connection is None:
            self._end()

    def _carry(self) -> None:
        """Carry tasks there and answers back, one at a time."""
        while True:
            with self._called:
                while not self._calls and not self._stopped:
                    self._called.wait()
                if self._stopped:
                    left, self._calls = self._calls, []
                    break
                task, done = self._calls.pop(0)
                self._busy = True
            try:
                answer = self._exchange(task)
            except LeftWorkerError as error:
                done.set_exception(error)
            except (EOFError, OSError, TypeError) as error:  # TypeError: it was closed meanwhile
                done.set_exception(LostWorkerError(str(error)))
            else:
                self._busy = False
                done.set_result(answer)
        for _, done in left:
            done.set_exception(LostWorkerError("it was stopped"))

    def _exchange(self, task: bytes) -> bytes:
        while not self._connected.wait(_LOOK_S):
            if self._stopped or not self._lives():
                raise EOFError("it ended before it was ready")
        assert self._connection is not None
        if not self._connection.poll():  # before it is given the task it has nothing to say, but that it leaves
            self._connection.send_bytes(task)
        answer = self._connection.recv_bytes()
        if answer == GOODBYE:
            self._connection.close()
            raise LeftWorkerError("it had left")
        return answer
