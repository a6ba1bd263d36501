"""Gradients with respect to activations: against torch's own through transformers' modules, and against differences of runs."""

from dataclasses import replace

import numpy as np
import plain
import pytest
import torch
from tiny import random_prompts, with_other_padding

import mechcheck as m
from mechcheck.base.errors import HookError, MechcheckError, ModelError, SiteError
from mechcheck.engine import gradients as _gradients
from mechcheck.engine.gradients import gradients
from mechcheck.engine.run import capture, run
from mechcheck.notation.sites import Site, Sites
from mechcheck.prompts.spans import ALL

LENGTHS = (7, 7, 10, 10, 8, 8)
EVERY = m.heads("0.1 1.2") | m.queries("0.0 1.1") | m.keys("0.1 1.0") | m.values("0.1 1.0") | m.resid("0 1") | m.resid_post("1")
STREAM = m.attn_outs("0-1") | m.mlps("0-1") | m.neurons("0.3 1.5") | m.resid_post("0")
PATTERNS = m.patterns("0.0 0.1 1.2")
# In float64. transformers computes GPT-NeoX's rotary embeddings in float32.
NEAR = {"gpt2": 1e-9, "neox": 1e-5, "llama": 1e-9, "bert": 1e-9}
SITES = {"gpt2": EVERY | STREAM | PATTERNS | m.resid_mid("0-1"), "neox": EVERY | STREAM | PATTERNS, "bert": EVERY | PATTERNS}
SITES["llama"] = SITES["gpt2"]


@pytest.fixture(scope="module")
def encoder(model_dirs):
    from transformers import AutoModelForMaskedLM

    return AutoModelForMaskedLM.from_pretrained(model_dirs["bert"], dtype=torch.float64, attn_implementation="eager").eval()


def mean_loss(logits, prompts):
    """Of each prompt by itself, without its padding."""
    logp, found = logits.log_softmax(-1), []
    for row, length in enumerate(prompts.lengths.tolist()):
        found.append(-logp[row, range(length - 1), prompts.tokens[row, 1:length]].mean())
    return torch.stack(found)


def at_sites(prompts, expected):
    """[prompt, d] at a site's position."""
    rows = torch.arange(len(prompts))
    return {site: whole if site.at is None else whole[rows, prompts.position(site.at)] for site, whole in expected.items()}


def of(name, tiny, hugging_face, encoder):
    return tiny(name, processing="raw"), encoder if name == "bert" else hugging_face(name)


@pytest.mark.parametrize("name", NEAR)
@pytest.mark.parametrize("measure", ["logit difference", "loss"])
def test_they_are_those_of_torch(tiny, hugging_face, encoder, name, measure):
    """Of sites of every kind at once, so that what follows one of them is another; padded prompts of three lengths, in one set or two."""
    model, other = of(name, tiny, hugging_face, encoder)
    metric, measured = (m.logit_diff, plain.difference_at_end) if measure == "logit difference" else (m.loss, mean_loss)
    if name == "bert" and measure == "loss":
        metric = m.logit_diff.over("B")

        def measured(logits, prompts):
            return plain.difference_at_end(logits, with_end_at(prompts, "B"))

    prompts, sites = random_prompts(3, LENGTHS), SITES[name]
    expected = plain.gradients(other, prompts, sites, measured)
    found = gradients(model, prompts, sites, metric)
    assert list(found) == list(sites)
    for site, right in expected.items():
        assert found[site].shape == right.shape
        assert not found[site].requires_grad
        size = max(1.0, float(right.abs().max()))
        torch.testing.assert_close(found[site], right, rtol=0, atol=NEAR[name] * size, msg=lambda text, s=site: f"{s.named}: {text}")
    assert min(float(right.abs().max()) for right in expected.values()) > 1e-3


def with_end_at(prompts, name):
    return replace(prompts, positions={**prompts.positions, "END": prompts.positions[name]})


@pytest.mark.parametrize("name", NEAR)
def test_what_is_asked_for_together_changes_nothing(tiny, monkeypatch, name):
    """Each site by itself, at a named position, one prompt at a time, and with other padding."""
    model, prompts = tiny(name), random_prompts(4, LENGTHS)
    together = gradients(model, prompts, SITES[name])
    monkeypatch.setattr(_gradients, "free_bytes", lambda device: 1)
    rows = torch.arange(len(prompts))
    for number, (site, whole) in enumerate(together.items()):
        if number % 3 == 0:
            (alone,) = gradients(model, prompts[:2], Sites([site])).values()
            torch.testing.assert_close(alone, whole[:2, : alone.shape[1], : alone.shape[2]], rtol=0, atol=1e-6)
    for site, there in gradients(model, prompts, SITES[name].at("A")).items():
        torch.testing.assert_close(there, together[replace(site, at=None)][rows, prompts.position("A")], rtol=0, atol=1e-6)
    for site, whole in gradients(model, with_other_padding(prompts, 5), SITES[name]).items():
        more = torch.nn.functional.pad(together[site], (0, 2, 0, 2) if site.kind == "pattern" else (0, 0, 0, 2))
        torch.testing.assert_close(whole, more, rtol=0, atol=1e-6)
        assert not whole[~plain.is_real(with_other_padding(prompts, 5))].any()


@pytest.mark.parametrize("name", ["gpt2", "bert"])
def test_under_interventions(tiny, hugging_face, encoder, name):
    """What is put in a site's place has the gradient there, and what was there has none."""
    model, other = of(name, tiny, hugging_face, encoder)
    prompts = random_prompts(5, LENGTHS)
    d_head, cut = plain.d_head_of(other), Site("head", 0, 1)

    def edit(z):
        z = z.clone()
        z[..., d_head : 2 * d_head] = 0
        return z

    sites = m.heads("0.1") | m.resid("0-1") | m.values("0.1") | m.patterns("0.0 0.1")
    expected = plain.gradients(other, prompts, sites, plain.difference_at_end, {cut: edit})
    found = gradients(model, prompts, sites, interventions=m.Ablate(Sites([cut]), "zero"))
    for site, right in expected.items():
        torch.testing.assert_close(found[site], right, rtol=0, atol=1e-9)
    assert not found[Site("pattern", 0, 1)].any()
    assert found[cut].abs().max() > 1e-3
    assert (found[Site("resid_pre", 0)] - gradients(model, prompts, m.resid("0"))[Site("resid_pre", 0)]).abs().max() > 1e-3


CHANGED = {
    "patterns": m.KnockOut(m.patterns("0.1"), "A"),
    "between": m.Scale(m.resid_mid("0"), 0.5),
    "stream": m.Steer(torch.linspace(-1, 1, 24, dtype=torch.float64), m.resid("1@B")),
    "patch": m.Patch(m.heads("0.0") | m.mlps("1")),
    "noise and order": [m.Noise(m.resid("0@B"), 1.0), m.Permute(m.heads("0.2"))],
}


@pytest.mark.parametrize("what", CHANGED)
def test_a_small_step_changes_the_metric_by_the_gradient(tiny, what):
    """Differences of runs, with other interventions beside the step: of sites of all kinds, in a random direction, for each prompt."""
    model, prompts = tiny("gpt2"), random_prompts(6, LENGTHS)
    changed = CHANGED[what] if isinstance(CHANGED[what], list) else [CHANGED[what]]
    sites = m.heads("0.1 1.0") | m.resid_mid("0 1") | m.attn_outs("1") | m.mlps("0") | m.values("1.0") | m.patterns("1.1") | m.resid("1")
    drawn = torch.Generator().manual_seed(0)
    sites = sites - Sites(replace(site, at=None) for one in changed for site in one.sites)  # what is changed cannot be put in as well
    for site, slope in gradients(model, prompts, sites, m.log_probability, changed).items():
        step = torch.randn(slope.shape, dtype=torch.float64, generator=drawn)
        if site.kind == "pattern":  # what a query does not see is not put in
            step = step.tril() * plain.is_real(prompts)[:, None]
        here = capture(model, prompts, Sites([site]), changed)[site]
        ends = []
        for way in (1e-5, -1e-5):
            put = m.Put({site: here + way * step})
            ends.append(run(model, prompts, [*changed, put], m.log_probability).values)
        expected = (slope * step).flatten(1).sum(1)
        np.testing.assert_allclose((ends[0] - ends[1]) / 2e-5, expected, rtol=1e-4, atol=1e-6, err_msg=site.named)
        assert expected.abs().max() > 1e-3


METRICS = [m.kl_divergence.over(ALL), m.entropy, m.probability, m.loss.over("B"), m.distribution_shift]


@pytest.mark.parametrize("metric", METRICS, ids=lambda metric: metric.name)
def test_metrics_of_all_kinds(tiny, metric):
    """By a step along the gradient, which the metric follows; also of a metric that looks at the untouched run."""
    model, prompts = tiny("gpt2"), random_prompts(7, LENGTHS)
    (site,), scaled = m.resid("1"), m.Scale(m.heads("0.1"), 2.0)
    slope = gradients(model, prompts, Sites([site]), metric, scaled)[site]
    here = capture(model, prompts, Sites([site]), scaled)[site]
    ends = [run(model, prompts, [scaled, m.Put({site: here + way * slope})], metric).values for way in (1e-5, -1e-5)]
    expected = (slope**2).flatten(1).sum(1)
    assert expected.max() > 1e-5
    np.testing.assert_allclose((ends[0] - ends[1]) / 2e-5, expected, rtol=1e-4, atol=1e-9)


def test_a_function_of_ones_own(tiny):
    model, prompts = tiny("gpt2"), random_prompts(8, LENGTHS)

    def squared(logits, prompts):
        return (logits**2).sum(-1)

    (slope,) = gradients(model, prompts, m.resid_post("1@END"), squared).values()
    assert slope.shape == (6, 24)
    assert slope.abs().max() > 1e-3
    assert gradients(model, prompts, Sites()) == {}


STATES = {
    "inference mode": torch.inference_mode,
    "no gradients": torch.no_grad,
    "autocast": lambda: torch.autocast("cpu", dtype=torch.bfloat16),
}


@pytest.mark.parametrize("state", STATES)
@pytest.mark.parametrize("trainable", [False, True])
def test_the_callers_state_changes_nothing_and_stays(own_model, state, trainable):
    """Also of prompts and vectors that were made in it, and of a model in training; parameters keep their flags and get no gradients."""
    sites = m.resid("0-1") | m.patterns("0.1") | m.heads("1.0@B")
    vector = torch.linspace(-1, 1, 24, dtype=torch.float64)
    expected = gradients(own_model, random_prompts(3, LENGTHS), sites, m.loss, m.Steer(vector, m.resid("1@A")))
    own_model.requires_grad_(trainable)
    own_model.train()
    before = {name: (parameter.requires_grad, parameter.clone()) for name, parameter in own_model.named_parameters()}
    with STATES[state]():
        steered = m.Steer(torch.linspace(-1, 1, 24, dtype=torch.float64), m.resid("1@A"))
        found = gradients(own_model, random_prompts(3, LENGTHS), sites, m.loss, steered)
        assert torch.is_inference_mode_enabled() == (state == "inference mode")
        assert torch.is_grad_enabled() == (state == "autocast")
    for site, slope in expected.items():
        assert torch.equal(found[site], slope)
        assert not found[site].requires_grad
    assert own_model.training
    for name, parameter in own_model.named_parameters():
        flag, value = before[name]
        assert (parameter.requires_grad, parameter.grad) == (flag, None), name
        assert torch.equal(parameter, value)
    assert not any(module._forward_hooks for name, module in own_model.named_modules() if name.endswith("hook_resid_pre"))


def test_precisions(tiny):
    """Single precision and bfloat16 come near; float16, in which small gradients vanish, is refused."""
    prompts, sites = random_prompts(9, LENGTHS), m.resid("0-1") | m.patterns("1.1")
    right = gradients(tiny("gpt2"), prompts, sites)
    for dtype, near in (("float32", 1e-4), ("bfloat16", 0.2)):
        for site, slope in gradients(tiny("gpt2", dtype), prompts, sites).items():
            assert slope.dtype == getattr(torch, dtype)
            assert (slope.double() - right[site]).abs().max() < near * right[site].abs().max()
    with pytest.raises(MechcheckError, match="small gradients vanish in the range of float16"):
        gradients(tiny("gpt2", "float16"), prompts, sites)


def test_what_has_no_gradient(tiny, own_model):
    model, prompts, sites = tiny("gpt2"), random_prompts(3, LENGTHS), m.resid("0")
    for metric in (m.rank, m.correct, m.next_correct, lambda x, p: x.detach()[:, 0], lambda x, p: [0.0] * len(p)):
        with pytest.raises(MechcheckError, match="has no gradient: it counts or compares, or takes its logits out of torch"):
            gradients(model, prompts, sites, metric)
    with pytest.raises(MechcheckError, match="has no gradient: it takes its logits out of torch, or uses"):
        gradients(model, prompts, sites, lambda x, p: x.numpy()[:, 0])
    with pytest.raises(RuntimeError, match="size of tensor"):  # a bug of the metric's own stays what it is
        gradients(model, prompts, sites, lambda x, p: x + torch.ones(3, 2))
    with pytest.raises(MechcheckError, match="a gradient is of one number for each prompt, so use metric"):
        gradients(model, prompts, sites, m.loss.each_of(ALL))
    with pytest.raises(MechcheckError, match="which a model that reads both ways has seen"):
        gradients(tiny("bert"), prompts, sites, m.loss)
    with pytest.raises(SiteError, match="no layer 9"):
        gradients(model, prompts, m.resid("9"))
    with pytest.raises(SiteError, match="read the same stream"):
        gradients(tiny("neox"), prompts, m.resid_mid("0"))
    with torch.inference_mode():
        for parameter in own_model.parameters():
            parameter.data = parameter.data.clone()
    with pytest.raises(ModelError, match=r"were made in torch\.inference_mode"):
        gradients(own_model, prompts, sites)


def test_an_activation_that_is_only_shown(own_model, monkeypatch):
    """A model that goes on with something else than its hook shows, or that writes something else than pattern @ values."""
    prompts = random_prompts(3, LENGTHS)
    shown, call = own_model.blocks[1].attn.hook_z, torch.nn.Module.__call__

    def pretend(goes_on):
        """Whichever way hooks change z in that layer, the model goes on with what this makes of z as it was, and as it is shown."""

        def called(self, x):
            seen = call(self, x)
            return goes_on(x, seen) if self is shown else seen

        monkeypatch.setattr(type(shown), "__call__", called, raising=False)

    pretend(lambda x, seen: x)
    with pytest.raises(HookError, match="shows its activations and goes on without them"):
        gradients(own_model, prompts, m.heads("1.0"))
    with pytest.raises(HookError, match=r"goes? on without them, so they have no gradient: blocks.1.attn.hook_z"):
        gradients(own_model, prompts, m.heads("0.0 1.0"))
    pretend(lambda x, seen: seen)
    expected = gradients(own_model, prompts, m.patterns("1.0"))
    assert all(slope.any() for slope in expected.values())
    monkeypatch.setattr(type(shown), "__call__", lambda self, x: call(self, 2 * x if self is shown else x), raising=False)
    with pytest.raises(SiteError, match="what the heads of layer 1 write is not their pattern times their values in this architecture"):
        gradients(own_model, prompts, m.patterns("1.0"))
