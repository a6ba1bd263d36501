"""Workers as submitit starts them on this machine: where it is not installed nothing of this is run."""

import jobs
import pytest

from mechcheck.cluster.executor import cluster_executor
from mechcheck.cluster.on_slurm import _parameters

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
