"""The pool, on processes of this machine."""

import time
from collections import Counter
from concurrent.futures import BrokenExecutor, as_completed

import jobs
import pytest

from mechcheck.base.errors import MechcheckError
from mechcheck.cluster.executor import cluster_executor
from mechcheck.cluster.workers import LostWorkerError


def test_answers_come_in_order_and_from_as_many_processes_as_were_asked_for():
    with cluster_executor("local", 2) as pool:
        assert list(pool.map(jobs.twice, range(20))) == [2 * i for i in range(20)]
        asked = [pool.submit(jobs.process, 0.3) for _ in range(8)]
        assert len({done.result() for done in as_completed(asked)}) == 2


def test_an_error_is_the_answer_and_says_where_it_was_raised():
    with cluster_executor("local", 1) as pool:
        with pytest.raises(LookupError, match="not here") as found:
            pool.submit(jobs.fail, "not here").result()
        assert "in fail" in found.value.__notes__[0]
        with pytest.raises(RuntimeError, match="OddError: local"):
            pool.submit(jobs.fail_oddly).result()
        assert pool.submit(jobs.twice, 2).result() == 4


def test_what_cannot_be_sent_is_refused_at_once():
    with cluster_executor("local", 1) as pool, pytest.raises(MechcheckError, match="define them in a module"):
        pool.submit(lambda: 1)


def test_a_task_whose_worker_is_lost_is_done_again_and_the_loss_is_known(tmp_path):
    with cluster_executor("local", 1) as pool:
        before = pool.submit(jobs.process).result()
        task = pool.submit(jobs.end_once, tmp_path / "seen")
        assert task.result() == "lived"
        assert [f"process {before} on" in loss for loss in task.losses] == [True]
        assert pool.lost == task.losses
        assert pool.submit(jobs.process).result() != before


def test_a_task_that_ends_every_worker_fails_and_others_do_not():
    with cluster_executor("local", 2, retries=1) as pool:
        bad, good = pool.submit(jobs.end), [pool.submit(jobs.twice, i) for i in range(5)]
        with pytest.raises(LostWorkerError, match="2 workers were lost over it"):
            bad.result()
        assert [one.result() for one in good] == [0, 2, 4, 6, 8]


def test_each_worker_begins_and_ends_as_it_is_told(tmp_path):
    with cluster_executor("local", 2, initializer=jobs.leave, initargs=(tmp_path,), finalizer=jobs.left) as pool:
        processes = {pool.submit(jobs.process, 0.3).result() for _ in range(3)} | set(pool.map(jobs.process, [0.3] * 6))
    assert {path.name for path in tmp_path.iterdir()} == set(map(str, processes))


def test_a_worker_that_cannot_begin_fails_all_tasks():
    pool = cluster_executor("local", 1, initializer=jobs.fail, initargs=("no such file",))
    with pytest.raises(LookupError, match="no such file"):
        pool.submit(jobs.process).result()
    with pytest.raises(BrokenExecutor, match="no such file"):
        pool.submit(jobs.process)
    pool.shutdown()


def test_workers_that_end_before_they_are_ready_fail_all_tasks():
    pool = cluster_executor("local", 1, initializer=jobs.end)
    with pytest.raises(LostWorkerError):
        pool.submit(jobs.process).result()
    pool.shutdown()
    assert len(pool.lost) == 3


def test_tasks_of_one_affinity_stay_on_the_worker_that_has_had_it():
    with cluster_executor("local", 2) as pool:
        while len(set(pool.map(jobs.process, [0.2] * 4))) < 2:  # until both are there
            pass
        asked = [(name, pool.submit(jobs.process, 0.1, affinity=name)) for _ in range(5) for name in "ab"]
        met = Counter((name, task.result()) for name, task in asked)
    assert sorted(met.values()) == [5, 5], met


def test_a_worker_with_nothing_left_of_its_own_helps():
    with cluster_executor("local", 2) as pool:
        asked = [pool.submit(jobs.process, 0.1, affinity="a") for _ in range(8)]
        assert len({one.result() for one in asked}) == 2


def test_other_resources_are_another_worker_in_place_of_one_that_is_idle():
    with cluster_executor("local", 1) as pool:
        plain = pool.submit(jobs.process).result()
        assert pool.submit(jobs.process, resources={"num_gpus": 0.5}).result() != plain
        assert pool.submit(jobs.process, resources={"num_gpus": 0.5}).result() != plain


def test_stopping_ends_what_runs_and_cancels_the_rest():
    pool = cluster_executor("local", 1)
    pool.submit(jobs.process).result()
    runs, waits = pool.submit(jobs.process, 60), pool.submit(jobs.process)
    while not runs.running():
        time.sleep(0.01)
    pool.stop()
    assert isinstance(runs.exception(), LostWorkerError)
    assert waits.cancelled()
    with pytest.raises(RuntimeError, match="after shutdown"):
        pool.submit(jobs.process)


def test_shutting_down_may_leave_undone_what_has_not_begun():
    pool = cluster_executor("local", 1)
    first = pool.submit(jobs.process, 0.5)
    while not first.running():
        time.sleep(0.01)
    rest = [pool.submit(jobs.process) for _ in range(3)]
    pool.shutdown(cancel_futures=True)
    assert first.result() > 0
    assert all(one.cancelled() for one in rest)


@pytest.mark.parametrize(
    ("where", "workers", "message"),
    [
        ("moon", None, "no place 'moon'.*known are local, ray"),
        ("local", 0, "at least one"),
        ("slurm:moon", 1, "no place"),
    ],
)
def test_a_place_that_is_none_is_refused(where, workers, message):
    with pytest.raises(MechcheckError, match=message):
        cluster_executor(where, workers)


@pytest.mark.parametrize(("where", "package", "extra"), [("ray", "ray", "ray"), ("slurm", "submitit", "slurm")])
def test_what_is_not_installed_is_named(monkeypatch, where, package, extra):
    monkeypatch.setitem(__import__("sys").modules, package, None)
    with pytest.raises(MechcheckError, match=rf"pip install 'mechcheck\[{extra}\]'"):
        cluster_executor(where, 1)
