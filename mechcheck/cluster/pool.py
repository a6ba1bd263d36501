"""Tasks on workers: each goes where its kind was before, a lost worker's is done again, and who waits sees futures only."""

import threading
from collections import Counter, deque
from collections.abc import Callable, Iterable
from concurrent.futures import BrokenExecutor, Executor, Future
from contextlib import suppress
from functools import partial
from typing import Any

from mechcheck.cluster.tasks import Hired, Said, State, Task
from mechcheck.cluster.workers import LeftWorkerError, LostWorkerError, Resources, Worker, packed, unpacked

RETRIES = 2
"""How often a task is done again whose worker was lost: it may be the task that ends them."""
_FAILED_STARTS = 3
"""So many workers that end before they are ready, and none that gets ready, are a fault that others will not be spared."""

Start = Callable[[int, Resources], Worker]


class Pool(Executor):
    """An executor over workers of any kind.

    A task prefers the worker that has had its `affinity` before (a model that is loaded there); one that has nothing left of its own
    affinity helps where most is left.

    Args:
        start: makes a worker, given its number and the resources that its tasks need.
        workers: at most so many.
        retries: how often a task is done again whose worker was lost.
        initializer: done first in each worker; an error in it is that of all tasks.
        initargs: its arguments.
        finalizer: done last in each worker that is not stopped.
        closed: done when all workers are gone.
        resources: what a task needs that does not say so itself.
    """

    def __init__(
        self, start: Start, workers: int, *, retries: int = RETRIES, initializer: Callable | None = None, initargs: Iterable[Any] = (),
        finalizer: Callable | None = None, closed: Callable[[], None] = lambda: None, resources: Resources | None = None,
    ) -> None:  # fmt: skip
        self.workers = workers
        self.lost: list[str] = []
        """The names of workers that were lost."""
        self._start, self._retries, self._closed = start, retries, closed
        self._resources = resources or {}
        self._first = packed(initializer or _nothing, tuple(initargs), {})
        self._last = packed(finalizer, (), {}) if finalizer else None
        self._count = 0
        self._failed_starts = 0
        self._state = State()
        self._changed = threading.Condition()
        self._thread = threading.Thread(target=self._assign, name="mechcheck-pool", daemon=True)
        self._thread.start()

    def submit(  # type: ignore[override]
        self, fn: Callable, /, *args: Any, resources: Resources | None = None, affinity: str = "", **kwargs: Any
    ) -> Task:
        """Have fn(*args, **kwargs) done.

        Args:
            resources: what the task needs beside a core, if not what all do; it is done by a worker that was started with the same.
            affinity: tasks of one affinity go to the same workers as far as that keeps no worker idle.

        Raises:
            MechcheckError: it cannot be sent to another process.
            RuntimeError: the pool was shut down, or cannot start workers.
        """
        task = Task(packed(fn, args, kwargs), self._resources if resources is None else resources, affinity)
        with self._changed:
            if self._state.broken is not None:
                raise BrokenExecutor(f"no worker could be started: {self._state.broken}") from self._state.broken
            if self._state.closing:
                raise RuntimeError("cannot schedule new futures after shutdown")
            self._state.queue.append(task)
            self._changed.notify()
        return task

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Take no more tasks; end the workers when all are done. `cancel_futures`: those not yet begun are not done."""
        with self._changed:
            self._state.closing = True
            if cancel_futures:
                self._state.queue = deque(task for task in self._state.queue if not task.cancel())
            self._changed.notify()
        if wait:
            self._thread.join()

    def stop(self) -> None:
        """End all workers at once; what they are doing is lost."""
        with self._changed:
            self._state.closing = self._state.stopping = True
            self._changed.notify()
        self._thread.join()

    def _assign(self) -> None:
        """The thread that gives tasks to workers, until there is nothing more to do."""
        try:
            while self._step():
                pass
        except BaseException as error:  # a worker cannot be started at all
            with self._changed:
                self._break(error)
        finally:
            for hired in self._state.hired:
                with suppress(Exception):
                    hired.worker.stop()
            self._closed()

    def _step(self) -> bool:
        with self._changed:
            while not (self._state.said or self._wanted() or self._state.stopping or self._over()):
                self._changed.wait()
            if self._state.stopping:
                self._give_up()
                return False
            said, self._state.said = self._state.said, deque()
            over = self._over() and not said
        for one in said:
            self._heed(one)
        if over:
            self._finish()
            return False
        for hired, task in self._matched():
            self._give(hired, task)
        return True

    def _over(self) -> bool:
        state = self._state
        return state.broken is not None or (state.closing and not state.queue and all(hired.task is None for hired in state.hired))

    def _wanted(self) -> bool:
        """Whether a task could be given away, or a worker started for one."""
        state = self._state
        idle = any(hired.ready and hired.task is None for hired in state.hired)
        starting = sum(not hired.ready for hired in state.hired)
        return bool(state.queue) and (idle or (len(state.hired) < self.workers and starting < len(state.queue)))

    def _matched(self) -> list[tuple[Hired, Task]]:
        """Which task goes to which idle worker; workers that are needed are started on the way."""
        pairs: list[tuple[Hired, Task]] = []
        with self._changed:
            queue = self._state.queue
            for hired in [one for one in self._state.hired if one.ready and one.task is None]:
                task = self._best(hired)
                if task is not None:
                    queue.remove(task)
                    if not task.running() and not task.set_running_or_notify_cancel():
                        continue  # it was cancelled; one whose worker was lost, or had left, runs already
                    hired.task = task
                    pairs.append((hired, task))
            left = [task for task in queue if not task.cancelled()]
            if len(left) < len(queue):
                self._state.queue = deque(left)
            wanted = left[sum(not one.ready for one in self._state.hired) :]
            idle = [one for one in self._state.hired if one.ready and one.task is None]
        for task in wanted:  # what the workers that are here do not do
            if len(self._state.hired) >= self.workers:
                if not idle:
                    break
                self._dismiss(idle.pop())
            self._hire(task.resources)
        return pairs

    def _best(self, hired: Hired) -> Task | None:
        """Of its affinity the first; else of the one where most is left for each worker."""
        fit = [task for task in self._state.queue if task.resources == hired.resources]
        if not fit:
            return None
        own = next((task for task in fit if hired.affinity and task.affinity == hired.affinity), None)
        if own is not None:
            return own
        left = Counter(task.affinity for task in fit)
        at = Counter(one.affinity for one in self._state.hired if one.task is not None)
        return max(fit, key=lambda task: left[task.affinity] / (at[task.affinity] + 1) if task.affinity else 0.0)

    def _hire(self, resources: Resources) -> None:
        self._count += 1
        hired = Hired(self._count, resources, self._start(self._count, resources))
        with self._changed:
            self._state.hired.append(hired)
        self._watch(hired, hired.worker.call(self._first))  # it may wait long for room on a cluster, and no task with it

    def _dismiss(self, hired: Hired) -> None:
        self._state.hired.remove(hired)
        hired.worker.stop()

    def _give(self, hired: Hired, task: Task) -> None:
        hired.affinity = task.affinity or hired.affinity
        self._watch(hired, hired.worker.call(task.work))

    def _watch(self, hired: Hired, call: "Future[bytes]") -> None:
        call.add_done_callback(partial(self._hear, hired))

    def _hear(self, hired: Hired, done: "Future[bytes]") -> None:
        with self._changed:
            self._state.said.append(Said(hired, done))
            self._changed.notify()

    def _heed(self, said: Said) -> None:
        hired, task = said.hired, said.hired.task
        try:
            answer = said.done.result()
        except LostWorkerError as error:
            self._mourn(hired, task, error)
            return
        except Exception as error:  # what carries the calls is at fault
            self._mourn(hired, task, LostWorkerError(f"{type(error).__name__}: {error}"))
            return
        if task is None:
            self._begun(hired, answer)
            return
        hired.task = None
        try:
            task.set_result(unpacked(answer))
        except BaseException as error:
            task.set_exception(error)

    def _begun(self, hired: Hired, answer: bytes) -> None:
        try:
            unpacked(answer)
        except Exception as error:
            with self._changed:
                self._break(error)
        else:
            hired.ready = True
            self._failed_starts = 0

    def _mourn(self, hired: Hired, task: Task | None, error: LostWorkerError) -> None:
        with self._changed:
            self._state.hired.remove(hired)
            name = f"{hired.worker.name} ({error})" if str(error) else hired.worker.name
            self.lost.append(name)
            if task is None:
                self._failed_starts += not hired.ready
                if self._failed_starts >= _FAILED_STARTS:
                    self._break(error)
                return
            if not isinstance(error, LeftWorkerError):
                task.losses.append(name)
            if len(task.losses) <= self._retries:
                self._state.queue.appendleft(task)
                return
        task.set_exception(LostWorkerError(f"{len(task.losses)} workers were lost over it: {', '.join(task.losses)}"))

    def _break(self, error: BaseException) -> None:
        self._state.broken = error
        for task in (*self._state.queue, *(hired.task for hired in self._state.hired if hired.task)):
            with suppress(Exception):
                task.set_exception(error)
        self._state.queue.clear()

    def _give_up(self) -> None:
        for task in (*self._state.queue, *(hired.task for hired in self._state.hired if hired.task)):
            if not task.cancel() and not task.done():
                task.set_exception(LostWorkerError("it was stopped"))

    def _finish(self) -> None:
        """Let workers that are ready do their last."""
        if self._last is None or self._state.broken is not None:
            return
        last = [hired.worker.call(self._last) for hired in self._state.hired if hired.ready]
        for one in last:
            with suppress(Exception):
                one.result(timeout=60)


def _nothing(*_: Any) -> None:
    """What a worker does first where nothing is to be done."""
