"""Sites at spans: several positions of each prompt at once."""

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from test_reading import with_span
from tiny import LAYOUTS, SAME_FORWARD, random_prompts

from mechcheck.base.errors import PromptError
from mechcheck.engine.run import capture, plain_hooks, run, sweep
from mechcheck.notation.interventions import Ablate, KnockOut, Patch, Put, Scale, Sparsify, Steer
from mechcheck.notation.metrics import logit_diff, loss
from mechcheck.notation.sites import Sites, heads, keys, mlps, patterns, queries, resid, resid_post, values
from mechcheck.prompts.prompt_set import PromptSet

pytestmark = pytest.mark.filterwarnings("error::mechcheck.base.errors.SelfCheckWarning")
LENGTHS = (7, 7, 10, 10, 8, 8)
few = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
KINDS = {
    "head": heads("0.1"), "q": queries("1.1"), "k": keys("1.0"), "v": values("0.0"), "resid": resid("1"), "post": resid_post("0"),
    "mlp": mlps("0"), "pattern": patterns("1.1"),
}  # fmt: skip


def pair(seed):
    """Prompts with a span of two positions, A and B, and both by name."""
    prompts = random_prompts(seed, LENGTHS)
    both = torch.stack([prompts.position("A"), prompts.position("B")], dim=1).tolist()

    def named(some: PromptSet, **others) -> PromptSet:
        rows = [row[:n].tolist() for row, n in zip(some.tokens, some.lengths, strict=True)]
        return PromptSet.from_tokens(
            rows,
            answers=some.answers,
            foils=some.foils,
            positions={**some.positions, "AB": both},
            templates=some.templates,
            pad=0,
            **others,
        )

    return named(prompts, counterfactual=named(prompts.counterfactual), reference=named(prompts.reference))


def changed(how, sites: Sites, model, seed):
    width = model.cfg.d_head if next(iter(sites)).kind in ("head", "q", "k", "v") else model.cfg.d_model
    match how:
        case "patch":
            return Patch(sites)
        case "zero" | "resample":
            return Ablate(sites, how)
        case "scale":
            return Scale(sites, 0.5)
        case "sparsify":
            return Sparsify(sites, 0.3)
        case "knock out":
            return KnockOut(sites, "A")
    return Steer(torch.randn(width, generator=torch.Generator().manual_seed(seed), dtype=torch.float64), sites, 0.5)


@few
@given(st.data())
def test_a_span_is_its_positions(tiny, data):
    """What is done at a span is what is done at each of its positions by name, by both runners."""
    layout, seed = data.draw(st.sampled_from((*LAYOUTS, "bert"))), data.draw(st.integers(0, 5))
    kind = data.draw(st.sampled_from(sorted(KINDS if layout != "bert" else set(KINDS) - {"mlp"})))
    how = data.draw(
        st.sampled_from(["patch", "zero", "resample", "scale", "sparsify"] + (["knock out"] if kind == "pattern" else ["steer"]))
    )
    if kind == "pattern" and how == "sparsify":
        how = "scale"
    model, prompts, sites = tiny(layout), pair(seed), KINDS[kind]
    variants = [
        [changed(how, sites.at("AB"), model, seed)],
        [changed(how, sites.at("A") | sites.at("B"), model, seed)],
    ]
    metric = data.draw(st.sampled_from([logit_diff, logit_diff.over("ALL") if layout == "bert" else loss]))
    span, named = sweep(model, prompts, variants, metric)
    np.testing.assert_allclose(span, named, rtol=0, atol=SAME_FORWARD[layout])
    with plain_hooks():
        np.testing.assert_allclose(sweep(model, prompts, variants, metric), [span, named], rtol=0, atol=SAME_FORWARD[layout])


def test_zeroing_a_span_by_hand(tiny, hugging_face):
    prompts, model = with_span(random_prompts(3, LENGTHS)), hugging_face("gpt2")
    right = []
    for row, n in enumerate(prompts.lengths.tolist()):

        def cut(module, args, row=row, n=n):
            hidden = args[0].clone()
            hidden[0, prompts.spans["M"][row, :n]] = 0
            return (hidden, *args[1:])

        handle = model.transformer.h[1].register_forward_pre_hook(cut)
        with torch.no_grad():
            logits = model(prompts.tokens[row : row + 1, :n]).logits[0, -1]
        handle.remove()
        right.append(float(logits[prompts.answers[row]] - logits[prompts.foils[row]]))
    found = run(tiny("gpt2", processing="raw"), prompts, Ablate(resid("1@M"), "zero")).values
    np.testing.assert_allclose(found, right, rtol=0, atol=1e-9)


def test_what_is_captured_at_a_span_can_be_put_back(tiny, layout):
    model, prompts = tiny(layout), with_span(random_prompts(5, LENGTHS))
    found = capture(model, prompts, heads("0.1@M"))
    assert all(value.shape[:2] == prompts.tokens.shape for value in found.values())
    same = run(model, prompts, Put(found)).values
    np.testing.assert_allclose(same, run(model, prompts).values, rtol=0, atol=1e-5)


def test_means_over_a_span_are_by_template_and_position(tiny):
    model, prompts = tiny("gpt2"), pair(2)
    with pytest.raises(PromptError, match="mean ablation at every position needs at least 2 reference prompts"):
        run(model, prompts[[0, 2, 4]], Ablate(heads("0.1@AB"), "mean"))
    everywhere = [[row[:n].tolist() for row, n in zip(x.tokens, x.lengths, strict=True)] for x in (prompts, prompts.reference)]
    whole = [[list(range(len(row))) for row in rows] for rows in everywhere]
    made = [
        PromptSet.from_tokens(
            rows, answers=prompts.answers, foils=prompts.foils, positions={"ALL_OF_IT": span}, templates=prompts.templates, pad=0
        )
        for rows, span in zip(everywhere, whole, strict=True)
    ]
    found = run(model, made[0], Ablate(heads("0.1@ALL_OF_IT"), "mean", reference=made[1])).values
    right = run(model, made[0], Ablate(heads("0.1"), "mean", reference=made[1])).values
    np.testing.assert_allclose(found, right, rtol=0, atol=1e-9)
