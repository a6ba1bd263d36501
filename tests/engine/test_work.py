"""The operations that are counted from shapes are those that torch sees, in passes, sweeps and gradients of every layout."""

import pytest
import torch
from tiny import LAYOUTS, MORE_LAYOUTS, random_prompts
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from mechcheck.base.shape import shape_of
from mechcheck.circuits.edge_scores import edge_scores
from mechcheck.engine.arithmetic.work import counting
from mechcheck.engine.gradients import gradients
from mechcheck.engine.run import logits_at_end, plain_hooks, sweep
from mechcheck.engine.untouched_cache import forget_runs
from mechcheck.notation.interventions import Ablate, Patch
from mechcheck.notation.sites import heads, mlps, resid

pytestmark = pytest.mark.filterwarnings("ignore::mechcheck.base.errors.SelfCheckWarning")
VARIANTS = [Ablate(heads("0.1"), "zero"), Patch(heads("1.0@END")), Patch(mlps("0")), Patch(resid("1@A"))]


def counted(job):
    """What was counted, and what torch saw."""
    forget_runs()
    with sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as seen, counting() as work:
        job()
    forget_runs()
    return work.operations, seen.get_total_flops()


@pytest.mark.parametrize("layout", [*LAYOUTS, *MORE_LAYOUTS])
def test_a_forward_pass_is_exact(tiny, layout):
    model, prompts = tiny(layout), random_prompts(3, (7, 7, 9, 9))
    ours, torchs = counted(lambda: logits_at_end(model, prompts))
    assert ours == torchs
    columns = 9 if layout == "bert" else 2
    assert ours == shape_of(model).operations(4, 9, columns)


@pytest.mark.parametrize("layout", [*LAYOUTS, *MORE_LAYOUTS])
@pytest.mark.parametrize("plain", [False, True])
def test_a_sweep(tiny, layout, plain):
    """What is not counted: the sizes of sums by which small effects are told from rounding, and the head of an encoder's self-check."""
    model, prompts = tiny(layout), random_prompts(3, (7, 7, 9, 9))

    def job():
        if not plain:
            return sweep(model, prompts, VARIANTS)
        with plain_hooks():
            return sweep(model, prompts, VARIANTS)

    ours, torchs = counted(job)
    assert ours == pytest.approx(torchs, rel=0.15 if layout == "bert" else 0.02)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_gradient_is_one_more_pass(tiny, layout):
    """It goes back to the first site only, so that the count is no less than what was done."""
    model, prompts = tiny(layout), random_prompts(3, (7, 7, 9, 9))
    ours, torchs = counted(lambda: gradients(model, prompts, heads("0.1")))
    assert 1 <= ours / torchs < 1.25


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("method", ["eap", "exact"])
def test_edges(tiny, layout, method):
    model, prompts = tiny(layout), random_prompts(3, (7, 7, 9, 9))
    ours, torchs = counted(lambda: edge_scores(model, prompts, method=method))
    assert ours == pytest.approx(torchs, rel=0.1)


def test_a_run_that_is_remembered_is_not_counted_again(tiny):
    model, prompts = tiny("gpt2"), random_prompts(3, (7, 7, 9, 9))
    forget_runs()
    found = []
    for _ in range(2):
        with counting() as work:
            sweep(model, prompts, VARIANTS)
        found.append(work.operations)
    assert found[0] > found[1] > 0
    with counting() as outer, counting() as inner:
        torch.manual_seed(0)
    assert outer.operations == inner.operations == 0
