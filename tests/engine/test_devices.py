"""Every primitive on a pretend accelerator, and on real ones: nothing is made on, mixed with or left on the wrong side."""

import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from types import SimpleNamespace
from typing import Any

import numpy as np
import psutil
import pytest
import torch
from devices import NAME, pretend

from mechcheck.base.device import exact
from mechcheck.base.errors import SelfCheckWarning
from mechcheck.conformance.layouts import LAYOUTS, layout_prompts, save_layout
from mechcheck.conformance.native_layouts import NATIVE_LAYOUTS, save_native_layout
from mechcheck.conformance.sentinels import sentinels
from mechcheck.conformance.support_rows import ROWS, Bench
from mechcheck.conformance.support_table import _arrays
from mechcheck.engine.memory import free_bytes
from mechcheck.models.loading import load_model
from mechcheck.notation.interventions import Ablate
from mechcheck.notation.sites import heads

# The fast runner's families, one that only plain hooks serve, an encoder, and TransformerLens' own: rotary, and bare both ways.
MODELS = [("gpt2", "folded"), ("neox", "raw"), ("llama", "folded"), ("gemma2", "folded"), ("bert", "raw")]
MODELS += [("native-output", "folded"), ("native-both-ways", "raw")]
NO_FLOAT64 = f"{NAME} without float64"
REAL = [name for name, there in {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}.items() if there]
# What has no float64 is told by `exact` alone, of whatever family: two of them do for it.
WITHOUT = MODELS[2:5:2]
CASES = [
    *((model, NO_FLOAT64 if model in WITHOUT else NAME) for model in MODELS),
    *((model, name) for name in REAL for model in MODELS),
]
# They run what the other rows run, very often: once for each kind of device is enough.
SEARCHES, SEARCHED = {"prune_edges", "find_edges", "discover_edges"}, ("gpt2", "llama")


@contextmanager
def on(where: str) -> Iterator[str]:
    """A device's name, while it is there."""
    if where in REAL:
        yield where
        return
    with pretend(float64=where != NO_FLOAT64) as name:
        yield name


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Bench]:
    """bench(layout, processing, device): a tiny random model there, and prompts for it."""
    root = tmp_path_factory.mktemp("layouts")

    def make(layout: str, processing: Any = "folded", device: str = "cpu") -> Bench:
        if not (root / layout).exists():
            (save_native_layout if layout in NATIVE_LAYOUTS else save_layout)(layout, root / layout)
        model = load_model(root / layout, processing=processing, device=device)
        return Bench(model, layout_prompts(model, (LAYOUTS | NATIVE_LAYOUTS)[layout]))

    return make


@pytest.fixture(scope="module")
def measured(bench) -> Callable[[str, str], dict[str, Any]]:
    """measured(layout, processing): what every primitive measures on the CPU."""
    return cache(lambda layout, processing: _measured(bench(layout, processing), layout in SEARCHED))


def _measured(on: Bench, searched: bool) -> dict[str, Any]:
    every = {row: attempt for group in ROWS.values() for row, attempt in group.items()}
    return {row: _numbers(attempt, on) for row, attempt in every.items() if searched or not SEARCHES & set(row.split("`"))}


def _numbers(attempt: Callable[[Bench], Any], on: Bench) -> list[np.ndarray] | str:
    """What a primitive measures, or what it says where it refuses the layout."""
    try:
        return list(_arrays(attempt(on)))
    except ValueError as refused:
        return str(refused)


@pytest.mark.parametrize(("layout", "processing", "where"), [(*model, where) for model, where in CASES])
@pytest.mark.filterwarnings("ignore")
def test_every_primitive(bench, measured, layout, processing, where):
    expected = measured(layout, processing)
    with on(where) as device, warnings.catch_warnings():
        warnings.simplefilter("error", SelfCheckWarning)
        there = bench(layout, processing, device)
        assert {part.device.type for part in (*there.model.parameters(), *there.model.buffers())} == {device}
        found = _measured(there, layout in SEARCHED)
    for row, values in found.items():
        if isinstance(values, str) or isinstance(expected[row], str):
            assert values == expected[row], row
            continue
        for value, right in zip(values, expected[row], strict=True):
            np.testing.assert_allclose(value, right, rtol=1e-3, atol=1e-3, err_msg=row)


@pytest.mark.parametrize("where", [NAME, NO_FLOAT64, *REAL])
def test_sentinels(bench, where):
    with on(where) as device:
        assert all(found.passed for found in sentinels(*bench("gpt2", device=device)))


def test_a_mistake_would_be_noticed(bench, monkeypatch):
    """Were the sweep's windows made on the CPU and left there, or its metric's tokens."""
    from mechcheck import sweep
    from mechcheck.engine.window import window
    from mechcheck.notation.metrics import Metric

    with pretend():
        model, prompts = bench("gpt2", device=NAME)
        forgotten = Metric("x", "", lambda logits, p, _: logits.gather(-1, p.answers[:, None])[:, 0])
        with pytest.raises(RuntimeError, match="same device"):
            sweep(model, prompts, [[]], forgotten)
        in_place = torch.device("cpu")
        monkeypatch.setattr(
            "mechcheck.engine.sweep.window", lambda known, some, read, start, device: window(known, some, read, start, in_place)
        )
        with pytest.raises(RuntimeError, match="same device"):
            sweep(model, prompts, [Ablate(heads("0.1@END"))])


def test_what_the_pretend_accelerator_refuses():
    """As CUDA does, in the same words."""
    with pretend():
        there, here = torch.ones(2, 3, device=NAME), torch.ones(2, 3)
        refused: list[Callable[[], Any]] = [
            lambda: there + here,
            lambda: torch.where(here > 0, there, 0.0),
            lambda: there.gather(1, torch.zeros(2, 1, dtype=torch.long)),
            lambda: torch.stack([there, here]),
            lambda: here[there > 0],
            lambda: there.index_put_((torch.tensor([0]),), here[0]),
            lambda: torch.nn.functional.embedding(torch.tensor([0]), there),
            lambda: here[0] + there[0, 0],
        ]
        for work in refused:
            with pytest.raises(RuntimeError, match="expected all tensors to be on the same device"):
                work()
        with pytest.raises(RuntimeError, match="numpy"):
            there.numpy()
        with pytest.raises(RuntimeError, match="draw on the CPU"):
            torch.randn(3, device=NAME)
        there[torch.tensor([0])] = torch.tensor(2.0)
        assert (there + torch.tensor(1.0)).tolist() == [[3.0] * 3, [2.0] * 3]
        assert here.copy_(there).tolist() == there.cpu().tolist() == [[2.0] * 3, [1.0] * 3]
    with pretend(float64=False):
        there = torch.ones(2, device=NAME)
        for wide in (lambda: there.double(), lambda: there.to("cpu", torch.float64), lambda: torch.zeros(2).double().copy_(there)):
            with pytest.raises(TypeError, match="no float64"):
                wide()
        assert exact(there).dtype == torch.float64
        assert torch.ones(2, dtype=torch.float64).to(there).tolist() == [1.0, 1.0]


def test_a_batch_takes_a_quarter_of_what_is_free(monkeypatch):
    """On CUDA what torch keeps for its next tensors is free too; the CPU's batches stay small, whatever is free."""
    gib = 2**30
    for name, value in {"mem_get_info": (2 * gib, 8 * gib), "memory_reserved": 5 * gib, "memory_allocated": 3 * gib}.items():
        monkeypatch.setattr(torch.cuda, name, lambda device, value=value: value)
    monkeypatch.setattr(psutil, "virtual_memory", lambda: SimpleNamespace(available=16 * gib))
    assert free_bytes(torch.device("cuda:0")) == gib
    assert free_bytes(torch.device("mps")) == 4 * gib
    assert free_bytes(torch.device("cpu")) == gib // 4
