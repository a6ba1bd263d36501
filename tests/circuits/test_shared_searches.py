"""Searches whose runs two processes share give what one process gives, to the bit."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from mechcheck import (
    Ablate,
    cluster_executor,
    discover_edges,
    edge_scores,
    faithfulness_curve,
    find_edges,
    generic_search,
    head_patching,
    heads,
    ioi_prompts,
    kl_divergence,
    load_model,
    path_patching,
    residual_patching,
    targeted_search,
)
from mechcheck.circuits.evaluation import Cut
from mechcheck.cli import main
from mechcheck.engine import sweep as sweeping
from mechcheck.engine.graphs import runs

MODEL = "names-gpt2-seed4"
SEARCH = """
from mechcheck import Ablate, Found, Role, generic_search, ioi_prompts

def find(model, *, executor=None):
    prompts = ioi_prompts(model, n=12, seed=0, split="discover")
    found = generic_search(model, prompts, size=2, intervention=lambda sites: Ablate(sites, "zero"), executor=executor)
    return Found({"mover": Role(found.sites, "the first", True, f"{found.score!r}")}, prompts)
"""


class Counted:
    """An executor that says how much was asked of it."""

    def __init__(self, pool):
        self._pool, self.workers, self.asked = pool, pool.workers, 0

    def submit(self, *args, **kwargs):
        self.asked += 1
        return self._pool.submit(*args, **kwargs)


@pytest.fixture(scope="module")
def pool(shell):
    with shell.for_python(), cluster_executor("local", 2) as executor:
        yield executor


@pytest.fixture
def shared(pool, monkeypatch):
    """The executor, where a batch has so little room that there are several; workers take as much as they are told."""
    executor = Counted(pool)
    monkeypatch.setattr(sweeping, "free_bytes", lambda device: 2**17)
    monkeypatch.setattr(runs, "free_bytes", lambda device: 2**21)
    yield executor
    assert executor.asked > 1


@pytest.fixture(scope="module")
def given():
    model = load_model(MODEL)
    prompts = ioi_prompts(model, n=48, seed=0)
    some = prompts[(prompts.lengths == prompts.lengths.mode().values).nonzero()[:12, 0].tolist()]
    return model, replace(some, templates=("alike",) * len(some))  # each has others to make a mean with


def alike(found, expected):
    assert found.dtype == expected.dtype
    assert np.array_equal(found, expected, equal_nan=True)


@pytest.mark.parametrize(
    "measured",
    [
        lambda *given, **how: head_patching(*given, **how).values,
        lambda *given, **how: residual_patching(*given, ["S2", "END"], **how),
        lambda *given, **how: path_patching(*given, ["0.0->1.1.v->logits", "0.1->1.1.q->logits", "0.2->1.2.q->logits"], **how),
    ],
    ids=["heads", "stream", "paths"],
)
def test_patching(given, shared, measured):
    alike(measured(*given, executor=shared), measured(*given))


@pytest.mark.parametrize("method", ["exact", "eap"])
def test_edge_scores(given, shared, method):
    found, expected = (edge_scores(*given, method, executor=executor) for executor in (shared, None))
    alike(found.values, expected.values)
    if method == "eap":
        alike(found.beside.exact, expected.beside.exact)


def test_edges_in_contexts(given, shared):
    model, prompts = given
    found, expected = (
        find_edges(model, prompts[:6], instead=["zero", "permute"], lesions=heads("0.0"), together=1, executor=one)
        for one in (shared, None)
    )
    assert found.order == expected.order
    for one, other in zip(found.contexts, expected.contexts, strict=True):
        alike(one.effects, other.effects)
        alike(one.bounds, other.bounds)


@pytest.mark.parametrize("search", [generic_search, targeted_search])
def test_heads_that_move_the_prediction(given, shared, search):
    how = {"size": 2, "intervention": lambda sites: Ablate(sites, "zero")}
    assert search(*given, **how, executor=shared) == search(*given, **how)


@pytest.mark.parametrize("method", ["prune", "exact"])
def test_a_search_for_edges_and_all_that_is_recorded_of_it(given, shared, method):
    model, prompts = given
    # A search of many steps, on few prompts; drawn again it is what it is once.
    some, drawn = (prompts[:4], 0) if method == "prune" else (prompts, 3)
    cut = Cut(model, some, "mean", some)
    found, expected = (discover_edges(replace(cut, executor=one), method, size=20, resamples=drawn) for one in (shared, None))
    assert found.edges == expected.edges
    assert found.found.order == expected.found.order
    assert found.found.trace == expected.found.trace
    assert found.record == expected.record


def test_slopes_and_circuits_of_a_cut_and_of_some_of_its_prompts_drawn_again(given, shared):
    model, prompts = given
    cuts = torch.rand(6, *Cut(model, prompts).graph.real.shape, generator=torch.Generator().manual_seed(0)) < 0.3
    for rows in (None, [3, 3, 0, 7]):
        both = []
        for executor in (shared, None):
            cut = Cut(model, prompts, "mean", prompts, executor=executor)
            graphs = (cut if rows is None else cut.on(rows)).graphs
            before = shared.asked
            both.append([graphs.measure(cuts)[0], graphs.slopes(cuts).numpy()])
            assert (shared.asked > before + 1) == (executor is shared)
        for found, expected in zip(*both, strict=True):
            alike(found, expected)


def test_a_metric_that_cannot_be_sent_has_its_slopes_taken_here(given, shared):
    model, prompts = given
    graphs, alone = (Cut(model, prompts, metric=kl_divergence, executor=one).graphs for one in (shared, None))
    cuts = graphs.graph.real.expand(6, -1, -1)
    alike(graphs.measure(cuts)[0], alone.measure(cuts)[0])
    before = shared.asked
    alike(graphs.slopes(cuts).numpy(), alone.slopes(cuts).numpy())
    assert shared.asked == before > 1


def test_a_curve(given, shared):
    found = [faithfulness_curve(*given, edge_scores(*given, "eap"), executor=one) for one in (shared, None)]
    assert found[0].cmd == found[1].cmd
    for one, other in zip(found[0].faithfulness, found[1].faithfulness, strict=True):
        alike(one.values, other.values)


def test_the_command(warm, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(sweeping, "free_bytes", lambda device: 2**17)
    (tmp_path / "discover.py").write_text(SEARCH)
    written = []
    for name, told in {"shared": ["--cluster", "local", "--workers", "2"], "alone": []}.items():
        command = ["discover", str(tmp_path / "discover.py"), MODEL, "--method", "exact", "--size", "9", "-o", str(tmp_path / name), *told]
        assert main(command) == 0
        written.append((tmp_path / name / tmp_path.name / f"{MODEL}.toml").read_text())
    assert written[0] == written[1]
    capsys.readouterr()


@pytest.mark.parametrize(
    ("told", "said"),
    [
        (["--workers", "2"], "--workers is about workers: say where they are, --cluster local"),
        (["--cluster", "nowhere"], "there is no place 'nowhere' to run on"),
        (["--cluster", "local", "--resources", "fast"], "'fast' is no NAME=VALUE"),
        (["--cluster", "ray", "--resources", "gpu_gb=80"], "gpu_gb is for claims"),
    ],
)
@pytest.mark.parametrize("command", [["discover", "ioi", MODEL], ["calibrate", MODEL]])
def test_options_that_do_not_go_together(command, told, said, capsys):
    assert main([*command, *told]) == 2
    assert said in capsys.readouterr().err
