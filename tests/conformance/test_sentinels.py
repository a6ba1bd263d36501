"""Sentinels pass on models that work and fail where an instrument, or a model, was tampered with."""

import native_oracle as oracle
import torch
from tiny import VOCABULARY, random_prompts

from mechcheck.base.errors import HookError
from mechcheck.conformance import sentinels as _sentinels
from mechcheck.conformance.sentinels import sentinels
from mechcheck.models.loading import load_model
from mechcheck.models.native import keep_native

SELF, WHOLE, ABLATION, RESTORED = (
    "patching a run into itself changes nothing",
    "patching everything gives the other run",
    "ablating a layer's heads changes something",
    "hooks are gone and weights unchanged",
)


def verdicts(model) -> dict[str, bool]:
    return {s.name: s.passed for s in sentinels(model, random_prompts(0, [7, 9, 8]))}


def test_a_working_model_passes(tiny, layout):
    found = sentinels(tiny(layout, "float32"), random_prompts(0, [7, 9, 8]))
    assert [s.name for s in found] == [SELF, WHOLE, ABLATION, RESTORED]
    assert all(s.passed for s in found)
    assert {s.model for s in found} == {layout}


def test_interventions_that_do_nothing_are_noticed(tiny, monkeypatch):
    honest = _sentinels.logits_at_end
    monkeypatch.setattr(_sentinels, "logits_at_end", lambda model, prompts, interventions=(): honest(model, prompts))
    assert verdicts(tiny("gpt2")) == {SELF: True, WHOLE: False, ABLATION: False, RESTORED: True}


def test_interventions_that_disturb_are_noticed(tiny, monkeypatch):
    honest = _sentinels.logits_at_end

    def noisy(model, prompts, interventions=()):
        torch.manual_seed(len(interventions))
        logits = honest(model, prompts, interventions)
        return logits + 0.1 * torch.randn_like(logits) if interventions else logits

    monkeypatch.setattr(_sentinels, "logits_at_end", noisy)
    assert verdicts(tiny("gpt2")) == {SELF: False, WHOLE: False, ABLATION: True, RESTORED: True}


def test_a_hook_that_stays_is_noticed(own_model, monkeypatch):
    honest = _sentinels.logits_at_end

    def leaky(model, prompts, interventions=()):
        if interventions:
            model.blocks[0].hook_resid_pre.add_hook(lambda x, hook: x)
        return honest(model, prompts, interventions)

    monkeypatch.setattr(_sentinels, "logits_at_end", leaky)
    found = {s.name: s for s in sentinels(own_model, random_prompts(0, [7, 9, 8]))}
    assert not found[RESTORED].passed
    assert "hooks were left on the model" in found[RESTORED].detail


def test_an_error_is_a_failed_sentinel(tiny, monkeypatch):
    def raises(sites, source):
        raise HookError("no such hook")

    monkeypatch.setattr(_sentinels, "Patch", raises)
    failed = [s for s in sentinels(tiny("gpt2"), random_prompts(0, [7, 9, 8])) if not s.passed]
    assert [(s.name, s.detail) for s in failed] == [(SELF, "no such hook"), (WHOLE, "no such hook")]


def test_an_ablation_without_effect_is_noticed(tiny, monkeypatch):
    """The ablation sentinel fails when nothing is ablated."""
    monkeypatch.setattr(_sentinels, "Ablate", lambda sites, method: _sentinels.Patch(sites, random_prompts(0, [7, 9, 8])))
    assert verdicts(tiny("gpt2")) == {SELF: True, WHOLE: True, ABLATION: False, RESTORED: True}


def test_a_layer_whose_heads_have_no_task(tmp_path):
    """As in compiled programs: another layer's heads show that ablations work, and where no heads do anything that is said."""
    config = {
        "n_layers": 3, "n_heads": 2, "d_model": 8, "d_head": 4, "d_mlp": 5, "n_ctx": 9, "d_vocab": len(VOCABULARY), "act_fn": "relu",
        "normalization_type": None,
    }  # fmt: skip

    def found(*idle: int) -> dict[str, tuple[bool, str]]:
        weights = oracle.random_weights(config)
        for layer in idle:
            weights[f"blocks.{layer}.attn.W_O"] = torch.zeros(2, 4, 8)
        model = load_model(keep_native(weights, config, tmp_path / str(len(idle))))
        return {one.name: (one.passed, one.detail) for one in sentinels(model, random_prompts(0, [7, 9, 8]))}

    passed, detail = found(1)[ABLATION]
    assert passed
    assert detail.endswith(" (layer 0)")
    everything = found(0, 1, 2)
    assert everything.pop(ABLATION) == (False, "no layer's heads make a difference")
    assert all(passed for passed, _ in everything.values())
