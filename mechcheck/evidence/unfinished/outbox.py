"""What a worker on another machine leaves of its claims: kept in memory, and sent home with each answer."""

import zlib
from pathlib import Path

from mechcheck.evidence.parts import KINDS, Json, Kept, Parts


class Outbox(Parts):
    """As `Parts`, but for nothing being written where it is: whoever owns the run has the folder."""

    def __init__(self, run: str) -> None:
        super().__init__(Path(run))

    def hold(self) -> None:
        """Nobody looks for this process in a folder."""

    def heal(self) -> None:
        """Nothing of it can be deleted."""

    def adopt(self, record: Json) -> None:
        """Other processes send their own."""

    def taken(self, worker: str) -> dict[str, bytes]:
        """What is new since it was last asked: packed files by name. Sentinels, which any worker may examine, are named by this one."""
        new = {name: kept.packed for name, kept in self.kept.items() if kept.packed and name.partition("/")[0] in KINDS}
        for name in new:
            self.kept[name] = Kept(b"", ())  # prompts are not sent a second time
        return {f"{name.removesuffix('.json')}-{worker}.json" if name.startswith("sentinels/") else name: new[name] for name in new}

    def _write(self, name: str, content: bytes) -> None:
        self.kept[name] = Kept(zlib.compress(content, 1), ())
