"""Three nodes of Ray on this machine: where it is not installed nothing of this is run."""

import os
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import pytest

from mechcheck.base.reading import read_json

ray = pytest.importorskip("ray", reason="pip install 'mechcheck[ray]'")

ROOT = Path(__file__).resolve().parents[2]
CLAIMS = """
import time
import numpy as np
import pytest
import ray
from mechcheck import claim
from mechcheck.stats.measurement import Measurement

@pytest.mark.parametrize("i", range(9))
@claim("it is so", decoy={"mean": -1.0})
def test_it(check, i, mean=1.0):
    if mean > 0:
        open(f"begun-{ray.get_runtime_context().get_node_id()}-{i}", "w").close()
        time.sleep(6)
    values = mean + np.linspace(-0.5, 0.5, 24)
    check.above(Measurement(values, tuple(map(str, range(24))), tuple(str(j % 8) for j in range(24)), "effect", "logits"), 0)
"""


@pytest.fixture
def cluster(monkeypatch):
    """A head and two nodes of one core each."""
    from ray.cluster_utils import Cluster

    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(ROOT), str(Path(__file__).parent), os.environ.get("PYTHONPATH", "")]))
    made = Cluster(initialize_head=True, head_node_args={"num_cpus": 1})
    others = [made.add_node(num_cpus=1) for _ in range(2)]
    made.wait_for_nodes()
    monkeypatch.setenv("RAY_ADDRESS", made.address)
    yield SimpleNamespace(remove_node=made.remove_node, nodes=others)
    made.shutdown()


def run_claims(folder, *options):
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:randomly", "--mech-profile=smoke", "--mech-cluster=ray", *options]
    return subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def test_a_node_that_is_killed_costs_no_claim(cluster, tmp_path):
    """Minutes on a busy machine: a cluster is started, and three workers on it."""
    (tmp_path / "test_claims.py").write_text(CLAIMS)
    run = run_claims(tmp_path)
    until, others = time.monotonic() + 240, {node.node_id: node for node in cluster.nodes}
    runs: list[str] = []
    while not runs and time.monotonic() < until and run.poll() is None:
        time.sleep(0.1)
        runs = [name for name in others if list(tmp_path.glob(f"begun-{name}-*"))]
    cluster.remove_node(others[runs[0]], allow_graceful=False)
    output, _ = run.communicate(timeout=400)
    evidence = read_json(tmp_path / "reports" / "evidence.json")
    assert run.returncode == 0, output
    assert [claim["verdict"] for claim in evidence["claims"]] == ["supported"] * 9
    assert evidence["run"]["complete"] is True
    assert any("the worker that ran it was lost (Ray actor" in problem for problem in evidence["run"]["problems"]), evidence["run"][
        "problems"
    ]


def test_a_sweep_over_three_nodes_gives_the_bits_of_one(cluster):
    import numpy as np

    from mechcheck import Ablate, Patch, cluster_executor, heads, ioi_prompts, load_model, sweep

    model = load_model("names-gpt2-seed4")
    prompts = ioi_prompts(model, n=16, seed=0)
    every = [f"{layer}.{head}" for layer in range(model.cfg.n_layers) for head in range(model.cfg.n_heads)]
    variants = [[], *(Patch(heads(f"{one}@END")) for one in every), *(Ablate(heads(one), "zero") for one in every)]
    with cluster_executor("ray") as executor:
        assert executor.workers == 3
        found = sweep(model, prompts, variants, batch=2, executor=executor)
    assert np.array_equal(found, sweep(model, prompts, variants, batch=2))
