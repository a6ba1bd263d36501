"""What a command line says of a cluster: NAME=VALUE, separated by commas."""

from typing import Any

from mechcheck.base.errors import MechcheckError


def read_resources(text: str, where: str) -> tuple[dict[str, float], dict[str, Any]]:
    """What each task needs of the cluster, and parameters of Slurm's jobs.

    Args:
        text: as --mech-resources has it: "num_gpus=.5,slurm_partition=gpu".
        where: the place, which says whose names these are.

    Raises:
        MechcheckError: something else.
    """
    resources: dict[str, float] = {}
    jobs: dict[str, Any] = {}
    for one in filter(None, (part.strip() for part in text.split(","))):
        name, equals, value = one.partition("=")
        if not equals or not value:
            raise MechcheckError(f"{one!r} is no NAME=VALUE, as num_gpus=.5 is")
        if where.startswith("slurm") and name not in ("num_cpus", "num_gpus", "gpu_gb"):
            jobs[name] = int(value) if value.isdecimal() else value
            continue
        try:
            resources[name] = float(value)
        except ValueError:
            raise MechcheckError(f"{one!r} is no number of something") from None
        if resources[name] < 0:
            raise MechcheckError(f"{one!r} is less than nothing")
    return resources, jobs
