"""Workers that are actors of a Ray cluster."""

from concurrent.futures import Future
from contextlib import suppress
from typing import Any

from mechcheck.base.errors import MechcheckError
from mechcheck.cluster.serving import NUMBER
from mechcheck.cluster.workers import LostWorkerError, Resources, answered


class RayActors:
    """Starts them, on the cluster at an address; None: the one that runs here, or else a new one on this machine."""

    def __init__(self, address: str | None) -> None:
        self._ray = _ray()
        self._own = not self._ray.is_initialized()
        if self._own:
            self._join(address)
        self._actor = self._ray.remote(_Actor)

    def _join(self, address: str | None) -> None:
        try:
            self._ray.init(address=address or "auto", log_to_driver=False, logging_level="ERROR")
        except ConnectionError as error:
            if address is not None:
                raise MechcheckError(f"no Ray cluster answers at {address} ({error}); is its client server on, at port 10001?") from error
            self._ray.init(address="local", include_dashboard=False, log_to_driver=False, logging_level="ERROR")

    def room(self) -> int:
        """How many workers of one core each the cluster has room for."""
        return max(1, int(self._ray.cluster_resources().get("CPU", 1)))

    def start(self, number: int, resources: Resources) -> "RayWorker":
        """An actor, wherever there is room for it; it waits until there is."""
        own = {name: amount for name, amount in resources.items() if name not in ("num_cpus", "num_gpus")}
        options = {"num_cpus": resources.get("num_cpus", 1), "num_gpus": resources.get("num_gpus", 0), "resources": own or None}
        return RayWorker(self._ray, number, self._actor.options(max_restarts=0, **options).remote(number))

    def close(self) -> None:
        """Leave the cluster, where this joined it."""
        if self._own:
            self._ray.shutdown()


class RayWorker:
    """One actor."""

    def __init__(self, ray: Any, number: int, actor: Any) -> None:
        self.name = f"Ray actor {number}"
        self._ray, self._actor = ray, actor
        actor.place.remote().future().add_done_callback(self._placed)

    def call(self, task: bytes) -> "Future[bytes]":
        done: Future[bytes] = Future()

        def over(found: "Future[bytes]") -> None:
            error = found.exception()
            if error is None:
                done.set_result(found.result())
            elif isinstance(error, self._ray.exceptions.RayError):
                done.set_exception(LostWorkerError(str(error).partition("\n")[0]))
            else:
                done.set_exception(error)

        self._actor.answer.remote(task).future().add_done_callback(over)
        return done

    def stop(self) -> None:
        with suppress(Exception):  # it may be gone, and the cluster with it
            self._ray.kill(self._actor)

    def _placed(self, found: "Future[str]") -> None:
        if found.exception() is None:
            self.name = found.result()


class _Actor:
    """What runs on the cluster."""

    def __init__(self, number: int) -> None:
        import os

        os.environ[NUMBER] = str(number)

    def place(self) -> str:
        import os
        import socket

        return f"Ray actor {os.getpid()} on {socket.gethostname()}"

    def answer(self, task: bytes) -> bytes:
        return answered(task)


def _ray() -> Any:
    try:
        import ray
    except ImportError as error:
        raise MechcheckError("running on Ray needs the package ray: pip install 'mechcheck[ray]'") from error
    return ray
