"""The suffix runner against plain hooks, and what happens where it does not serve, is wrong, or runs out of memory."""

import dataclasses
from functools import partial

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tiny import LAYOUTS, MORE_LAYOUTS, SAME_FORWARD, random_prompts, with_other_padding

from mechcheck.base.errors import HookError, MechcheckError, SelfCheckWarning
from mechcheck.engine import run as _run
from mechcheck.engine import selfcheck as _selfcheck
from mechcheck.engine import suffix as _suffix
from mechcheck.engine import sweep as _sweep
from mechcheck.engine import untouched_cache
from mechcheck.engine.arithmetic import model as _arithmetic
from mechcheck.engine.arithmetic.model import Unserved, arithmetic
from mechcheck.engine.edits import capture_all, edits_of
from mechcheck.engine.hooks import record
from mechcheck.engine.run import plain_hooks, run, sweep, sweep_metrics
from mechcheck.engine.selfcheck import TOLERANCE
from mechcheck.engine.site_readers import capture_sites
from mechcheck.engine.sweep import capture_fast, run_sweep
from mechcheck.engine.variants import serves
from mechcheck.models.loading import load_model
from mechcheck.notation.interventions import Ablate, Patch, Permute, Scale, Sparsify, Steer
from mechcheck.notation.metrics import Metric, correct, kl_divergence, logit_diff, probability, rank
from mechcheck.notation.sites import Site, Sites, heads, keys, mlps, neurons, queries, resid, resid_post, values

pytestmark = pytest.mark.filterwarnings("error::mechcheck.base.errors.SelfCheckWarning")
ALL_LAYOUTS = (*LAYOUTS, *MORE_LAYOUTS)
LENGTHS = (7, 7, 10, 10, 8, 8)
few = settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
WIDTHS = {"neuron": lambda cfg: 1, **dict.fromkeys(("head", "q", "k", "v"), lambda cfg: cfg.d_head)}


@st.composite
def drawn_variant(draw, layout: str):
    """One to three interventions on different sites; the encoder's blocks have fewer kinds of sites."""
    kinds = ["head", "q", "k", "v", "resid_pre", "resid_post"] + (["attn_out", "mlp_out", "neuron"] if layout != "bert" else [])
    places = draw(st.lists(st.tuples(st.sampled_from(kinds), st.integers(0, 1), st.integers(0, 1)), min_size=1, max_size=3, unique=True))
    return [
        (draw(st.sampled_from(["zero", "mean", "resample", "patch", "steer", "steer each", "scale", "sparsify"])), kind, layer, index,
         draw(st.sampled_from([None, "END", "A", "B"])))
        for kind, layer, index in dict.fromkeys((k, la, i if k in (*WIDTHS,) else None) for k, la, i in places)
    ]  # fmt: skip


def built(model, described, n):
    """The interventions of a drawn variant, on `n` prompts."""

    def one(method, kind, layer, index, at):
        sites = Sites([Site(kind, layer, index, at)])
        width = WIDTHS.get(kind, lambda cfg: cfg.d_model)(model.cfg)
        match method:
            case "patch":
                return Patch(sites)
            case "steer":
                return Steer(torch.linspace(-1, 2, width, dtype=torch.float64), sites, 0.7)
            case "steer each":
                return Steer(torch.linspace(-1, 2, n * width, dtype=torch.float64).view(n, width), sites, 0.7)
            case "scale":
                return Scale(sites, -0.5)
            case "sparsify":
                return Sparsify(sites, 0.3)
        return Ablate(sites, method)

    return [one(*place) for place in described]


def by_hooks(model, prompts, variants, metric=logit_diff):
    """One forward pass with hooks for each variant."""
    with plain_hooks():
        return np.array([run(model, prompts, variant, metric).values for variant in variants])


def fast(model, prompts, variants, metrics=(logit_diff,), batch=None):
    """The suffix runner alone: no check, no way back to plain hooks."""
    known = arithmetic(model)
    captures = capture_all(model, prompts, variants, partial(capture_fast, known, prompts))
    edits = [edits_of(model, prompts, variant, captures) for variant in variants]
    assert all(serves(known, listed) for listed in edits)
    return run_sweep(model, known, prompts, edits, batch).values(metrics)


@few
@given(data=st.data(), layout=st.sampled_from(ALL_LAYOUTS), processing=st.sampled_from(["raw", "folded"]), seed=st.integers(0, 99))
def test_the_suffix_runner_equals_plain_hooks(tiny, data, layout, processing, seed):
    lengths = data.draw(st.lists(st.integers(4, 9), min_size=1, max_size=3).map(lambda some: [n for n in some for _ in range(2)]))
    model, prompts = tiny(layout, processing=processing if layout != "bert" else "raw"), random_prompts(seed, lengths)
    variants = [built(model, data.draw(drawn_variant(layout)), len(prompts)) for _ in range(data.draw(st.integers(1, 4)))]
    found = fast(model, prompts, variants)[0]
    expected = by_hooks(model, prompts, variants)
    np.testing.assert_allclose(found, expected, rtol=0, atol=SAME_FORWARD[layout])


@pytest.mark.parametrize("layout", ALL_LAYOUTS)
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_low_precision(tiny, layout, dtype):
    model, prompts = tiny(layout, dtype=dtype, processing="raw"), random_prompts(4, LENGTHS)
    variants = [[Patch(heads("0.1"))], [Ablate(heads("0.0 1.1"), "mean")], [Patch(resid("1@A"))], [Ablate(heads("1.0@END"), "zero")]]
    found = fast(model, prompts, variants)[0]
    expected = by_hooks(model, prompts, variants)
    assert np.abs(found - expected).max() < TOLERANCE[getattr(torch, dtype)] * max(1, np.abs(expected).max())


@pytest.mark.parametrize("layout", ALL_LAYOUTS)
def test_captured_activations_are_those_of_plain_hooks(tiny, layout):
    model, prompts = tiny(layout, processing="raw"), random_prompts(4, LENGTHS)
    kinds = [heads, queries, keys, values] + ([neurons] if layout != "bert" else [])
    whole = [resid, resid_post] + ([mlps] if layout != "bert" else [])
    sites = Sites(site for kind in kinds for site in kind("0.1 1.0@B")) | Sites(site for kind in whole for site in kind("0@A 1"))
    found, expected = capture_fast(arithmetic(model), prompts, model, prompts, list(sites)), capture_sites(model, prompts, list(sites))
    same = SAME_FORWARD[layout]
    for site in sites:
        for row, length in enumerate(prompts.lengths.tolist()):
            real = slice(None) if site.at else slice(0, length)
            torch.testing.assert_close(found[site][row][real], expected[site][row][real], rtol=same, atol=same)


@pytest.mark.parametrize("layout", ALL_LAYOUTS)
@pytest.mark.parametrize("common", [0, 1, 4, 10])
def test_what_two_sets_of_prompts_have_in_common_is_run_once(tiny, layout, common):
    model, prompts = tiny(layout, processing="raw"), random_prompts(4, LENGTHS)
    tokens = prompts.counterfactual.tokens.clone()
    tokens[:, 0] = 1 if common else 5
    tokens[:, :common] = prompts.tokens[:, :common]
    other, known = dataclasses.replace(prompts.counterfactual, tokens=tokens), arithmetic(model)
    sites = heads("0.1 1.0") | resid("1") | resid_post("1")
    untouched_cache.forget_runs()
    found, expected = capture_fast(known, prompts, model, other, list(sites)), capture_sites(model, other, list(sites))
    for site in sites:
        for row, length in enumerate(prompts.lengths.tolist()):
            same = SAME_FORWARD[layout]
            torch.testing.assert_close(found[site][row][:length], expected[site][row][:length], rtol=same, atol=same)


@pytest.mark.parametrize("layout", ALL_LAYOUTS)
def test_every_metric(tiny, layout):
    model, prompts = tiny(layout, processing="raw"), random_prompts(4, LENGTHS)
    entropy = Metric("entropy", "nats", lambda x, p, _: torch.distributions.Categorical(logits=x).entropy())
    metrics = [probability, logit_diff, rank, correct, kl_divergence, entropy]
    variants = [[Ablate(heads(f"{layer}.{head}"), "zero")] for layer in range(2) for head in range(2)] + [[]]
    for metric, swept in zip(metrics, sweep_metrics(model, prompts, variants, metrics), strict=True):
        expected = by_hooks(model, prompts, variants, metric)
        np.testing.assert_allclose(swept, expected, rtol=0, atol=10 * SAME_FORWARD[layout])


def test_sites_of_all_kinds_and_positions_are_checked_together(tiny, layout, monkeypatch):
    """Indices and positions that are there or not do not stand in each other's way when cells are run again."""
    model, prompts = tiny(layout), random_prompts(3, LENGTHS)
    sites = [
        kind(text) for kind, text in ((heads, "0.1"), (keys, "0.1@A"), (neurons, "0.3"), (resid, "1"), (resid, "0@B"), (mlps, "0@END"))
    ]
    variants = [[Patch(one)] for one in sites] + [[Ablate(one, "mean")] for one in sites]
    monkeypatch.setattr(_selfcheck, "CELLS", len(variants))
    np.testing.assert_allclose(sweep(model, prompts, variants), by_hooks(model, prompts, variants), rtol=0, atol=SAME_FORWARD[layout])


def test_batches_and_blocks_of_prompts_do_not_change_the_result(tiny, layout, monkeypatch):
    model, prompts = tiny(layout), random_prompts(3, LENGTHS)
    variants = [[Patch(heads(f"{layer}.{head}", at=at))] for layer in range(2) for head in range(2) for at in (None, "B")]
    whole = fast(model, prompts, variants)[0]
    np.testing.assert_allclose(fast(model, prompts, variants, batch=1)[0], whole, rtol=0, atol=SAME_FORWARD[layout])
    monkeypatch.setattr(_sweep, "free_bytes", lambda device: 1)
    monkeypatch.setattr(_sweep, "kept_bytes", lambda device: 1)
    assert len(_sweep._blocks(model, arithmetic(model), prompts)) == len(prompts)
    np.testing.assert_allclose(fast(model, prompts, variants)[0], whole, rtol=0, atol=SAME_FORWARD[layout])


def test_other_padding_changes_nothing(tiny, layout):
    model, prompts = tiny(layout), random_prompts(3, LENGTHS)
    variants = [[Patch(heads("0.1"))], [Ablate(heads("0.0"), "mean")], [Patch(resid("1@A"))], [Ablate(mlps("0"), "zero")]]
    other = fast(model, with_other_padding(prompts, 5), variants)[0]
    np.testing.assert_allclose(other, fast(model, prompts, variants)[0], rtol=0, atol=SAME_FORWARD[layout])


def wrong_weights(model):
    """The model's arithmetic with one layer's output projection of heads 0 and 1 exchanged."""
    right = arithmetic(model)
    layer = right.layers[1]
    d = right.d_head
    rows = torch.cat([torch.arange(d, 2 * d), torch.arange(d), torch.arange(2 * d, len(layer.o.weight))])
    broken = layer._replace(o=layer.o._replace(weight=layer.o.weight[rows]))
    return dataclasses.replace(right, layers=(right.layers[0], broken))


def test_a_wrong_result_is_noticed_and_plain_hooks_are_used(tiny, layout, monkeypatch):
    model, prompts = tiny(layout), random_prompts(3, LENGTHS)
    variants = [[Patch(heads(f"{layer}.{head}"))] for layer in range(2) for head in range(2)]
    expected = by_hooks(model, prompts, variants)
    wrong = wrong_weights(model)
    monkeypatch.setattr(_run, "arithmetic", lambda model: wrong)
    with pytest.warns(SelfCheckWarning, match=r"variant \d \(\d\.\d\) on prompt \d: logits differ by .*; plain hooks are used"):
        np.testing.assert_allclose(sweep(model, prompts, variants), expected, rtol=0, atol=1e-12)


def test_wrong_captured_activations_are_noticed(tiny, layout, monkeypatch):
    model, prompts = tiny(layout), random_prompts(3, LENGTHS)
    variants = [[Patch(heads(f"{layer}.{head}"))] for layer in range(2) for head in range(2)]
    expected = by_hooks(model, prompts, variants)
    monkeypatch.setattr(_run, "capture_fast", lambda *args: {site: 1.01 * value for site, value in capture_fast(*args).items()})
    with pytest.warns(SelfCheckWarning, match="differ"):
        np.testing.assert_allclose(sweep(model, prompts, variants), expected, rtol=0, atol=1e-12)


def test_what_it_does_not_serve_goes_to_plain_hooks(tiny, layout, monkeypatch):
    """Permutations one by one; a whole sweep where the architecture is not covered."""
    model, prompts = tiny(layout), random_prompts(3, LENGTHS)
    variants = [[Ablate(heads("0.0"))], [Permute(heads("0.1"), seed=3)], [Patch(heads("1.1"))], [Permute(mlps("0"))], []]
    expected = by_hooks(model, prompts, variants)
    np.testing.assert_allclose(sweep(model, prompts, variants), expected, rtol=0, atol=SAME_FORWARD[layout])

    def refuse(model):
        raise Unserved("another architecture")

    monkeypatch.setattr(_run, "arithmetic", refuse)
    np.testing.assert_allclose(sweep(model, prompts, variants), expected, rtol=0, atol=1e-12)


def test_architectures_it_does_not_know_are_refused(tiny, monkeypatch):
    model = tiny("gpt2")
    for name, value, message in (
        ("act_fn", "xielu", "xielu"),
        ("attn_scores_soft_cap", 50.0, "soft-capped"),
        ("positional_embedding_type", "alibi", "alibi"),
    ):
        with monkeypatch.context() as patch:
            patch.setattr(model.cfg, name, value)
            with pytest.raises(Unserved, match=message):
                _arithmetic._take(model)


def test_changed_weights_are_taken_anew(model_dirs):
    model, prompts = load_model(model_dirs["gpt2"], dtype="float64", processing="raw"), random_prompts(3, LENGTHS)
    variants = [[Ablate(heads(f"{layer}.{head}"), "zero")] for layer in range(2) for head in range(2)]
    before = sweep(model, prompts, variants)
    parameter = next(p for name, p in model.named_parameters() if "mlp" in name and p.ndim == 2)
    kept = parameter.detach().clone()
    with torch.no_grad():
        parameter.mul_(1.5)
    after = sweep(model, prompts, variants)
    expected = by_hooks(model, prompts, variants)
    with torch.no_grad():
        parameter.copy_(kept)
    assert np.abs(after - before).max() > 1e-3
    np.testing.assert_allclose(after, expected, rtol=0, atol=1e-9)


def test_interruption_leaves_no_hooks(tiny, monkeypatch):
    model, prompts = tiny("gpt2"), random_prompts(3, LENGTHS)
    untouched = record(model, prompts).logits

    def interrupted(batch):
        raise KeyboardInterrupt

    monkeypatch.setattr(_suffix.Batch, "run", interrupted)
    with pytest.raises(KeyboardInterrupt):
        sweep(model, prompts, [[Ablate(heads("0.0"))]] * 4)
    assert not model.blocks[0]._forward_pre_hooks
    torch.testing.assert_close(record(model, prompts).logits, untouched, rtol=0, atol=0)


def test_a_hook_that_does_not_exist_is_an_error(tiny, monkeypatch):
    monkeypatch.setattr("mechcheck.notation.sites._HOOKS", {"head": "blocks.{layer}.hook_nowhere"})
    with pytest.raises(HookError, match=r"has no hook blocks\.0\.hook_nowhere"):
        sweep(tiny("gpt2"), random_prompts(3, LENGTHS), [[Ablate(heads("0.0"))]] * 4)


def test_a_batch_needs_a_variant(tiny):
    with pytest.raises(MechcheckError, match="at least one variant at a time"):
        sweep(tiny("gpt2"), random_prompts(3, LENGTHS), [[]], batch=0)


def test_where_numbers_overflow_plain_hooks_decide(tiny):
    """The model itself clears NaN in its attention, so that overflow ends differently there."""
    model, prompts = tiny("gpt2"), random_prompts(3, LENGTHS)
    variants = [[Scale(resid("0@A"), 1e308)]] * 4
    np.testing.assert_array_equal(sweep(model, prompts, variants), by_hooks(model, prompts, variants))


def test_no_effect_is_exactly_none(tiny, layout):
    """Rounding errors of another order of summation are no effect; one a hundred times as large is."""
    model, prompts = tiny(layout, dtype="float32"), random_prompts(3, LENGTHS)
    clean = run(model, prompts).values
    same = [[Scale(heads(f"{la}.{h}"), 1.0)] for la in range(2) for h in range(3)] + [[Patch(resid(0), source=prompts)]]
    nothing = sweep(model, prompts, same)
    np.testing.assert_array_equal(nothing, np.tile(clean, (7, 1)))
    assert (sweep(model, prompts, [[Scale(resid("1@END"), 1.001)]]) != clean).all()
