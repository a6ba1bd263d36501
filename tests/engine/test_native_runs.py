"""Native models: whatever the configuration, they compute what HookedTransformer computes, by hooks and by the fast runner."""

import math
import tempfile
from collections.abc import Callable

import hypothesis.strategies as st
import native_oracle as oracle
import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings

from mechcheck.base.errors import SiteError
from mechcheck.engine import run as _run
from mechcheck.engine.run import capture, plain_hooks, run, sweep
from mechcheck.models.loading import forget_models, load_model, provenance
from mechcheck.models.native import keep_native
from mechcheck.notation.interventions import Ablate, Patch, Scale
from mechcheck.notation.sites import Sites, attn_outs, heads, keys, mlps, neurons, queries, resid, resid_post, values
from mechcheck.prompts.prompt_set import PromptSet

EXACT = 1e-9


@st.composite
def configurations(draw: st.DrawFn) -> dict:
    """Settings of a HookedTransformer, of every kind that the native network computes."""
    attn_only = draw(st.booleans())
    n_heads, d_head = draw(st.sampled_from([1, 2, 4])), draw(st.sampled_from([2, 4, 6]))
    rotary = draw(st.booleans())
    gated = not attn_only and draw(st.booleans())
    norm = draw(st.sampled_from([None, "LN", "LNPre", "RMS", "RMSPre"]))
    return {
        "n_layers": draw(st.integers(1, 3)),
        "n_heads": n_heads,
        "d_head": d_head,
        "d_model": draw(st.sampled_from([3, 8, 13])),
        "n_ctx": 9,
        "d_vocab": 11,
        "d_vocab_out": draw(st.sampled_from([11, 7, 17])),
        "attn_only": attn_only,
        "d_mlp": 5,
        "act_fn": draw(st.sampled_from(["relu", "gelu", "gelu_new", "silu"] + ["solu_ln"] * (not gated))),
        "gated_mlp": gated,
        "normalization_type": norm,
        "final_rms": norm == "LN" and draw(st.booleans()),
        "attention_dir": draw(st.sampled_from(["causal", "bidirectional"])),
        "use_attn_scale": draw(st.booleans()),
        "positional_embedding_type": "rotary" if rotary else "standard",
        "rotary_dim": draw(st.sampled_from([None, 2])) if rotary else None,
        "rotary_adjacent_pairs": draw(st.booleans()),
        "n_key_value_heads": draw(st.sampled_from([None, n_heads // 2])) if n_heads > 1 else None,
    }


def prompts_for(config: dict) -> PromptSet:
    """Five prompts of three lengths with a named position, and an aligned counterfactual."""
    lengths = (5, 5, 8, 8, 3)
    generator = torch.Generator().manual_seed(1)
    out = min(config["d_vocab_out"], config["d_vocab"])

    def build(**more) -> PromptSet:
        rows = [torch.randint(config["d_vocab"], (length,), generator=generator).tolist() for length in lengths]
        answers = [i % out for i in range(5)]
        return PromptSet.from_tokens(
            rows, answers=answers, foils=[(a + 1) % out for a in answers], positions={"A": [1, 0, 3, 6, 1]}, pad=0,
            attention_mask=[[1] * len(row) for row in rows], templates=["a", "a", "b", "b", "c"], **more,
        )  # fmt: skip

    return build(counterfactual=build())


class Expected:
    """HookedTransformer on the prompts."""

    def __init__(self, weights: dict, config: dict):
        self.weights, self.config = weights, config

    def logits(self, prompts: PromptSet, change: Callable = lambda _, x: x) -> torch.Tensor:
        out = oracle.forward(self.weights, self.config, prompts.tokens, prompts.lengths, change)
        return out[torch.arange(len(prompts)), prompts.position("END")]

    def logit_diff(self, prompts: PromptSet, change: Callable = lambda _, x: x) -> np.ndarray:
        rows, out = torch.arange(len(prompts)), self.logits(prompts, change)
        return (out[rows, prompts.answers] - out[rows, prompts.foils]).numpy()

    def activations(self, prompts: PromptSet) -> dict[str, torch.Tensor]:
        seen = {}

        def keep(name: str, x: torch.Tensor) -> torch.Tensor:
            seen[name] = x
            return x

        self.logits(prompts, keep)
        return seen

    def part(self, site, x: torch.Tensor) -> torch.Tensor:
        """[prompt, pos, d] of a site."""
        if site.index is None:
            return x
        return x[:, :, site.index] if site.kind != "neuron" else x[:, :, site.index : site.index + 1]

    def changed(self, prompts: PromptSet, sites: Sites, new: Callable) -> np.ndarray:
        """The logit difference with new(site, old) [prompt, pos, d] at the sites' positions."""

        def change(name: str, x: torch.Tensor) -> torch.Tensor:
            for site in sites:
                if site.hook_name == name:
                    x, part = x.clone(), self.part(site, x)
                    put = new(site, part)
                    if site.at is not None:
                        here = torch.arange(x.shape[1]) == prompts.position(site.at)[:, None]
                        put = torch.where(here[..., None], put, part)
                    self.part(site, x).copy_(put)
            return x

        return self.logit_diff(prompts, change)


def sites_of(config: dict) -> list:
    """One site of every kind that the model has, in its last layer, at all positions and at named ones."""
    layer, head, group = config["n_layers"] - 1, config["n_heads"] - 1, (config["n_key_value_heads"] or config["n_heads"]) - 1
    some = heads([(layer, head)]) | heads([(0, 0)]) | values([(0, group)]) | attn_outs("0") | resid(layer) | resid_post("0")
    if config["positional_embedding_type"] == "standard" or config["rotary_adjacent_pairs"]:
        some = some | queries([(layer, head)]) | keys([(0, group)])  # halves are kept side by side: other components, the same products
    if not config["attn_only"]:
        some = some | mlps(str(layer)) | neurons([(0, 3)])
    return [site for place in (None, "A", "END") for site in some.at(place)]


def close(found, expected, err_msg: str = "") -> None:
    found, expected = np.asarray(found), np.asarray(expected)
    scale = max(1.0, float(np.abs(expected).max()))
    np.testing.assert_allclose(found, expected, rtol=0, atol=EXACT * scale, err_msg=err_msg)


@settings(max_examples=8, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)
@given(config=configurations())
@pytest.mark.filterwarnings("error::mechcheck.base.errors.SelfCheckWarning")
def test_every_configuration_computes_what_hooked_transformer_computes(config):
    """Runs, captures, patches, ablations and scalings of the model as stored; and the folded model's predictions."""
    weights = oracle.random_weights(config)
    truth, prompts = Expected(weights, config), prompts_for(config)
    with tempfile.TemporaryDirectory() as folder:
        directory = keep_native(weights, config, folder)
        raw, processed = (load_model(directory, dtype="float64", processing=how) for how in ("raw", "folded"))
        forget_models()
    close(run(raw, prompts).values, truth.logit_diff(prompts))
    close(run(processed, prompts).values, truth.logit_diff(prompts))
    folds = config["normalization_type"] is not None and not (config["gated_mlp"] and config["normalization_type"] == "LN")
    assert provenance(processed).processing == ("folded" if folds else "raw"), provenance(processed).not_folded
    sites = sites_of(config)
    here = truth.activations(prompts)
    for site, found in capture(raw, prompts, Sites(sites)).items():
        expected = truth.part(site, here[site.hook_name])
        rows = torch.arange(len(prompts))
        real = torch.arange(expected.shape[1]) < prompts.lengths[:, None]
        close(*((found[real], expected[real]) if site.at is None else (found, expected[rows, prompts.position(site.at)])), site.named)
    there = truth.activations(prompts.counterfactual)
    changes = {
        "patch": (lambda sites: Patch(sites), lambda site, old: truth.part(site, there[site.hook_name])),
        "zero": (lambda sites: Ablate(sites, "zero"), lambda site, old: torch.zeros_like(old)),
        "scale": (lambda sites: Scale(sites, 0.3), lambda site, old: 0.3 * old),
    }
    for name, (made, new) in changes.items():
        variants = [made(Sites([site])) for site in sites]
        expected = [truth.changed(prompts, Sites([site]), new) for site in sites]
        close(sweep(raw, prompts, variants), np.stack(expected), name)
        with plain_hooks():
            close(sweep(raw, prompts, variants[::4]), np.stack(expected[::4]), f"{name} by hooks")


CONFIG = {
    "n_layers": 2, "n_heads": 2, "d_head": 4, "d_model": 8, "n_ctx": 9, "d_vocab": 11, "d_vocab_out": 11, "attn_only": False, "d_mlp": 5,
    "act_fn": "relu", "normalization_type": None, "n_key_value_heads": None,
}  # fmt: skip


@pytest.mark.parametrize(
    ("changed", "fast"),
    [
        ({}, True),
        ({"attn_only": True}, True),
        ({"attention_dir": "bidirectional"}, True),
        ({"attention_dir": "bidirectional", "attn_only": True, "normalization_type": "LNPre"}, True),
        ({"d_head": 12, "n_heads": 1, "n_layers": 1}, True),
        ({"d_vocab_out": 7, "normalization_type": "RMS"}, True),
        ({"positional_embedding_type": "rotary", "rotary_adjacent_pairs": True, "rotary_dim": 2}, True),
        ({"act_fn": "solu_ln"}, False),
    ],
)
def test_which_runner_serves(tmp_path, monkeypatch, changed, fast):
    """The fast one, but for activations that it does not have; its numbers are those of the test above."""
    config = CONFIG | changed
    model = load_model(keep_native(oracle.random_weights(config), config, tmp_path / "model"), dtype="float64")
    used = []
    monkeypatch.setattr(_run, "run_sweep", lambda *args: used.append("fast") or swept(*args))
    monkeypatch.setattr(_run, "_plain", lambda *args: used.append("hooks") or plain(*args))
    sweep(model, prompts_for(config), [Patch(heads("0.0")), []])
    assert used == ["fast" if fast else "hooks"]


swept, plain = _run.run_sweep, _run._plain


def test_sites_of_a_model_without_mlps(tmp_path):
    config = CONFIG | {"attn_only": True}
    model = load_model(keep_native(oracle.random_weights(config), config, tmp_path / "model"))
    for sites in (mlps("0"), neurons("1.0")):
        with pytest.raises(SiteError, match=rf"no {'mlp 0' if sites == mlps('0') else 'neuron 1.0'}: the model has attention alone"):
            run(model, prompts_for(config), Ablate(sites, "zero"))


def test_scores_are_not_scaled_where_they_are_not(tmp_path):
    """`boot_native` ignores use_attn_scale=False."""
    scaled, plainly = (CONFIG | {"use_attn_scale": flag} for flag in (True, False))
    weights, prompts = oracle.random_weights(CONFIG), prompts_for(CONFIG)
    found = {}
    for name, config in (("scaled", scaled), ("plain", plainly)):
        model = load_model(keep_native(weights, config, tmp_path / name), dtype="float64")
        found[name] = run(model, prompts).values
        assert math.isclose(model.cfg.attn_scale, 2.0 if name == "scaled" else 1.0)
        close(found[name], Expected(weights, config).logit_diff(prompts))
    assert np.abs(found["scaled"] - found["plain"]).max() > 1e-2
