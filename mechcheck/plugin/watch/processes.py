"""Where runs happen: in a copy of this process, which has everything loaded, or, where there can be none, in a fresh one."""

import gc
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from importlib import metadata
from pathlib import Path

from mechcheck.plugin.watch.child import run_pytest

SMALL_KEPT, OTHERS_KEPT = 15, 3
"""Models that are loaded ahead, embedded and others: one fewer than stay in memory."""


def load_everything() -> None:
    """Import what claims import, once. Nothing of it runs in several threads: a copy of the process would wait for threads it has not."""
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    import hypothesis  # noqa: F401
    import scipy
    import torch
    import transformer_lens.model_bridge  # noqa: F401

    import mechcheck

    torch.set_num_threads(1)
    for name in dir(mechcheck):
        getattr(mechcheck, name)
    scipy.stats.norm  # noqa: B018  # loads it
    for plugin in metadata.entry_points(group="pytest11"):
        with suppress(Exception):  # a run will say what is the matter with it
            plugin.load()
    import mechcheck.report._render  # the page of a run

    gc.freeze()


def worth_keeping(models: Sequence[tuple[str, str]], device: str) -> list[tuple[str, str]]:
    """Which models, with their dtypes, to have in memory: copies of the process begin with them."""
    if device != "cpu":
        return []  # a copy could not use what this process has begun on a GPU
    from mechcheck.models.names import embedded_models

    known = embedded_models()
    small, others = [one for one in models if one[0] in known], [one for one in models if one[0] not in known]
    return [*small[:SMALL_KEPT], *others[:OTHERS_KEPT]]


def load_model(name: str, dtype: str) -> None:
    """Have a model in memory; where it cannot be loaded the run will tell."""
    from mechcheck.base.device import repeat_exactly
    from mechcheck.base.errors import MechcheckError
    from mechcheck.base.progress import be_quiet
    from mechcheck.models import loading

    be_quiet(True)
    repeat_exactly()
    with suppress(MechcheckError, OSError):
        loading.load_model(name, dtype=dtype, offline=True)


class Run:
    """A run of pytest that has begun."""

    def __init__(self, arguments: Sequence[str], answer: Path, copied: bool, silent: bool = False):
        self._process: subprocess.Popen[bytes] | None = None
        self._status: int | None = None
        sys.stdout.flush()
        sys.stderr.flush()
        if not copied:
            command = [sys.executable, "-m", "mechcheck.plugin.watch.child", str(answer), *arguments]
            self._process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL if silent else None, start_new_session=True
            )
            self._pid = self._process.pid
            return
        self._pid = os.fork()
        if self._pid == 0:
            _become_a_run(arguments, answer, silent)
        with suppress(OSError):  # as the child does: whoever comes first
            os.setpgid(self._pid, self._pid)

    def ended(self) -> bool:
        """Whether it is over."""
        if self._status is None:
            if self._process is not None:
                self._status = self._process.poll()
            else:
                pid, status = os.waitpid(self._pid, os.WNOHANG)
                self._status = os.waitstatus_to_exitcode(status) if pid else None
        return self._status is not None

    def interrupt(self, patience: float = 10.0) -> None:
        """Have pytest stop and sum up; a run that does not within the time is killed."""
        for number, seconds in ((signal.SIGINT, patience), (signal.SIGKILL if hasattr(signal, "SIGKILL") else signal.SIGTERM, 5.0)):
            self._tell(number)
            limit = time.monotonic() + seconds
            while time.monotonic() < limit:
                if self.ended():
                    return
                time.sleep(0.02)

    def _tell(self, number: int) -> None:
        with suppress(OSError):
            if hasattr(os, "killpg"):
                os.killpg(self._pid, number)
            elif self._process is not None:
                self._process.terminate()


def _become_a_run(arguments: Sequence[str], answer: Path, silent: bool) -> None:
    """In the copy: run, and end without a word of what only the first process has to clear up."""
    status = 3
    try:
        os.setpgid(0, 0)  # Ctrl-C is for the process that watches, which passes it on
        signal.signal(signal.SIGINT, signal.default_int_handler)
        nothing = os.open(os.devnull, os.O_RDWR)
        os.dup2(nothing, 0)
        if silent:
            os.dup2(nothing, 1)
        sys.stdin = open(0, encoding="utf-8", closefd=False)  # noqa: SIM115
        status = run_pytest(arguments, answer)
    except BaseException:
        import traceback

        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)
