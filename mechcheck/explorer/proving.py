"""A claim of the page's is run with pytest, in a process of its own that does not outlive who waits for it."""

import json
import os
import shlex
import signal
import subprocess
import sys
import tempfile
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from pathlib import Path

import anyio

from mechcheck.evidence.deciding import estimate_text
from mechcheck.explorer.bodies import Json, Problem

PRINTED = 20_000
"""Characters of what pytest printed, at most, from its end."""
_EVERY = 0.1


class Prover:
    """Runs one file at a time."""

    def __init__(self, place: str, device: str):
        """For the model that stands at a place, as `--mech-model` has it, on a device."""
        self._place = str(Path(place).resolve()) if Path(place).is_dir() else place
        self._device, self._busy = device, False

    async def prove(
        self, name: str, text: str, given_up: Callable[[], Awaitable[bool]], beside: Mapping[str, str] | None = None
    ) -> Json | None:
        """Run a file.

        Args:
            name: the file's.
            text: what it says.
            given_up: whether nobody waits any more.
            beside: other files that it reads: name -> what it says.

        Returns:
            what the page shows of it; None where it was given up, and nothing of it runs any more.

        Raises:
            Problem: another one runs.
        """
        if self._busy:
            raise Problem("run", "a claim is run already, perhaps from another tab: one at a time")
        self._busy = True
        try:
            with tempfile.TemporaryDirectory(prefix="mechcheck-") as folder:
                for other, said in (beside or {}).items():
                    (Path(folder) / other).write_text(said, encoding="utf-8", newline="\n")
                return await self._run(Path(folder), name, text, given_up)
        finally:
            self._busy = False

    async def _run(self, folder: Path, name: str, text: str, given_up: Callable[[], Awaitable[bool]]) -> Json | None:
        (folder / name).write_text(text, encoding="utf-8", newline="\n")
        (folder / "pytest.ini").write_text("[pytest]\n", encoding="utf-8")  # nobody else's options
        options = [f"--mech-model={self._place}", f"--mech-device={self._device}"]
        command = [sys.executable, "-m", "pytest", name, "-p", "no:cacheprovider", "--color=no", "--mech-report=report", *options]
        surroundings = {key: value for key, value in os.environ.items() if not key.startswith("PYTEST_")}
        with open(folder / "printed", "wb") as printed:
            running = subprocess.Popen(
                command, cwd=folder, env=surroundings, stdin=subprocess.DEVNULL, stdout=printed, stderr=subprocess.STDOUT,
                start_new_session=True,
            )  # fmt: skip
        try:
            while running.poll() is None:
                if await given_up():
                    return None
                await anyio.sleep(_EVERY)
        finally:
            _end(running)
        told = (folder / "printed").read_text(encoding="utf-8", errors="replace")[-PRINTED:]
        return _found(folder / "report" / "evidence.json") | {"printed": told, "command": shlex.join(["pytest", name, *options])}


def _end(running: "subprocess.Popen[bytes]") -> None:
    """It, and what it began."""
    with suppress(OSError):
        if hasattr(os, "killpg"):
            os.killpg(running.pid, signal.SIGKILL)
        else:
            running.kill()
    running.wait()


def _found(path: Path) -> Json:
    """What the evidence says of its one claim; only that there is none where pytest came to none."""
    try:
        (claim,) = json.loads(path.read_text(encoding="utf-8"))["claims"]
    except (OSError, ValueError):
        return {"verdict": "errored", "reason": "pytest came to no verdict: see what it printed", "checks": [], "decoys": "", "prompts": 0}
    decoys, drawn = claim["decoys"], claim["prompts"]
    return {
        "verdict": claim["verdict"],
        "reason": claim["reason"] or "",
        "checks": [
            {"label": one["label"], "estimate": estimate_text(one, "+.3f"), "verdict": one["verdict"]} for one in claim["expectations"]
        ],
        "decoys": f"{decoys['rejected']} of {decoys['n']} rejected ({decoys['kind']})" if decoys else "",
        "prompts": drawn["n"] if drawn else 0,
    }
