"""Spreading claims over processes: by model, one GPU each, no more than fit."""

import os
import subprocess
from types import SimpleNamespace

import psutil
import pytest

from mechcheck.plugin.distribution import PROCESS_BYTES, pytest_xdist_auto_num_workers, take_gpu, units, visible_gpus

NAMES = ("gpt2", "gpt2-medium", "tiny")


def config(device="cpu", worker=None):
    made = SimpleNamespace(getoption={"--mech-device": device, "--mech-model": []}.get)
    if worker is not None:
        made.workerinput = {"workerid": worker}
    return made


def test_claims_of_a_model_are_one_unit_and_other_tests_stand_alone():
    nodeids = [
        "a.py::test_x[gpt2-zero]",
        "a.py::test_x[gpt2-medium-zero]",
        "b.py::test_y[mean-tiny]",
        "b.py::test_z[gpt2]",
        "c.py::test_plain[1]",
    ]
    assert units(nodeids, NAMES, processes=2) == {
        nodeids[0]: "gpt2 0", nodeids[1]: "gpt2-medium 0", nodeids[2]: "tiny 0", nodeids[3]: "gpt2 0", nodeids[4]: nodeids[4],
    }  # fmt: skip


def test_one_model_is_cut_into_parts_for_all_processes():
    nodeids = [f"a.py::test_{i}[tiny]" for i in range(10)]
    assert list(units(nodeids, NAMES, processes=4).values()) == [f"tiny {part}" for part in (0, 0, 0, 1, 1, 2, 2, 2, 3, 3)]


def test_only_a_whole_name_counts():
    assert units(["a.py::test_x[gpt2x]", "a.py::test_gpt2"], NAMES, 1) == {
        name: name for name in ("a.py::test_x[gpt2x]", "a.py::test_gpt2")
    }


@pytest.mark.parametrize(("worker", "gpu"), [("gw0", "2"), ("gw1", "GPU-5f"), ("gw2", "2")])
def test_a_worker_takes_one_of_the_callers_gpus(monkeypatch, worker, gpu):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "2, GPU-5f")
    take_gpu(config("cuda", worker))
    assert os.environ["CUDA_VISIBLE_DEVICES"] == gpu


@pytest.mark.parametrize(("device", "worker"), [("cpu", "gw1"), ("cuda", None), ("cuda:1", "gw1")])
def test_nothing_is_taken_where_none_is_to_be_chosen(monkeypatch, device, worker):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,1")
    take_gpu(config(device, worker))
    assert os.environ["CUDA_VISIBLE_DEVICES"] == "0,1"


def test_gpus_are_those_of_the_driver_unless_some_are_chosen(monkeypatch):
    listed = SimpleNamespace(stdout="GPU 0: NVIDIA H200 (UUID: GPU-aa)\nGPU 1: NVIDIA H200 (UUID: GPU-bb)\n")
    monkeypatch.setattr(subprocess, "run", lambda *args, **kwargs: listed)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    assert visible_gpus() == ["0", "1"]
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert visible_gpus() == []
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES")

    def missing(*args, **kwargs):
        raise FileNotFoundError("nvidia-smi")

    monkeypatch.setattr(subprocess, "run", missing)
    assert visible_gpus() == []


@pytest.mark.parametrize(("cores", "free", "workers"), [(8, 100, 8), (8, 3, 3), (8, 0, 1), (None, 100, 4)])
def test_auto_is_bounded_by_cores_and_memory(monkeypatch, cores, free, workers):
    monkeypatch.delenv("PYTEST_XDIST_AUTO_NUM_WORKERS", raising=False)
    monkeypatch.setattr(psutil, "cpu_count", lambda logical=True: 4 if logical else cores)
    monkeypatch.setattr(psutil, "virtual_memory", lambda: SimpleNamespace(available=free * PROCESS_BYTES))
    assert pytest_xdist_auto_num_workers(config()) == workers
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,1,2")
    assert pytest_xdist_auto_num_workers(config("cuda")) == 3
    monkeypatch.setenv("PYTEST_XDIST_AUTO_NUM_WORKERS", "7")
    assert pytest_xdist_auto_num_workers(config()) is None


def test_each_model_is_met_by_one_process(in_a_process, pytester, tmp_path, monkeypatch):
    """Two models on two processes: the claims of each ran where the others of it did."""
    pytester.makepyfile(
        test_spread="""
        import os
        import pytest
        from mechcheck import claim, run

        @pytest.mark.parametrize("k", range(4))
        @claim("it runs")
        def test_it(model, check, k):
            from mechcheck import provenance
            with open(os.environ["SEEN"], "a") as file:
                file.write(f"{provenance(model).name} {os.environ['PYTEST_XDIST_WORKER']}\\n")
            raise RuntimeError("seen")
        """
    )
    seen = tmp_path / "seen"
    monkeypatch.setenv("SEEN", str(seen))
    in_a_process("-n2", "-q", "-p", "no:randomly", "--mech-model=names-gpt2-seed0", "--mech-model=names-gpt2-seed4")
    met = {tuple(line.split()) for line in seen.read_text().splitlines()}
    assert len(seen.read_text().splitlines()) == 8
    assert sorted(name for name, _ in met) == ["names-gpt2-seed0", "names-gpt2-seed4"]
    assert len({worker for _, worker in met}) == 2
