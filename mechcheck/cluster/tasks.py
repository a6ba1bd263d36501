"""What a pool knows of its tasks and workers."""

from collections import deque
from concurrent.futures import Future
from dataclasses import dataclass, field

from mechcheck.cluster.workers import Resources, Worker


class Task(Future):
    """A future that knows which workers were lost over it."""

    def __init__(self, work: bytes, resources: Resources, affinity: str) -> None:
        super().__init__()
        self.losses: list[str] = []
        """The names of those workers, in order."""
        self.work = work
        self.resources = dict(resources)
        self.affinity = affinity


@dataclass(eq=False)
class Hired:
    """A worker, and what it is at."""

    number: int
    resources: Resources
    worker: Worker
    affinity: str = ""
    task: Task | None = None
    ready: bool = False


@dataclass
class Said:
    """What a worker's calls have come to, for the thread that assigns tasks."""

    hired: Hired
    done: "Future[bytes]"


@dataclass
class State:
    queue: deque[Task] = field(default_factory=deque)
    said: deque[Said] = field(default_factory=deque)
    hired: list[Hired] = field(default_factory=list)
    closing: bool = False
    """Nothing is submitted any more."""
    stopping: bool = False
    """What is being done is given up too."""
    broken: BaseException | None = None
