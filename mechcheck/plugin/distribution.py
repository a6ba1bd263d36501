"""Claims on several processes: those of one model stay together, and each process has its own GPU."""

import math
import os
import re
import subprocess
from collections import Counter
from typing import TYPE_CHECKING, Any

import pytest

from mechcheck.base.paths import trained_models
from mechcheck.evidence.dtypes import untagged
from mechcheck.models.names import model_name

if TYPE_CHECKING:
    from xdist.scheduler import LoadScopeScheduling

# What a process with torch, TransformerLens and a small model takes; `-n auto` starts no more than fit into free memory.
PROCESS_BYTES = 2 * 2**30
_PARAMETERS = re.compile(r"\[(.*)\]$")


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> "LoadScopeScheduling | None":
    """Where tests are spread freely (`-n`, `--dist load`), spread claims by model, so that few processes load each of them."""
    if config.getvalue("dist") != "load":
        return None
    return _by_model(config, log)


def _by_model(config: pytest.Config, log: Any) -> "LoadScopeScheduling":
    from xdist.scheduler import LoadScopeScheduling

    class ByModel(LoadScopeScheduling):
        """Units of work are the claims on a model, cut into as many parts as there are processes to keep busy.

        A process that dies takes the test along that it was running, which is not run again: it might kill every process that tries. What
        the process had before it goes to others, once they can take it.
        """

        def __init__(self, config: pytest.Config, log: Any) -> None:
            super().__init__(config, log)
            self._started: set[str] = set()
            config.pluginmanager.register(self, "mechcheck-scheduler")

        def pytest_runtest_logstart(self, nodeid: str) -> None:
            self._started.add(nodeid)

        def schedule(self) -> None:
            if self.collection is None and self.registered_collections:
                nodeids = next(iter(self.registered_collections.values()))
                self._units = units(nodeids, model_names(config), len(self.nodes))
            super().schedule()

        def remove_node(self, node: Any) -> str | None:
            workload = self.assigned_work.pop(node)
            left = {unit: open_ for unit, tests in workload.items() if (open_ := [name for name, done in tests.items() if not done])}
            first = next(iter(left.values()))[0] if left else None
            crashed = first if first in self._started else None  # a process can die before it starts the next
            for unit, names in left.items():
                if names := [name for name in names if name != crashed]:
                    self.workqueue[unit] = dict.fromkeys(names, False)
            for other in self.nodes:
                self._reschedule(other)
            return crashed

        def _reschedule(self, node: Any) -> None:
            if node in self.registered_collections:  # one that has just replaced another cannot be told yet what to run
                super()._reschedule(node)

        def _assign_work_unit(self, node: Any) -> None:
            if node in self.registered_collections and self.workqueue:
                super()._assign_work_unit(node)

        def _split_scope(self, nodeid: str) -> str:
            return self._units[nodeid]

    return ByModel(config, log)


def model_names(config: pytest.Config) -> tuple[str, ...]:
    """The models that claims of this run can be about, as they are called in test ids; compiled ones cost nothing to load."""
    asked = config.getoption("--mech-model")
    return tuple(map(model_name, asked)) if asked else trained_models()


def units(nodeids: list[str], names: tuple[str, ...], processes: int) -> dict[str, str]:
    """Test id -> its unit of work: claims by model, any other test by itself."""
    models = {nodeid: found for nodeid in nodeids if (found := _model_in(nodeid, names)) is not None}
    sizes = Counter(models.values())
    parts = math.ceil(processes / len(sizes)) if sizes else 1
    seen: Counter[str] = Counter()
    chosen = {}
    for nodeid in nodeids:
        name = models.get(nodeid)
        if name is None:
            chosen[nodeid] = nodeid
            continue
        chosen[nodeid] = f"{name} {seen[name] * parts // sizes[name]}"
        seen[name] += 1
    return chosen


def _model_in(nodeid: str, names: tuple[str, ...]) -> str | None:
    """The model that a test id names among its parameters; the longest, where one name is a part of another."""
    found = _PARAMETERS.search(nodeid)
    inside = f"-{untagged(found[1])}-" if found else ""
    return max((name for name in names if f"-{name}-" in inside), key=len, default=None)


@pytest.hookimpl(optionalhook=True, tryfirst=True)
def pytest_xdist_auto_num_workers(config: pytest.Config) -> int | None:
    """`-n auto`: a process for each GPU if there are any to be used, else as many as cores and free memory allow."""
    if os.environ.get("PYTEST_XDIST_AUTO_NUM_WORKERS"):
        return None
    if config.getoption("--mech-device") == "cuda":
        return max(1, len(visible_gpus()))
    import psutil

    cores = psutil.cpu_count(logical=False) or psutil.cpu_count() or 1
    return max(1, min(cores, psutil.virtual_memory().available // PROCESS_BYTES))


def take_gpu(config: pytest.Config) -> None:
    """Before CUDA is initialised: have cuBLAS repeat bit for bit, and in a worker process see one of the caller's GPUs only."""
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    worker = getattr(config, "workerinput", None)
    if worker is None or config.getoption("--mech-device") != "cuda":
        return
    gpus = visible_gpus()
    if gpus:
        os.environ["CUDA_VISIBLE_DEVICES"] = gpus[int(worker["workerid"].removeprefix("gw")) % len(gpus)]


def visible_gpus() -> list[str]:
    """The caller's GPUs, as CUDA_VISIBLE_DEVICES names them; without it, all that the driver lists."""
    chosen = os.environ.get("CUDA_VISIBLE_DEVICES")
    if chosen is not None:
        return [name.strip() for name in chosen.split(",") if name.strip() not in ("", "-1")]
    try:
        listed = subprocess.run(["nvidia-smi", "--list-gpus"], capture_output=True, text=True, check=True, timeout=30)
    except (OSError, subprocess.SubprocessError):
        return []
    return [str(number) for number, line in enumerate(listed.stdout.splitlines()) if line.startswith("GPU")]
