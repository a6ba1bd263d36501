"""Workers as submitit starts them on this machine: where it is not installed nothing of this is run."""

import os
import signal
import time

import jobs
import pytest

from mechcheck.cluster.executor import cluster_executor
from mechcheck.cluster.on_slurm import SlurmJobs, _parameters

pytest.importorskip("submitit", reason="pip install 'mechcheck[slurm]'")


@pytest.fixture
def where(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    return "slurm:local"


def test_jobs_answer_and_one_that_is_lost_is_replaced(where, tmp_path):
    with cluster_executor(where, 2) as pool:
        assert list(pool.map(jobs.twice, range(6))) == [0, 2, 4, 6, 8, 10]
        task = pool.submit(jobs.end_once, tmp_path / "seen")
        assert task.result() == "lived"
        assert len(task.losses) == 1
    assert (tmp_path / ".mechcheck-slurm").stat().st_mode & 0o077 == 0


def test_a_job_whose_time_is_nearly_over_answers_and_leaves(where):
    """What it was doing is whole, and what comes next is done by another, at no cost to any task's retries."""
    with cluster_executor(where, 1, retries=0) as pool:
        first, told = pool.submit(jobs.warned, 0.1).result()
        assert told == "done"
        second = pool.submit(jobs.process)
        assert second.result() != first
        assert second.losses == []


def test_a_job_that_is_idle_leaves_at_once(where):
    with cluster_executor(where, 1, retries=0) as pool:
        first = pool.submit(jobs.process).result()
        os.kill(first, signal.SIGUSR2)
        time.sleep(0.2)
        second = pool.submit(jobs.process)
        assert second.result() != first
        assert second.losses == []


def test_jobs_outlive_the_minutes_that_submitit_gives_them(where, tmp_path):
    """By its own defaults those on this machine are warned after a minute and a half, and ended half a minute later."""
    here = SlurmJobs("local", {"slurm_folder": tmp_path})
    try:
        assert here._options == {"timeout_min": 7 * 24 * 60}
        for own in ({"timeout_min": 3}, {"slurm_time": 3}):
            assert SlurmJobs("slurm", own | {"slurm_folder": tmp_path})._options == own
    finally:
        here.close()


def test_resources_are_those_of_jobs():
    assert _parameters({}) == {"cpus_per_task": 1}
    assert _parameters({"num_cpus": 4, "num_gpus": 0.25}) == {"cpus_per_task": 4, "gpus_per_node": 1}
    assert _parameters({"num_gpus": 2}) == {"cpus_per_task": 1, "gpus_per_node": 2}


def test_submitits_debug_executor_runs_a_task_as_a_worker_does(tmp_path):
    import pickle

    import submitit

    from mechcheck.cluster.workers import answered, packed, unpacked

    job = submitit.AutoExecutor(tmp_path, cluster="debug").submit(answered, packed(jobs.twice, (21,), {}))
    assert unpacked(job.result()) == 42
    assert pickle.loads(job.result())[0] is True
