"""Log-probabilities that are summed piece by piece: against a log-softmax of all logits, and what a sweep makes of them."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from tiny import SAME_FORWARD, VOCABULARY, random_prompts

from mechcheck.engine import log_probs as _log_probs
from mechcheck.engine import swept as _swept
from mechcheck.engine.arithmetic.model import arithmetic
from mechcheck.engine.log_probs import log_probs
from mechcheck.engine.run import plain_hooks, sweep, sweep_metrics
from mechcheck.notation.interventions import Ablate, Steer
from mechcheck.notation.metrics import foil_probability, log_probability, loss, next_correct, probability
from mechcheck.notation.sites import heads, resid
from mechcheck.prompts.spans import ALL

pytestmark = pytest.mark.filterwarnings("error::mechcheck.base.errors.SelfCheckWarning")
LENGTHS = (7, 7, 10, 10, 8, 8)
N = len(VOCABULARY)


@pytest.fixture(params=[(512, 512), (4, 7), (1, 40), (5, N)], ids=str)
def pieces(request, monkeypatch):
    """Rows and tokens at once: all of them, or so few that there are several pieces, whole or not."""
    monkeypatch.setattr(_log_probs, "_CPU", request.param)


@pytest.mark.parametrize("bias", ["own", None, "half of it is -inf"])
@pytest.mark.parametrize("cap", [None, 2.0])
def test_what_a_log_softmax_says(tiny, layout, pieces, bias, cap):
    known = arithmetic(tiny(layout))
    drawn = torch.Generator().manual_seed(0)
    b_u = None if bias is None else torch.randn(N, dtype=torch.float64, generator=drawn)
    if bias == "half of it is -inf":
        b_u[: N // 2] = -torch.inf
    known = replace(known, b_u=b_u, soft_cap=cap if bias != "half of it is -inf" else None)
    streams = 30 * torch.randn(3, 5, known.w_u.shape[0], dtype=torch.float64, generator=drawn)
    cells = tuple(torch.randint(size, (9,), generator=drawn) for size in (3, 5))
    tokens = torch.randint(N, (2, 9), generator=drawn)
    expected = known.logits(streams[cells]).log_softmax(-1).gather(1, tokens.T).T
    torch.testing.assert_close(log_probs(known, streams, cells, tokens), expected, rtol=1e-12, atol=1e-12)


def test_large_logits_and_no_number(tiny, pieces):
    """Neither overflows nor hides what is not a number; a token that is certain has no positive log-probability, in float32 either."""
    known = arithmetic(tiny("gpt2", "float32"))
    known = replace(known, final_norm=None, b_u=torch.zeros(N).index_fill(0, torch.tensor(4), 3e4))
    streams = torch.zeros(3, known.w_u.shape[0])
    streams[1:] = torch.tensor([[1e-3], [torch.nan]])
    found = log_probs(known, streams, (torch.arange(3),), torch.tensor([[4, 4, 4], [5, 5, 5]]))
    assert found.dtype == torch.float64
    assert found[0, :2].tolist() == [0.0, 0.0]
    np.testing.assert_allclose(found[1, :2], -3e4, rtol=1e-6)
    assert found[:, 2].isnan().all()


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_metrics_of_one_token_are_what_plain_hooks_find(tiny, layout, pieces, dtype):
    """All that are read at the same places, together and beside one that needs all logits."""
    model, prompts = tiny(layout, dtype), random_prompts(3, LENGTHS)
    steered = Steer(torch.linspace(-2, 1, model.cfg.d_model), resid("1@B"))
    variants = [Ablate(heads("0.0 1.1"), "zero"), [], steered, Ablate(heads("1.0@A"), "zero")]
    metrics = [log_probability.over(ALL), probability.over(ALL), foil_probability.over(ALL), loss, loss.each_of(ALL), probability.over("B")]
    found = sweep_metrics(model, prompts, variants, metrics)
    beside = sweep_metrics(model, prompts, variants, [*metrics, next_correct])[3]
    with plain_hooks():
        plain = sweep_metrics(model, prompts, variants, metrics)
    near = SAME_FORWARD[layout] if dtype == "float64" else 1e-4
    for metric, one, other in zip(metrics, found, plain, strict=True):
        np.testing.assert_allclose(one, other, rtol=0, atol=near, err_msg=metric.name)
    np.testing.assert_allclose(beside, found[3], rtol=0, atol=near)
    assert np.ptp(found[0], axis=0).min() > 0.01  # the variants do something in every prompt


def test_at_END_nothing_has_changed(tiny, monkeypatch):
    """There the metric itself reads the logits, as it always did."""
    model, prompts = tiny("gpt2", "float32"), random_prompts(4, LENGTHS)
    variants = [Ablate(heads("0.0"), "zero"), []]
    expected = sweep(model, prompts, variants, probability)
    monkeypatch.setattr(_swept, "log_probs", None)
    np.testing.assert_array_equal(sweep(model, prompts, variants, probability), expected)
    with plain_hooks():
        logits = sweep(model, prompts, variants, lambda logits, p: logits.double().softmax(-1)[range(len(p)), p.answers])
    np.testing.assert_allclose(expected, logits, rtol=0, atol=1e-5)


def test_half_precision_is_rounded_by_the_metric(tiny, monkeypatch):
    model, prompts = tiny("gpt2", "bfloat16"), random_prompts(4, LENGTHS)
    monkeypatch.setattr(_swept, "log_probs", None)
    assert np.isfinite(sweep(model, prompts, [Ablate(heads("0.0"), "zero")], loss)).all()


def test_what_variants_share_is_read_once(tiny, monkeypatch):
    """Rows that are read: of the untouched run those that some variant leaves alone, of each variant those that it changes."""
    model, prompts = tiny("gpt2"), random_prompts(5, LENGTHS)
    rows = []
    monkeypatch.setattr(_swept, "log_probs", lambda *given: rows.append(given[3].shape[1]) or log_probs(*given))
    steer = Steer(torch.linspace(-2, 1, model.cfg.d_model), resid("0@B"))
    changed, clean = sweep(model, prompts, [steer, []], loss.each_of(ALL))
    reads = prompts.lengths - 1
    behind = int((reads - prompts.position("B")).clamp(min=0).sum())
    assert rows == [int(reads.sum()), behind]
    before = np.arange(changed.shape[1]) < prompts.position("B").numpy()[:, None]
    np.testing.assert_array_equal(changed[before], clean[before])
    rows.clear()
    sweep(model, prompts, [Ablate(heads("0.0"), "zero")], loss)
    assert rows == [0, int(reads.sum())]
