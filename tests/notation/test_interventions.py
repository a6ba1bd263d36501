"""Each intervention against plain hooks on the Hugging Face model, and the errors of those that make no sense."""

from contextlib import nullcontext

import numpy as np
import plain
import pytest
import torch
from tiny import HUGGING_FACE, SAME_FORWARD, random_prompts

from mechcheck.base.errors import MechcheckError, PromptError, SiteError
from mechcheck.engine.run import capture, plain_hooks, run
from mechcheck.notation.interventions import Ablate, Patch, Permute, Put, Scale, Sparsify, Steer
from mechcheck.notation.sites import Site, Sites, heads, keys, mlps, neurons, queries, resid, values

LENGTHS = (7, 7, 10, 10, 8, 8)


@pytest.fixture(params=["suffix runner", "plain hooks"], autouse=True)
def runner(request):
    """Both ways to run a variant."""
    with plain_hooks() if request.param == "plain hooks" else nullcontext():
        yield


def expected(oracle, prompts, site, change):
    """The logit difference of the Hugging Face model when `change` is applied to the site's own activation, [prompt, pos, d]."""
    return plain.logit_diff_with(oracle, prompts, {site: change(plain.activation(oracle, prompts, site))}).numpy()


@pytest.mark.parametrize("site", [Site("head", 0, 1), Site("head", 0, 0, "A"), Site("resid_pre", 1, None, "B"), Site("mlp_out", 0)])
@pytest.mark.parametrize("name", ["steer", "steer each prompt", "scale", "sparsify"])
def test_it_changes_what_was_there(tiny, hugging_face, layout, site, name):
    prompts, oracle = random_prompts(5, LENGTHS), hugging_face(layout)
    width = plain.activation(oracle, prompts, site).shape[-1]
    vector = torch.linspace(-1, 1, width, dtype=torch.float64)
    rows = torch.randn(len(prompts), width, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    intervention, change = {
        "steer": (Steer(vector, Sites([site]), 1.5), lambda x: x + 1.5 * vector),
        "steer each prompt": (Steer(rows, Sites([site]), 1.5), lambda x: x + 1.5 * rows[:, None]),
        "scale": (Scale(Sites([site]), -2.0), lambda x: -2 * x),
        "sparsify": (Sparsify(Sites([site]), 0.6), lambda x: x * (x.abs() >= 0.6)),
    }[name]
    model = tiny(layout, processing="raw")
    found = run(model, prompts, intervention).values
    np.testing.assert_allclose(found, expected(oracle, prompts, site, change), rtol=0, atol=HUGGING_FACE[layout])
    assert np.abs(found - run(model, prompts).values).max() > 1e-3


def test_permute_exchanges_the_positions_of_each_prompt(tiny, hugging_face, layout):
    """Some order of the real positions gives the same result; the seed chooses it, and padding stays where it is."""
    prompts, oracle, site = random_prompts(5, [5, 5]), hugging_face(layout), Site("head", 0, 1)
    model = tiny(layout, processing="raw")
    found = {seed: run(model, prompts, Permute(Sites([site]), seed)).values for seed in range(3)}
    for seed, values_ in found.items():
        generator = torch.Generator().manual_seed(seed)
        orders = [torch.randperm(5, generator=generator) for _ in range(2)]

        def change(x, orders=orders):
            return torch.stack([row[order] for row, order in zip(x, orders, strict=True)])

        np.testing.assert_allclose(values_, expected(oracle, prompts, site, change), rtol=0, atol=HUGGING_FACE[layout])
    assert not np.allclose(found[0], found[1])
    np.testing.assert_array_equal(found[0], run(model, prompts, Permute(Sites([site]), 0)).values)


def test_put_is_patch_with_values_of_ones_own(tiny, layout):
    model, prompts = tiny(layout), random_prompts(5, LENGTHS)
    sites = heads("0.1 1.0@A") | resid("1@B")
    taken = capture(model, prompts.counterfactual, sites)
    np.testing.assert_allclose(
        run(model, prompts, Put(taken)).values, run(model, prompts, Patch(sites)).values, rtol=0, atol=SAME_FORWARD[layout]
    )


@pytest.mark.parametrize(("kind", "part"), [(queries, 0), (keys, 1), (values, 2)])
@pytest.mark.parametrize("at", [None, "A", "END"])
def test_queries_keys_and_values_are_columns_of_the_joint_projection(tiny, hugging_face, kind, part, at):
    """GPT-2 computes q, k and v of all heads in one projection: replacing columns of its output is the same intervention."""
    model, oracle, prompts = tiny("gpt2", processing="raw"), hugging_face("gpt2"), random_prompts(5, LENGTHS)
    width, head, d_head = 24, 1, 8
    columns = slice(part * width + head * d_head, part * width + (head + 1) * d_head)
    projection, seen = oracle.transformer.h[1].attn.c_attn, {}
    with torch.no_grad():
        handle = projection.register_forward_hook(lambda module, inputs, output: seen.update(source=output[..., columns].clone()))
        oracle(prompts.counterfactual.tokens)
        handle.remove()

        def replace(module, inputs, output):
            output = output.clone()
            for row in range(len(prompts)):
                where = slice(0, int(prompts.lengths[row])) if at is None else [int(prompts.position(at)[row])]
                output[row, where, columns] = seen["source"][row, where]
            return output

        handle = projection.register_forward_hook(replace)
        logits = oracle(prompts.tokens).logits[torch.arange(len(prompts)), prompts.position("END")]
        handle.remove()
    rows = torch.arange(len(prompts))
    wanted = (logits[rows, prompts.answers] - logits[rows, prompts.foils]).numpy()
    np.testing.assert_allclose(run(model, prompts, Patch(kind("1.1", at=at))).values, wanted, rtol=0, atol=1e-9)


def test_patching_queries_keys_and_values_at_once_is_patching_the_head(tiny, layout):
    """With one key/value head per head: z of a head is a function of its q, k and v at all positions."""
    model, prompts = tiny(layout), random_prompts(5, LENGTHS)
    if model.cfg.n_key_value_heads:
        everything = [Patch(queries("1.0-1")), Patch(keys("1.0")), Patch(values("1.0"))]  # two heads share the first of them
        whole = Patch(heads("1.0-1"))
    else:
        everything, whole = [Patch(kind("1.0")) for kind in (queries, keys, values)], Patch(heads("1.0"))
    np.testing.assert_allclose(run(model, prompts, everything).values, run(model, prompts, whole).values, rtol=0, atol=1e-5)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Permute(heads("0.1@END")), "cannot name one; write the site without @END"),
        (lambda: Steer(torch.ones(2, 3, 1), resid(0)), "one row for each prompt, got torch.float32 of shape \\(2, 3, 1\\)"),
        (lambda: Steer(torch.ones(2, 3, dtype=torch.int64), resid(0)), "one row of floats, .*, got torch.int64"),
        (lambda: Steer(torch.tensor([1.0, float("nan")]), resid(0)), "not finite"),
        (lambda: Scale(resid(0), float("inf")), "finite factor"),
        (lambda: Sparsify(resid(0), -1.0), "threshold of 0 or more"),
        (lambda: Put({}), "no sites"),
        (lambda: Ablate(heads(""), "zero"), "no sites"),
        (lambda: Ablate("0.1"), "expected Sites, for example heads"),
    ],
)
def test_what_makes_no_sense_is_refused(make, message):
    with pytest.raises(MechcheckError, match=message):
        make()


@pytest.mark.parametrize(
    ("intervention", "error", "message"),
    [
        (Steer(torch.ones(5), resid(0)), MechcheckError, "5 numbers cannot steer resid 0, which has 24"),
        (Steer(torch.ones(24), heads("0.1")), MechcheckError, "24 numbers cannot steer head 0.1, which has 8"),
        (Steer(torch.ones(2), neurons("0.1@END")), MechcheckError, "which has 1"),
        (Steer(torch.ones(5, 24), resid("0@END")), PromptError, "5 steering vectors for 6 prompts; give one for each, or one for all"),
        (Steer(torch.ones(6, 23), resid(0)), MechcheckError, "23 numbers cannot steer resid 0, which has 24"),
        (Put({Site("head", 0, 1, "END"): torch.ones(6, 9)}), MechcheckError, r"shape \(6, 8\), got \(6, 9\)"),
        ([Scale(mlps(0), 0.0), Ablate(mlps("0@END"))], PromptError, "changed twice at once"),
        (Patch(keys("0.7")), SiteError, "heads 0-2"),
    ],
)
def test_what_does_not_fit_the_model_is_refused(tiny, intervention, error, message):
    with pytest.raises(error, match=message):
        run(tiny("gpt2"), random_prompts(5, LENGTHS), intervention)
