"""Commands whose runs several processes share."""

import argparse
from collections.abc import Iterator
from concurrent.futures import Executor
from contextlib import contextmanager

from mechcheck.base.errors import MechcheckError


def add_sharing(parser: argparse.ArgumentParser) -> None:
    """The options, as `--mech-cluster` and its like are spelled."""
    parser.add_argument(
        "--cluster", metavar="WHERE", help="share the runs out: local (processes here), ray, ray://HOST:PORT, slurm (as --mech-cluster)"
    )
    parser.add_argument("--workers", type=int, metavar="N", help="of --cluster, at most (as --mech-workers)")
    parser.add_argument("--resources", default="", metavar="LIST", help="what each worker needs (as --mech-resources, but for gpu_gb)")


@contextmanager
def shared_by(chosen: argparse.Namespace) -> Iterator[Executor | None]:
    """The executor that was asked for; None where none was.

    Raises:
        MechcheckError: options that do not go together, no such place, or what it needs is not installed.
    """
    if chosen.cluster is None:
        if given := [name for name in ("workers", "resources") if getattr(chosen, name)]:
            raise MechcheckError(f"--{given[0]} is about workers: say where they are, --cluster local")
        yield None
        return
    from mechcheck.cluster.asked import read_resources
    from mechcheck.cluster.executor import cluster_executor

    resources, jobs = read_resources(chosen.resources, chosen.cluster)
    if "gpu_gb" in resources:
        raise MechcheckError("gpu_gb is for claims, which share GPUs by the size of their models; say num_gpus=.5")
    if chosen.device.startswith("cuda"):
        resources.setdefault("num_gpus", 1.0)
    pool = cluster_executor(chosen.cluster, chosen.workers, options=jobs, resources=resources)
    try:
        yield pool
    except BaseException:
        pool.stop()
        raise
    pool.shutdown()
