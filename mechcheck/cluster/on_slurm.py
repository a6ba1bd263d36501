"""Workers that are jobs of Slurm, submitted by submitit."""

import os
import signal
import socket
import sys
import tempfile
from pathlib import Path
from typing import Any

from mechcheck.base.errors import MechcheckError
from mechcheck.cluster.connected import ConnectedWorker, Door
from mechcheck.cluster.serving import Address, serve
from mechcheck.cluster.workers import Resources

FOLDER = "slurm_folder"
"""Among a job's parameters: the folder on shared storage for its logs and what it is given; .mechcheck-slurm here otherwise."""


TIMEOUT_MIN = {"slurm": 60, "local": 7 * 24 * 60}
"""Minutes that a job may take which says nothing of it; by submitit's own five, and two on this machine, workers would go all the time."""


class SlurmJobs:
    """Submits them. Each connects back to this machine, as those of Dask do, so the machines that jobs run on must reach it."""

    def __init__(self, cluster: str, options: dict[str, Any]) -> None:
        submitit = _submitit()
        options = dict(options)
        self._host = "127.0.0.1" if cluster == "local" else socket.gethostname()
        self._door = Door("127.0.0.1" if cluster == "local" else "0.0.0.0")
        shared = Path(options.pop(FOLDER, ".mechcheck-slurm")).absolute()
        shared.mkdir(mode=0o700, parents=True, exist_ok=True)  # what lies in it has the key
        self._submitit, self._cluster = submitit, cluster
        self._options = options if "slurm_time" in options else {"timeout_min": TIMEOUT_MIN[cluster], **options}
        self._folder = tempfile.mkdtemp(dir=shared)

    def start(self, number: int, resources: Resources) -> ConnectedWorker:
        """A job, which waits in Slurm's queue until there is room for it."""
        executor = self._submitit.AutoExecutor(self._folder, cluster=self._cluster)
        executor.update_parameters(**_parameters(resources), **self._options)
        job = executor.submit(_serve, (self._host, self._door.port), self._door.key, number, list(sys.path))
        return self._door.expect(number, lambda: not job.done(), lambda: job.cancel(check=False))

    def close(self) -> None:
        """No more of them."""
        self._door.close()


def _serve(address: Address, key: bytes, number: int, path: list[str]) -> None:
    """Be a worker, which leaves when its time is nearly over or others need its place: submitit's own way to take that signal, which
    comes in the middle of whatever is done, would look like an error of the claim that is run."""
    serve(address, key, number, path, leave_at=[getattr(signal, f"SIG{os.environ.get('SUBMITIT_PREEMPT_SIGNAL', 'USR2')}")])


def _parameters(resources: Resources) -> dict[str, Any]:
    """Resources as submitit calls them; jobs share no GPU."""
    found: dict[str, Any] = {"cpus_per_task": max(1, round(resources.get("num_cpus", 1)))}
    if (gpus := resources.get("num_gpus", 0)) > 0:
        found["gpus_per_node"] = max(1, round(gpus))
    return found


def _submitit() -> Any:
    try:
        import submitit
    except ImportError as error:
        raise MechcheckError("running on Slurm needs the package submitit: pip install 'mechcheck[slurm]'") from error
    return submitit
