"""One name for each place where work can be done."""

from collections.abc import Callable, Iterable
from typing import Any

from mechcheck.base.errors import MechcheckError
from mechcheck.cluster.pool import RETRIES, Pool, Start
from mechcheck.cluster.workers import Resources

PLACES = "local, ray, ray://HOST:PORT, slurm"


def cluster_executor(
    where: str, workers: int | None = None, *, retries: int = RETRIES, initializer: Callable | None = None, initargs: Iterable[Any] = (),
    finalizer: Callable | None = None, options: dict[str, Any] | None = None, resources: Resources | None = None,
) -> Pool:  # fmt: skip
    """An executor whose workers are processes here, or on a cluster; for `sweep(..., executor=)`, and for any function of a module.

    It is used as those of `concurrent.futures` are, in a `with` statement. Its `submit` takes `resources` beside, as Ray names them
    ({"num_gpus": 0.5}), and `affinity`: tasks that share what is loaded. A task whose worker is lost is done again.

    Args:
        where: "local"; "ray", which joins the running cluster or starts one here, or its address "ray://host:port"; "slurm", or
            "slurm:local", which has submitit start processes here.
        workers: how many at most; by default as many as there are cores, here or on the Ray cluster. Slurm needs to be told.
        retries: how often a task is done again whose worker was lost.
        initializer, initargs: done first in each worker.
        finalizer: done last in each.
        resources: what each task needs beside a core, where it does not say so itself, as every part of a sweep.
        options: for Slurm, parameters of its jobs as submitit takes them: {"slurm_partition": "gpu", "timeout_min": 60}.

    Raises:
        MechcheckError: no such place; or what it needs is not installed, and how to install it.
    """
    start, close, most = _place(where, workers, options or {})
    return Pool(
        start, most, retries=retries, initializer=initializer, initargs=initargs, finalizer=finalizer, closed=close, resources=resources
    )  # fmt: skip


def _place(where: str, workers: int | None, options: dict[str, Any]) -> tuple[Start, Callable[[], None], int]:
    if workers is not None and workers < 1:
        raise MechcheckError(f"workers={workers}: at least one")
    name, colon, rest = where.partition(":")
    if where == "local":
        from mechcheck.cluster.local import LocalProcesses

        here = LocalProcesses()
        return here.start, here.close, workers or _cores()
    if where == "ray" or (name == "ray" and rest.startswith("//")):
        from mechcheck.cluster.on_ray import RayActors

        actors = RayActors(where if colon else None)
        return actors.start, actors.close, workers or actors.room()
    if name == "slurm" and rest in ("", "local"):
        from mechcheck.cluster.on_slurm import SlurmJobs

        if workers is None:
            raise MechcheckError("Slurm has no end of workers: say how many jobs to ask for")
        jobs = SlurmJobs(rest or "slurm", options)
        return jobs.start, jobs.close, workers
    raise MechcheckError(f"there is no place {where!r} to run on; known are {PLACES}")


def _cores() -> int:
    import psutil

    return psutil.cpu_count(logical=False) or psutil.cpu_count() or 1
