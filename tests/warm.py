"""The programs `pytest`, `mechcheck` and `python`, run by a process that has its slow imports behind it.

`Shell` starts that process and puts programs of these names first on a path. Each hands its words, directory, environment and files over;
the process forks, the fork is the program, and the program ends with the fork's exit status.
"""

import fcntl
import gc
import importlib
import json
import os
import pkgutil
import runpy
import select
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib import metadata
from pathlib import Path
from unittest.mock import patch

PROGRAM = """#!{python} -IS
import json, os, signal, socket, sys
words = [os.path.basename(sys.argv[0]), *sys.argv[1:]]
words[1:2] = ["-m", "pytest"] if words[1:2] == ["-mpytest"] else words[1:2]
served = (["-m", "pytest"], ["-m", "mechcheck.cli"], ["-m", "mechcheck.cluster.serving"], ["-u", "-c"])  # the last is pytest-xdist's
if words[0] == "python" and words[1:3] not in served and (words[1:] or ["-"])[0].startswith("-"):
    os.execv("{python}", ["{python}", *words[1:]])
with socket.socket(socket.AF_UNIX) as warm:
    warm.connect("{address}")
    ignored = [one for one in (signal.SIGINT, signal.SIGHUP) if signal.getsignal(one) == signal.SIG_IGN]
    request = dict(words=words, directory=os.getcwd(), environment=dict(os.environ), ignored=ignored)
    socket.send_fds(warm, [b"f"], [0, 1, 2])
    warm.sendall(json.dumps(request).encode() + b"\\n")
    status = warm.recv(8)
sys.exit(int(status or 137))
"""


class Shell:
    """Runs command lines as a user would who has mechcheck installed, without waiting for imports."""

    def __init__(self, folder: Path, **environment: str):
        """Start the process.

        Args:
            folder: for the programs.
            environment: of commands, beside what is there without pytest's and mechcheck's own; what is read at import counts here only.
        """
        clean = {name: value for name, value in os.environ.items() if not name.startswith(("PYTEST", "COV", "HF_", "MECH"))}
        binaries = (folder / "bin", Path(sys.executable).parent)
        path = os.pathsep.join([*map(str, binaries), clean["PATH"]])
        self.environment = clean | {"PATH": path, "PIP_NO_INDEX": "1", "OMP_NUM_THREADS": "1"} | environment
        self._place = tempfile.TemporaryDirectory(prefix="warm")  # a test's own folder may be too long for a socket's address
        address = str(Path(self._place.name) / "warm")
        binaries[0].mkdir()
        for name in PROGRAMS:
            (binaries[0] / name).write_text(PROGRAM.format(python=sys.executable, address=address))
            (binaries[0] / name).chmod(0o755)
        self._warm = subprocess.Popen(
            [sys.executable, __file__, address], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=self.environment
        )
        assert self._warm.stdout is not None
        assert self._warm.stdout.readline() == "ready\n", "the process with the imports did not start"

    def run(self, line: str, directory: Path, **environment: str) -> subprocess.CompletedProcess:
        """Run a command line; output and errors come in one."""
        return subprocess.run(
            ["bash", "-eo", "pipefail", "-c", line], cwd=directory, env=self.environment | environment,
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=900,
        )  # fmt: skip

    @contextmanager
    def for_python(self) -> Iterator[None]:
        """What is started with `sys.executable` meanwhile need not wait for imports either; it dies with what waits for it."""
        path = self.environment["PATH"]
        with patch.object(sys, "executable", shutil.which("python", path=path)), patch.dict(os.environ, PATH=path):
            yield

    def close(self) -> None:
        """End the process."""
        self._warm.communicate(timeout=60)
        self._place.cleanup()


def run_mechcheck() -> int:
    from mechcheck.cli import main

    return main()


def run_pytest() -> int:
    import pytest

    return int(pytest.main())


def run_python() -> int:
    """A script, `-m` and one of the other programs, or `-u -c` and code."""
    del sys.argv[0]
    if sys.argv[0] == "-u":
        exec(sys.argv[2], {"__name__": "__main__"})
        return 0
    if sys.argv[:2] == ["-m", "mechcheck.cluster.serving"]:
        del sys.argv[0]
        warnings.filterwarnings("ignore", message=".*found in sys.modules", category=RuntimeWarning)
        runpy.run_module(sys.argv[0], run_name="__main__")
        return 0
    if sys.argv[0] == "-m":
        sys.argv[:2] = [sys.argv[1].partition(".")[0]]
        return PROGRAMS[sys.argv[0]]()
    sys.path.insert(0, str(Path(sys.argv[0]).parent))
    runpy.run_path(sys.argv[0], run_name="__main__")
    return 0


PROGRAMS = {"pytest": run_pytest, "mechcheck": run_mechcheck, "python": run_python}


def be_the_program(words: list[str], directory: str, environment: Mapping[str, str], ignored: list[int]) -> int:
    for one, usual in ((signal.SIGINT, signal.default_int_handler), (signal.SIGHUP, signal.SIG_DFL)):  # as whoever asks has them
        signal.signal(one, signal.SIG_IGN if one in ignored else usual)
    os.chdir(directory)
    os.environ.clear()
    os.environ.update(environment)
    sys.argv = words
    sys.executable = shutil.which("python") or sys.executable
    sys.path.remove(str(Path(__file__).parent))
    try:
        return int(PROGRAMS[words[0]]())
    except SystemExit as done:
        return done.code if isinstance(done.code, int) else int(done.code is not None)
    except Exception:
        sys.excepthook(*sys.exc_info())
        return 1
    finally:
        sys.stdout.flush()
        sys.stderr.flush()


def answer(caller: socket.socket) -> None:
    """In the fork: run what the caller asks for, with its files, and tell it the exit status."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    _, files, _, _ = socket.recv_fds(caller, 1, 3)
    request = json.loads(caller.makefile().readline())
    if hasattr(fcntl, "F_SETSIG"):  # whoever kills the program kills what waits for its end: it takes the fork along
        fcntl.fcntl(caller, fcntl.F_SETOWN, os.getpid())
        fcntl.fcntl(caller, fcntl.F_SETSIG, signal.SIGKILL)
        fcntl.fcntl(caller, fcntl.F_SETFL, fcntl.fcntl(caller, fcntl.F_GETFL) | os.O_ASYNC)
    for number, file in enumerate(files):
        os.dup2(file, number)
    caller.sendall(str(be_the_program(**request)).encode())


def serve(address: str) -> None:
    """Answer until standard input ends."""
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # forks are nobody's to wait for: each answers by itself
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(address)
        listening.listen()
        print("ready", flush=True)
        while select.select([listening, sys.stdin], [], [])[0] == [listening]:
            caller, _ = listening.accept()
            if os.fork() == 0:
                try:
                    answer(caller)
                finally:
                    os._exit(1)
            caller.close()


if __name__ == "__main__":
    import hypothesis  # noqa: F401
    import pytest  # noqa: F401
    import transformer_lens.model_bridge.sources.transformers  # noqa: F401
    import transformers.models.gpt2.modeling_gpt2  # noqa: F401
    from _pytest.assertion.rewrite import AssertionRewritingHook

    import mechcheck as package

    for name in package.__all__:
        getattr(package, name)
    for module in pkgutil.walk_packages(package.__path__, "mechcheck."):
        importlib.import_module(module.name)
    for plugin in metadata.entry_points(group="pytest11"):
        plugin.load()  # otherwise each fork compiles them, as pytest rewrites what they assert
    AssertionRewritingHook._warn_already_imported = lambda *_: None  # type: ignore[method-assign]  # it is, and need not be rewritten
    gc.collect()
    gc.freeze()  # forks' collectors need not go over a million objects of imports, nor copy the pages on which these lie
    serve(sys.argv[1])
