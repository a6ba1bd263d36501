"""Features of dictionaries as sites: changed as a hand-written hook changes them, by both runners, in every layout, padded or not."""

import re

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from made_dictionaries import ARCHITECTURES, made
from test_spans_as_sites import LENGTHS, pair
from tiny import LAYOUTS, SAME_FORWARD, alone, random_prompts, with_other_padding

from mechcheck.base.errors import MechcheckError, NoControlError, PromptError, SiteError
from mechcheck.engine.run import capture, plain_hooks, run, sweep
from mechcheck.notation.dictionaries import Dictionary
from mechcheck.notation.features import features, reconstruction_error
from mechcheck.notation.interventions import Ablate, Patch, Permute, Put, Scale, Sparsify, Steer
from mechcheck.notation.metrics import logit_diff, loss
from mechcheck.notation.sites import Sites, heads
from mechcheck.verdicts.controls import random_sites

pytestmark = pytest.mark.filterwarnings("error::mechcheck.base.errors.SelfCheckWarning")
few = settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
HOOKS = {
    "resid": "blocks.1.hook_resid_pre", "post": "blocks.0.hook_resid_post", "mid": "blocks.0.hook_resid_mid",
    "mlp": "blocks.0.hook_mlp_out", "attn": "blocks.1.hook_attn_out", "z": "blocks.1.attn.hook_z", "neurons": "blocks.0.mlp.hook_post",
    "one head": "blocks.0.attn.hook_z",
}  # fmt: skip


def at_home(model, place: str, architecture: str = "standard", **others) -> Dictionary:
    """A dictionary that fits the model at the place."""
    cfg = model.cfg
    width = {"neurons": cfg.d_mlp, "z": cfg.n_heads * cfg.d_head, "one head": cfg.d_head}.get(place, cfg.d_model)
    head = {"head": 1} if place == "one head" else {}
    return made(architecture, HOOKS[place], width, **head, **others)


@few
@given(st.data())
def test_it_is_what_putting_the_whole_activation_is(tiny, data):
    """The oracle: capture the whole activation, change it with the dictionary's arrays by hand, and put it back."""
    layout = data.draw(st.sampled_from((*LAYOUTS, "bert")))
    model, prompts = tiny(layout), pair(data.draw(st.integers(0, 5)))
    place = data.draw(st.sampled_from(sorted(HOOKS)))
    norm = data.draw(st.sampled_from(["none", "layer_norm"]))
    one = at_home(model, place, data.draw(st.sampled_from(ARCHITECTURES)), normalise=norm, seed=data.draw(st.integers(0, 3)))
    at = data.draw(st.sampled_from([None, "A", "AB", "END"]))
    sites = Sites([one.site]).at(at)
    try:
        (whole,) = capture(model, prompts, sites).values()
    except SiteError:
        return  # the layout has no such place
    (site,) = sites
    (other,) = capture(model, prompts.counterfactual, sites).values()
    chosen, error = sorted(data.draw(st.sets(st.integers(0, 11), min_size=1, max_size=4))), data.draw(st.booleans())
    part = features(one, " ".join([*map(str, chosen), *["error"] * error]), at=at)
    unit = whole - whole.mean(-1, keepdim=True)
    unit = unit.std(-1, keepdim=True) if norm == "layer_norm" else torch.ones_like(whole[..., :1])
    how = data.draw(st.sampled_from(["zero", "patch", "scale", "steer"]))
    amounts = torch.arange(1.0, 1 + len(chosen), dtype=torch.float64)
    was, new = one.encode(whole)[..., chosen], one.encode(other)[..., chosen]
    left, left_other = whole - one.reconstruct(whole), other - one.reconstruct(other)
    towards = {"zero": -was, "patch": new - was, "scale": 2 * was, "steer": 0.5 * amounts.expand_as(was)}[how]
    leftover = {"zero": -left, "patch": left_other - left, "scale": 2 * left, "steer": 0.5 * torch.ones_like(left)}[how]
    right = whole + towards @ one.W_dec[chosen] * unit + (leftover if error else 0.0)
    vector = torch.cat([amounts, torch.ones(whole.shape[-1], dtype=torch.float64)]) if error else amounts
    done = {"zero": Ablate(part), "patch": Patch(part), "scale": Scale(part, 3.0), "steer": Steer(vector, part, 0.5)}[how]
    metric = data.draw(st.sampled_from([logit_diff, logit_diff.over("ALL") if layout == "bert" else loss]))
    found, expected = sweep(model, prompts, [done, Put({site: right.to(whole)})], metric)
    np.testing.assert_allclose(found, expected, rtol=0, atol=10 * SAME_FORWARD[layout])
    with plain_hooks():
        np.testing.assert_allclose(sweep(model, prompts, [done], metric)[0], expected, rtol=0, atol=10 * SAME_FORWARD[layout])


def test_an_ablated_feature_by_hand(tiny, hugging_face):
    """Hooks of transformers alone, one prompt at a time, without padding."""
    prompts, model = random_prompts(3, LENGTHS), hugging_face("gpt2")
    one = made("jumprelu", "blocks.1.hook_resid_pre", model.config.n_embd, seed=2)
    right = []
    for row, n in enumerate(prompts.lengths.tolist()):

        def without(module, args):
            x = args[0]
            pre = (x - one.b_dec.to(x)) @ one.W_enc.to(x) + one.b_enc.to(x)
            active = pre * (pre > one.threshold.to(x).clamp(min=0))
            return (x - active[..., [2, 7]] @ one.W_dec.to(x)[[2, 7]], *args[1:])

        handle = model.transformer.h[1].register_forward_pre_hook(without)
        with torch.no_grad():
            logits = model(prompts.tokens[row : row + 1, :n]).logits[0, -1]
        handle.remove()
        right.append(float(logits[prompts.answers[row]] - logits[prompts.foils[row]]))
    untouched, found = sweep(tiny("gpt2", processing="raw"), prompts, [[], Ablate(features(one, "2 7"))])
    np.testing.assert_allclose(found, right, rtol=0, atol=1e-9)
    assert np.abs(found - untouched).max() > 1e-3


@pytest.mark.parametrize("reads", ["mlp.hook_in", "ln2.hook_normalized"])
@pytest.mark.parametrize("architecture", ["standard", "jumprelu"])
def test_a_transcoder_reads_before_the_mlp_and_writes_behind_it(tiny, layout, reads, architecture):
    model, prompts = tiny(layout, processing="raw"), random_prompts(3, LENGTHS)
    d = model.cfg.d_model
    skip = torch.eye(d, dtype=torch.float64) if architecture == "standard" else None
    one = made(architecture, "blocks.0.hook_mlp_out", d, reads=f"blocks.0.{reads}", W_skip=skip)
    seen = {}

    def look(activation, hook):
        seen["in"] = activation

    def change(activation, hook):
        acts = one.encode(seen["in"])
        keep = torch.ones(12, dtype=acts.dtype)
        keep[[1, 4]] = 0.0
        error = activation - one.reconstruct(seen["in"])
        skipped = seen["in"] @ skip.to(acts) if skip is not None else 0.0
        return ((acts * keep) @ one.W_dec.to(acts) + one.b_dec.to(acts) + skipped + error).to(activation)

    with torch.no_grad(), model.hooks(fwd_hooks=[(f"blocks.0.{reads}", look), ("blocks.0.hook_mlp_out", change)]):
        logits = model(prompts.tokens)
    row, end = torch.arange(len(prompts)), prompts.lengths - 1
    right = logits[row, end, prompts.answers] - logits[row, end, prompts.foils]
    clean, found, mixed, heads_alone = sweep(
        model, prompts, [[], Ablate(features(one, "1 4")), [Ablate(features(one, "1 4")), Ablate(heads("1.0"))], Ablate(heads("1.0"))]
    )
    np.testing.assert_allclose(found, right, rtol=0, atol=SAME_FORWARD[layout])
    assert np.abs(found - clean).max() > 1e-3 < np.abs(mixed - heads_alone).max()
    spliced = capture(model, prompts, Sites([one.site]), Ablate(reconstruction_error(one)))[one.site]
    torch.testing.assert_close(spliced, one.reconstruct(seen["in"]).to(spliced))
    ((_, both),) = capture(model, prompts, features(one, "4 error", at="A")).items()
    here = seen["in"][row, prompts.positions["A"]]
    torch.testing.assert_close(both[:, 0], one.encode(here)[:, 4].to(both))
    exchanged = run(model, prompts, Permute(features(one, "1 4"), 2)).values
    assert np.isfinite(exchanged).all()
    assert np.abs(exchanged - clean).max() > 1e-3


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_features_and_error_are_all_that_there_is(tiny, architecture):
    model, prompts = tiny("gpt2"), pair(1)
    one = at_home(model, "resid", architecture)
    place = Sites([one.site]).at("A")
    every = features(one, range(12), at="A")
    same = Scale(features(one, "0-11 error", at="A"), 1.0)
    patched = Patch(features(one, "0-11 error", at="A"))
    found = sweep(model, prompts, [[], same, Scale(every, 1.0), patched, Patch(place)])
    np.testing.assert_allclose(found[1:3], found[[0, 0]], rtol=0, atol=1e-9)  # features, bias and error add up to the activation
    np.testing.assert_allclose(found[3], found[4], rtol=0, atol=1e-9)
    (whole,) = capture(model, prompts, place).values()
    (silent,) = capture(model, prompts, place, Ablate(every)).values()
    torch.testing.assert_close(silent, one.b_dec + (whole - one.reconstruct(whole)))
    (spliced,) = capture(model, prompts, place, Ablate(reconstruction_error(one, at="A"))).values()
    torch.testing.assert_close(spliced, one.reconstruct(whole))


def test_what_is_read_does_not_depend_on_padding(tiny, layout):
    model, prompts = tiny(layout), random_prompts(4, LENGTHS)
    one = at_home(model, "resid", "topk")
    sites = features(one, "0-11 error", at="END")
    (read,) = capture(model, prompts, sites).values()
    for padded in (with_other_padding(prompts, 5),):
        torch.testing.assert_close(capture(model, padded, sites)[next(iter(sites))], read, rtol=1e-5, atol=1e-6)
    for row in range(len(prompts)):
        (single,) = capture(model, alone(prompts, row), sites).values()
        torch.testing.assert_close(single[0], read[row], rtol=1e-5, atol=1e-6)
    ablated = run(model, prompts, Ablate(features(one, "0-5"))).values
    np.testing.assert_allclose(run(model, with_other_padding(prompts, 7), Ablate(features(one, "0-5"))).values, ablated, atol=1e-6)


def test_features_beside_heads_in_one_run_and_in_place(tiny):
    model, prompts = tiny("gpt2"), random_prompts(5, LENGTHS)
    one = at_home(model, "z")
    both = [Ablate(features(one, "3 5", at="END")), Ablate(heads("0.1"), "mean")]
    fast = run(model, prompts, both).values
    with plain_hooks():
        np.testing.assert_allclose(run(model, prompts, both).values, fast, rtol=0, atol=1e-9)
    with pytest.raises(PromptError, match=re.escape("heads 1@END[f3,f5] is changed twice at once")):
        run(model, prompts, [Ablate(heads("1.2@END")), Ablate(features(one, "3 5", at="END"))])
    sparse = Sparsify(features(one, range(12)), 0.7)
    ((site, read),) = capture(model, prompts, features(one, range(12))).items()
    small = read * (read >= 0.7)
    (whole,) = capture(model, prompts, Sites([one.site])).values()
    right = whole + (small - read) @ one.W_dec
    np.testing.assert_allclose(run(model, prompts, sparse).values, run(model, prompts, Put({one.site: right})).values, atol=1e-9)
    assert str(site) == "heads 1[f0-11]"
    assert [str(features(one, which)) for which in ("error", "3 error", "0-1 11", 5)] == [
        "heads 1[error]", "heads 1[f3,error]", "heads 1[f0-1,f11]", "heads 1[f5]"
    ]  # fmt: skip
    assert str(features(one, "1 3 5 7 9 11 0", at="A") | heads("0.1")) == "head 0.1 heads 1@A[f0-1,f3,f5,f7,f9,f11]"


def test_what_cannot_be_is_refused(tiny):
    model, prompts = tiny("gpt2"), random_prompts(2, LENGTHS)
    one = at_home(model, "resid")
    for which, why in {
        "12": "no feature 12: dictionary has features 0-11", "": "no features", "a": "cannot read 'a' as features", "5-3": "runs backwards",
        (1.5,): "a feature is a number, got 1.5", (-1,): "no feature -1",
    }.items():  # fmt: skip
        with pytest.raises(SiteError, match=why):
            features(one, which)
    with pytest.raises(MechcheckError, match="expected a Dictionary"):
        features("gpt2-small-res-jb", "3")
    with pytest.raises(SiteError, match=r"'f3' reads activations of 6 numbers, and resid 1 has 24"):
        run(model, prompts, Ablate(features(made("standard", HOOKS["resid"], 6), "3")))
    with pytest.raises(SiteError, match=r"'f3' reads activations of 12 numbers, and mlp\.hook_in and mlp 0 has 48"):
        run(model, prompts, Ablate(features(made("standard", HOOKS["mlp"], 6, reads="blocks.0.mlp.hook_in"), "3")))
    with pytest.raises(SiteError, match="no layer 5"):
        run(model, prompts, Ablate(features(made("standard", "blocks.5.hook_resid_pre", 24), "3")))


def test_a_dictionary_of_the_raw_stream_is_refused_on_the_folded_one(tiny):
    prompts = random_prompts(2, LENGTHS)
    raw, folded = (at_home(tiny("gpt2"), "resid", processing=how) for how in ("raw", "folded"))
    for model, wrong, right in ((tiny("gpt2"), raw, folded), (tiny("gpt2", processing="raw"), folded, raw)):
        with pytest.raises(SiteError, match=rf"of the {wrong.processing} model.* load_model\(\.\.\., processing=\"{wrong.processing}\"\)"):
            run(model, prompts, Ablate(features(wrong, "3")))
        run(model, prompts, Ablate(features(right, "3")))
    llama = tiny("llama")  # whose norms subtract no mean: the stream is the same, what the MLP reads is not
    run(llama, prompts, Ablate(features(at_home(llama, "resid", processing="raw"), "3")))
    transcoder = made("standard", HOOKS["mlp"], 32, reads="blocks.0.mlp.hook_in", processing="raw")
    with pytest.raises(SiteError, match="of the raw model"):
        run(llama, prompts, Ablate(features(transcoder, "3")))


def test_random_controls_are_other_features_that_fire(tiny):
    model = tiny("gpt2")
    fires = torch.tensor([0.5] * 8 + [0.0] * 4)
    mine = features(at_home(model, "resid", frequency=fires), "0 1", at="END")
    drawn = random_sites(model, mine, outside=mine, n=30, seed=0)
    found = {feature for sites in drawn for site in sites for feature in site.code.chosen}
    assert found == set(range(2, 8))
    assert {len(site.code.chosen) for sites in drawn for site in sites} == {2}
    assert len(drawn) == len(set(drawn)) >= 10
    unsaid = features(at_home(model, "resid"), "0", at="END")
    assert {s.code.chosen[0] for sites in random_sites(model, unsaid, outside=unsaid, n=40, seed=1) for s in sites} <= set(range(1, 12))
    for sites, why in ((features(mine.members[0].code.dictionary, "0-4"), "has 3 others that fire"), (mine, None)):
        if why:
            with pytest.raises(NoControlError, match=why):
                random_sites(model, sites, outside=sites, n=2, seed=0)
    error = reconstruction_error(at_home(model, "resid"))
    with pytest.raises(NoControlError, match="one reconstruction error only"):
        random_sites(model, error, outside=error, n=2, seed=0)
