"""Workers that are processes of this machine."""

import os
import subprocess
import sys

from mechcheck.cluster.connected import ConnectedWorker, Door
from mechcheck.cluster.serving import KEY
from mechcheck.cluster.workers import Resources

_HERE = "127.0.0.1"
_END_S = 5.0
"""What a process may take to end."""


class LocalProcesses:
    """Starts them."""

    def __init__(self) -> None:
        self._door = Door(_HERE)
        self._processes: list[subprocess.Popen] = []

    def start(self, number: int, resources: Resources) -> ConnectedWorker:
        """A process; all of them share this machine's resources, whatever they need."""
        command = [sys.executable, "-m", "mechcheck.cluster.serving", _HERE, str(self._door.port), str(number), *sys.path]
        process = subprocess.Popen(command, env=os.environ | {KEY: self._door.key.hex()}, stdin=subprocess.DEVNULL)
        self._processes.append(process)
        return self._door.expect(number, lambda: process.poll() is None, process.kill)

    def close(self) -> None:
        """No more of them; those that are told to end do so."""
        self._door.close()
        for process in self._processes:
            try:
                process.wait(_END_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
