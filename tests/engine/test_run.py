"""run, sweep and capture against oracles that share no code with them."""

from contextlib import nullcontext

import numpy as np
import plain
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tiny import HUGGING_FACE, LAYOUTS, SAME_FORWARD, alone, random_prompts, with_other_padding

from mechcheck.base.errors import MechcheckError, PromptError, SiteError
from mechcheck.engine.run import capture, observe, plain_hooks, run, sweep
from mechcheck.notation.interventions import Ablate, Patch
from mechcheck.notation.metrics import correct, kl_divergence, logit_diff, probability, rank
from mechcheck.notation.sites import Site, Sites, attn_outs, heads, mlps, neurons, resid, resid_post

LENGTHS = (7, 7, 10, 10, 8, 8)


@pytest.fixture(params=["suffix runner", "plain hooks"], autouse=True)
def runner(request):
    """Both ways to run a variant."""
    with plain_hooks() if request.param == "plain hooks" else nullcontext():
        yield


few = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])


def intervention(method: str, sites: Sites) -> Ablate | Patch:
    return Patch(sites) if method == "patch" else Ablate(sites, method)


# A site of any kind, at a named position or at every position; index and layer fit all three layouts.
any_site = st.builds(
    lambda kind, layer, head, at: Site(kind, layer, head if kind == "head" else None, at),
    st.sampled_from(["head", "attn_out", "mlp_out", "resid_pre", "resid_post"]),
    st.integers(0, 1),
    st.integers(0, 2),
    st.sampled_from([None, "END", "A", "B"]),
)
any_layout = st.sampled_from(LAYOUTS)
any_processing = st.sampled_from(["raw", "folded"])
any_method = st.sampled_from(["zero", "mean", "resample", "patch"])
any_lengths = st.lists(st.integers(4, 9), min_size=1, max_size=3).map(lambda some: [n for n in some for _ in range(2)])  # two of a template


@few
@given(layout=any_layout, method=any_method, site=any_site, lengths=any_lengths, seed=st.integers(0, 99))
def test_run_matches_plain_hooks_on_the_hugging_face_model(tiny, hugging_face, layout, method, site, lengths, seed):
    prompts, oracle = random_prompts(seed, lengths), hugging_face(layout)
    measured = run(tiny(layout, processing="raw"), prompts, intervention(method, Sites([site])))
    expected = plain.logit_diff_with(oracle, prompts, {site: plain.value_for(oracle, prompts, site, method)})
    np.testing.assert_allclose(measured.values, expected.numpy(), rtol=0, atol=HUGGING_FACE[layout])


def test_several_interventions_at_once_match_plain_hooks(tiny, hugging_face, layout):
    prompts, oracle = random_prompts(5, LENGTHS), hugging_face(layout)
    chosen = {"zero": heads("0.1@B 1.2"), "mean": mlps("0@A"), "patch": resid("1@END") | heads("0.0@END"), "resample": attn_outs(1, at="A")}
    measured = run(tiny(layout, processing="raw"), prompts, [intervention(method, sites) for method, sites in chosen.items()])
    values = {site: plain.value_for(oracle, prompts, site, method) for method, sites in chosen.items() for site in sites}
    np.testing.assert_allclose(measured.values, plain.logit_diff_with(oracle, prompts, values).numpy(), rtol=0, atol=HUGGING_FACE[layout])


@pytest.mark.parametrize("wrong", ["slice of the output projection", "next head"])
def test_the_oracle_tells_a_wrong_head_ablation_apart(hugging_face, layout, wrong):
    """Zeroing a slice of attn_out, as if it were a head, is no head ablation; neither is another head."""
    prompts, oracle = random_prompts(5, LENGTHS), hugging_face(layout)
    d_head = oracle.config.hidden_size // oracle.config.num_attention_heads
    for head in range(oracle.config.num_attention_heads - 1):
        right = Site("head", 0, head)
        expected = plain.logit_diff_with(oracle, prompts, {right: plain.value_for(oracle, prompts, right, "zero")})
        if wrong == "next head":
            mutated = Site("head", 0, head + 1)
            value = plain.value_for(oracle, prompts, mutated, "zero")
        else:
            mutated = Site("attn_out", 0)
            value = plain.activation(oracle, prompts, mutated)
            value[..., head * d_head : (head + 1) * d_head] = 0
        difference = plain.logit_diff_with(oracle, prompts, {mutated: value}) - expected
        assert difference.abs().max() > 1e3 * HUGGING_FACE[layout]


@few
@given(layout=any_layout, processing=any_processing, site=any_site, lengths=any_lengths, seed=st.integers(0, 99))
def test_patching_a_run_into_itself_changes_nothing(tiny, layout, processing, site, lengths, seed):
    model, prompts = tiny(layout, processing=processing), random_prompts(seed, lengths)
    patched = run(model, prompts, Patch(Sites([site]), source=prompts))
    np.testing.assert_allclose(patched.values, run(model, prompts).values, rtol=0, atol=SAME_FORWARD[layout])


@few
@given(layout=any_layout, processing=any_processing, lengths=any_lengths, seed=st.integers(0, 99))
def test_patching_everything_gives_the_other_run(tiny, layout, processing, lengths, seed):
    model, prompts = tiny(layout, processing=processing), random_prompts(seed, lengths)
    other = run(model, prompts.counterfactual).values
    for everything in (resid(0), resid_post(1), resid_post("1@END")):
        np.testing.assert_allclose(run(model, prompts, Patch(everything)).values, other, rtol=0, atol=SAME_FORWARD[layout])


@few
@given(any_layout, any_processing, any_method, any_site, any_lengths, st.integers(0, 99), st.integers(0, 30))
def test_padding_changes_nothing(tiny, layout, processing, method, site, lengths, seed, token):
    model, prompts = tiny(layout, processing=processing), random_prompts(seed, lengths)
    changed = intervention(method, Sites([site]))
    base = run(model, prompts, changed).values
    padded = run(model, with_other_padding(prompts, token), changed).values
    np.testing.assert_allclose(padded, base, rtol=0, atol=SAME_FORWARD[layout])
    if method != "mean":  # a mean is over several prompts
        single = [run(model, alone(prompts, row), changed).values[0] for row in range(len(prompts))]
        np.testing.assert_allclose(single, base, rtol=0, atol=SAME_FORWARD[layout])


def test_a_source_may_have_more_padding_than_the_prompts(tiny, layout):
    model, prompts = tiny(layout), random_prompts(2, [7, 7])
    wide = with_other_padding(prompts, 4)
    expected = run(model, prompts, Patch(heads("0.1")))
    for into, source in ((prompts, wide.counterfactual), (wide, prompts.counterfactual)):
        patched = run(model, into, Patch(heads("0.1"), source=source))
        np.testing.assert_allclose(patched.values, expected.values, rtol=0, atol=SAME_FORWARD[layout])


def test_sweep_is_run_for_each_variant_whatever_their_order(tiny, layout):
    model, prompts = tiny(layout), random_prompts(3, LENGTHS)
    variants = [[Ablate(heads("0.1"), "mean")], [], [Patch(resid("1@A")), Ablate(mlps("1"), "zero")], Ablate(heads("1.0@B"), "resample")]
    swept = sweep(model, prompts, variants)
    assert swept.shape == (4, len(prompts))
    np.testing.assert_allclose(swept, [run(model, prompts, variant).values for variant in variants], rtol=0, atol=SAME_FORWARD[layout])
    np.testing.assert_allclose(sweep(model, prompts, variants[::-1])[::-1], swept, rtol=0, atol=SAME_FORWARD[layout])


def test_batches_do_not_change_the_result(tiny, layout, monkeypatch):
    model, prompts = tiny(layout), random_prompts(3, LENGTHS)
    variants = [[Ablate(heads("0.1"), "mean")], [Patch(resid("1@A"))], [Ablate(neurons("0.0-9@END"), "resample")]]
    whole = sweep(model, prompts, variants, kl_divergence)
    monkeypatch.setattr("mechcheck.engine.hooks.LOGIT_BYTES", 1)  # one prompt at a time
    np.testing.assert_allclose(sweep(model, prompts, variants, kl_divergence), whole, rtol=0, atol=SAME_FORWARD[layout])


def test_resample_without_a_reference_takes_another_prompt_of_the_template(tiny, hugging_face, layout):
    prompts, site = random_prompts(3, (7, 7, 9, 9)), Site("head", 0, 1)
    prompts = type(prompts)(**{**vars(prompts), "reference": None})
    other = plain.activation(hugging_face(layout), prompts, site)[[1, 0, 3, 2]]  # with two of a template it can only be the other one
    expected = plain.logit_diff_with(hugging_face(layout), prompts, {site: other})
    measured = run(tiny(layout, processing="raw"), prompts, Ablate(Sites([site]), "resample"))
    np.testing.assert_allclose(measured.values, expected.numpy(), rtol=0, atol=HUGGING_FACE[layout])


def test_the_mean_at_every_position_is_that_of_the_template(tiny, hugging_face, layout):
    prompts, site = random_prompts(3, (7, 7, 7, 7, 9, 9)), Site("head", 0, 1)
    prompts = type(prompts)(**{**vars(prompts), "reference": None})
    activation = plain.activation(hugging_face(layout), prompts, site)
    means = activation.unflatten(0, (3, 2)).mean(1).repeat_interleave(2, 0)
    assert (means[0] - means[2]).abs().max() > 1e-3
    expected = plain.logit_diff_with(hugging_face(layout), prompts, {site: means})
    measured = run(tiny(layout, processing="raw"), prompts, Ablate(Sites([site]), "mean"))
    np.testing.assert_allclose(measured.values, expected.numpy(), rtol=0, atol=HUGGING_FACE[layout])


def test_resample_seeds_differ_and_repeat(tiny):
    prompts = random_prompts(3, (7,) * 8, per_template=8)
    prompts = type(prompts)(**{**vars(prompts), "reference": None})
    first, again, other = (run(tiny("gpt2"), prompts, Ablate(resid(1), "resample", seed=seed)).values for seed in (0, 0, 1))
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other)


def test_all_neurons_zero_leave_the_mlp_its_bias(tiny, layout):
    model, prompts = tiny(layout), random_prompts(3, LENGTHS)
    silent = neurons([(0, i) for i in range(20)])
    bias = getattr(model.blocks[0].mlp, "b_out", None)
    recorded = record_mlp(model, prompts, Ablate(silent))
    expected = torch.zeros_like(recorded) if bias is None else bias.expand_as(recorded)
    torch.testing.assert_close(recorded, expected, rtol=0, atol=1e-12)
    assert not np.allclose(run(model, prompts, Ablate(neurons("0.3"))).values, run(model, prompts).values)


def record_mlp(model, prompts, change):
    return observe(model, prompts, {0: ("blocks.0.hook_mlp_out", lambda x, rows: x.clone())}, change)[0]


def test_capture_gives_the_hugging_face_activations(tiny, hugging_face, layout):
    prompts, oracle = random_prompts(3, (8, 8)), hugging_face(layout)
    sites = heads("0.1 1.2") | mlps("1") | attn_outs("0") | resid("1") | resid_post("1")
    captured = capture(tiny(layout, processing="raw"), prompts, sites | sites.at("A"))
    for site in sites:
        expected = plain.activation(oracle, prompts, site)
        torch.testing.assert_close(captured[site], expected, rtol=0, atol=HUGGING_FACE[layout])
        at_a = captured[Site(site.kind, site.layer, site.index, "A")]
        torch.testing.assert_close(at_a, expected[torch.arange(2), prompts.positions["A"]], rtol=0, atol=HUGGING_FACE[layout])


def test_capture_sees_what_interventions_did(tiny, hugging_face, layout):
    """With head 0.1 silenced by a plain hook on the Hugging Face model; a site that is changed itself reads as it was put there."""
    prompts, oracle, silenced = random_prompts(3, (8, 8)), hugging_face(layout), Site("head", 0, 1)

    def silence(x):
        x = x.clone()
        x[..., plain.columns(oracle, silenced)] = 0
        return x

    sites = heads("0.0 0.1 1.2@B") | mlps("0") | resid_post("1")
    captured = capture(tiny(layout, processing="raw"), prompts, sites, Ablate(Sites([silenced])))
    handle = plain.attach(oracle, silenced, silence, len(prompts))
    try:
        for site in sites - Sites([silenced]):
            expected = plain.activation(oracle, prompts, site)
            expected = expected[torch.arange(2), prompts.positions["B"]] if site.at else expected
            torch.testing.assert_close(captured[site], expected, rtol=0, atol=HUGGING_FACE[layout])
    finally:
        handle.remove()
    assert not captured[silenced].any()
    untouched = capture(tiny(layout, processing="raw"), prompts, sites)
    assert not torch.allclose(captured[Site("resid_post", 1)], untouched[Site("resid_post", 1)])


@pytest.mark.parametrize("kind", [heads, neurons])
def test_every_kind_of_site_has_an_effect(tiny, layout, kind):
    model, prompts = tiny(layout), random_prompts(3, LENGTHS)
    base = run(model, prompts).values
    for at in (None, "END"):
        assert (run(model, prompts, Ablate(kind("1.1", at=at))).values != base).all()


@pytest.mark.parametrize("metric", [logit_diff, probability, rank, correct, kl_divergence])
def test_nan_is_not_swallowed(tiny, monkeypatch, metric):
    model, prompts = tiny("gpt2"), random_prompts(3, LENGTHS)

    def poisoned(activation, change, rows):
        activation[0] = torch.nan

    monkeypatch.setattr("mechcheck.engine.hooks.write_site", poisoned)
    values = run(model, prompts, Ablate(heads("0.1")), metric).values
    assert np.isnan(values[0])
    assert np.isfinite(values[1:]).all()


def test_errors_say_what_to_do(tiny):
    model, prompts = tiny("gpt2"), random_prompts(3, LENGTHS)
    with pytest.raises(SiteError, match=r"no layer 2 for head 2\.0: the model has layers 0-1"):
        run(model, prompts, Ablate(heads("2.0")))
    with pytest.raises(SiteError, match=r"no head 0\.3: the model's layers have heads 0-2"):
        run(model, prompts, Patch(heads("0.3")))
    with pytest.raises(SiteError, match=r"no neuron 1\.20: the model's layers have neurons 0-19"):
        capture(model, prompts, neurons("1.20"))
    for negative in ([(-1, 0)], [(0, -1)]):  # -1 must not mean "the last"
        with pytest.raises(SiteError, match="-1"):
            run(model, prompts, Ablate(heads(negative)))
    with pytest.raises(PromptError, match="no position 'S2'; these prompts have A, B, END"):
        run(model, prompts, Ablate(heads("0.0@S2")))
    with pytest.raises(PromptError, match="Patch needs prompts to patch from"):
        run(model, prompts.counterfactual, Patch(heads("0.0")))
    with pytest.raises(PromptError, match="2 source prompts for 6 prompts"):
        run(model, prompts, Patch(heads("0.0"), source=prompts[:2]))
    with pytest.raises(PromptError, match=r"different lengths, so head 0\.0 cannot be aligned at every position"):
        run(model, prompts, Patch(heads("0.0"), source=prompts[::-1]))
    for overlapping in ("0.0 0.1", "0.0@END"):
        with pytest.raises(PromptError, match=r"head 0\.0.* is changed twice at once"):
            run(model, prompts, [Patch(heads("0.0")), Ablate(heads(overlapping))])
    with pytest.raises(PromptError, match="needs at least 2 reference prompts of each template"):
        run(model, prompts[:3], Ablate(heads("0.0"), "mean"))
    few_prompts = type(prompts)(**{**vars(prompts[:3]), "reference": None})
    with pytest.raises(PromptError, match="'template 1' has one only"):
        run(model, few_prompts, Ablate(heads("0.0"), "resample"))
    with pytest.raises(MechcheckError, match="at least one variant"):
        sweep(model, prompts, [])
    for no_intervention in (None, heads("0.0"), [Patch(heads("0.0")), None]):
        with pytest.raises(MechcheckError, match=r"expected an intervention, for example Ablate\(heads\('9\.6'\)\), got "):
            sweep(model, prompts, [no_intervention])
    with pytest.raises(MechcheckError, match=r"unknown ablation 'noise'; choose \"zero\""):
        Ablate(heads("0.0"), "noise")
    with pytest.raises(MechcheckError, match="no sites: this intervention would change nothing"):
        Patch(heads(""))
    with pytest.raises(MechcheckError, match=r"expected Sites, for example heads\('9.6'\), got str"):
        Ablate("0.0")
    with pytest.raises(PromptError, match=r"gave shape \(6, 40\), expected one value for each of 6 prompts"):
        run(model, prompts, metric=lambda logits, _: logits[:, :40])
