"""What is asked of a cluster on the command line, and where an interrupted run is gone on with."""

from typing import Any, NamedTuple

import pytest

from mechcheck.base.errors import MechcheckError
from mechcheck.cluster.asked import read_resources

SENT_HOME = "mechcheck_cluster"
"""Among what a worker is told: that nobody reads its files, and evidence is sent home."""


def add_options(group: pytest.OptionGroup) -> None:
    """The options of runs on a cluster, and of those that are gone on with."""
    group.addoption(
        "--mech-cluster", default=None, metavar="WHERE",
        help="Run claims on workers: local (processes here), ray (the running Ray cluster, or a new one here), ray://HOST:PORT, slurm.",
    )  # fmt: skip
    group.addoption(
        "--mech-workers", default=None, type=int, metavar="N",
        help="Workers of --mech-cluster, at most (default: as -n auto; on Ray as many as there are cores; on Slurm to be given).",
    )  # fmt: skip
    group.addoption(
        "--mech-resources", default="", metavar="LIST",
        help="What each claim needs of the cluster, separated by commas: num_cpus=2, num_gpus=.5, names that a Ray cluster knows, "
        "parameters of Slurm jobs as submitit takes them (slurm_partition=gpu, timeout_min=60). gpu_gb=80, the memory of a GPU, has "
        "models share GPUs by their size.",
    )  # fmt: skip
    group.addoption(
        "--mech-resume", action="store_true",
        help="Go on with the run in the report folder that was stopped or killed, if there is one: what it had decided is not run again. "
        "Refused where claims, options, models or versions are others now.",
    )  # fmt: skip


class Asked(NamedTuple):
    """What was asked of the cluster."""

    where: str
    workers: int | None
    resources: dict[str, float]
    """That each claim needs."""
    jobs: dict[str, Any]
    """Parameters of Slurm's jobs."""


def asked_of(config: pytest.Config) -> Asked:
    """What the options say.

    Raises:
        UsageError: they do not go together.
    """
    where: str = config.getoption("--mech-cluster")
    if config.getoption("numprocesses", None) or config.getoption("tx", None):
        raise pytest.UsageError(
            "--mech-cluster and -n both say which processes run the claims; leave one out (as -n 4 is --mech-workers 4 on local)"
        )
    if config.getoption("usepdb", False):
        raise pytest.UsageError("--pdb needs the claim in this process; leave out --mech-cluster")
    workers: int | None = config.getoption("--mech-workers")
    if workers is not None and workers < 1:
        raise pytest.UsageError(f"--mech-workers {workers}: at least one")
    try:
        resources, jobs = read_resources(config.getoption("--mech-resources"), where)
    except MechcheckError as error:
        raise pytest.UsageError(f"--mech-resources: {error}") from None
    return Asked(where, workers, resources, jobs)


def elsewhere(config: pytest.Config) -> bool:
    """Whether this process only hands claims out."""
    return config.getoption("--mech-cluster") is not None and not hasattr(config, "workerinput")
