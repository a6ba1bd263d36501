"""Edges as sites: one receiver reads one sender otherwise."""

import numpy as np
import pytest
import torch
from edges_by_hand import Parts, edge_patched
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from test_spans_as_sites import changed, pair
from tiny import HUGGING_FACE, LAYOUTS, SAME_FORWARD

from mechcheck.base.errors import PromptError, SiteError
from mechcheck.engine.run import capture, plain_hooks, run, sweep
from mechcheck.notation.codes import subspace
from mechcheck.notation.edges import edges, to
from mechcheck.notation.interventions import Ablate, Patch, Put, Scale
from mechcheck.notation.metrics import kl_divergence, loss
from mechcheck.notation.sites import Sites, heads, keys, mlps, neurons, queries, resid, resid_post, values

pytestmark = pytest.mark.filterwarnings("error::mechcheck.base.errors.SelfCheckWarning")
few = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
CASES = (
    "0.1->1.1.q", "0.1->1.0.k", "0.0->1.1.v", "input->0.0.q", "input->1.0.v", "mlp0->1.1.k", "0.2->mlp1", "mlp0->mlp1", "input->mlp0",
    "0.1->logits", "1.1->logits", "mlp0->logits", "mlp1->logits", "input->logits",
)  # fmt: skip


@pytest.mark.parametrize("at", [None, "END", "A", "AB"])
@pytest.mark.parametrize("name", [*LAYOUTS, "neox-sequential"])
def test_an_edge_by_hand(tiny, hugging_face, name, at):
    """Both runners against two passes of transformers' own model, for every kind of sender and receiver."""
    prompts, parts = pair(3), Parts(name, hugging_face(name))
    cases = [*CASES, *([] if name == "neox" else ["0.1->mlp0", "1.0->mlp1"])]
    right = []
    for case in cases:
        sender, receiver = case.split("->")
        row = []
        for i, n in enumerate(prompts.lengths.tolist()):
            where = None if at is None else prompts.span(at)[i].nonzero()[:, 0].tolist()
            tokens, source = prompts.tokens[i : i + 1, :n], prompts.counterfactual.tokens[i : i + 1, :n]
            logits = edge_patched(parts, sender, receiver, tokens, source, where)[0, -1]
            row.append(float(logits[prompts.answers[i]] - logits[prompts.foils[i]]))
        right.append(row)
    variants = [Patch(edges(case, at=at)) for case in cases]
    found = sweep(tiny(name, processing="raw"), prompts, variants)
    np.testing.assert_allclose(found, right, rtol=0, atol=HUGGING_FACE.get(name, 1e-5))
    with plain_hooks():
        np.testing.assert_allclose(sweep(tiny(name), prompts, variants), right, rtol=0, atol=max(1e-5, HUGGING_FACE.get(name, 1e-5)))


def everything(model, sender: str) -> str:
    """All edges out of a sender of the first layer or the input."""
    kv = (model.cfg.n_key_value_heads or model.cfg.n_heads) - 1
    heads_of = [f"{layer}.0-{model.cfg.n_heads - 1}.q {layer}.0-{kv}.kv" for layer in ((0, 1) if sender == "input" else (1,))]
    mlp = ["mlp1"] if model.cfg.parallel_attn_mlp and sender != "input" else ["mlp0-1"]
    return " ".join(f"{sender}->{receiver}" for some in (*heads_of, *mlp, "logits") for receiver in some.split())


@pytest.mark.parametrize("name", [*LAYOUTS, "neox-sequential"])
@pytest.mark.parametrize("at", [None, "A", "AB"])
def test_all_edges_of_a_sender_are_the_sender(tiny, name, at):
    model, prompts = tiny(name), pair(1)
    for sender, sites in (("0.1", heads("0.1")), ("input", resid("0"))):
        for how in (Patch, lambda s: Ablate(s, "zero"), lambda s: Ablate(s, "resample"), lambda s: Scale(s, 1.7)):
            along, whole = (
                run(model, prompts, how(edges(everything(model, sender), at=at)), loss),
                run(model, prompts, how(sites.at(at)), loss),
            )
            np.testing.assert_allclose(along.values, whole.values, rtol=0, atol=SAME_FORWARD[name])


@pytest.mark.parametrize("name", [*LAYOUTS, "neox-sequential"])
def test_all_edges_into_a_receiver_are_what_it_reads(tiny, name):
    model, prompts = tiny(name), pair(2)
    senders = f"input 0.0-{model.cfg.n_heads - 1} mlp0".split()
    cases = [("1.1.q", queries("1.1@A")), ("1.1.k", keys("1.1@A")), ("1.0.v", values("1.0@A"))]
    variants = [[Patch(edges(" ".join(f"{sender}->{into}" for sender in senders), at="A"))] for into, _ in cases]
    found = sweep(model, prompts, [*variants, *([Patch(sites)] for _, sites in cases)], loss)
    np.testing.assert_allclose(found[:3], found[3:], rtol=0, atol=SAME_FORWARD[name])
    late = edges(f"input->logits 0.0-{model.cfg.n_heads - 1}->logits 1.0-{model.cfg.n_heads - 1}->logits mlp0-1->logits", at="END")
    found = sweep(model, prompts, [Patch(late), Patch(resid_post("1@END"))], kl_divergence)
    np.testing.assert_allclose(found[0], found[1], rtol=0, atol=SAME_FORWARD[name])


@few
@given(st.data())
def test_both_runners_agree(tiny, data):
    """Whatever is done along edges, alone, several into one receiver, side by side, or one behind the other."""
    name = data.draw(st.sampled_from((*LAYOUTS, "neox-sequential")))
    model, prompts = tiny(name), pair(data.draw(st.integers(0, 5)))
    chosen = data.draw(st.lists(st.sampled_from(CASES), min_size=1, max_size=3, unique=True))
    sites = Sites(s for case in chosen for s in edges(case, at=data.draw(st.sampled_from([None, "A", "AB", "END"]))))
    how = data.draw(st.sampled_from(["patch", "zero", "mean", "resample", "scale", "sparsify", "steer"]))
    if how == "mean" and any(prompts.several(site.at) for site in sites):
        how = "zero"
    widths = {site.kind == "head" for site in sites}
    if how == "steer" and len(widths) == 2:
        how = "patch"
    done = changed(how, sites, model, 3) if how != "mean" else Ablate(sites, "mean")
    fast = sweep(model, prompts, [done], loss)
    with plain_hooks():
        np.testing.assert_allclose(fast, sweep(model, prompts, [done], loss), rtol=0, atol=SAME_FORWARD[name])


def test_an_edge_of_a_neuron_and_of_a_whole_layers_attention(tiny):
    """A layer's attention sends what its heads send; an MLP what its neurons do."""
    model, prompts = tiny("gpt2"), pair(4)
    along = [
        [Patch(to(neurons("0.0-19@A"), "1.1.v"))], [Patch(edges("mlp0->1.1.v@A"))],
        [Patch(edges("attn0->mlp1@A"))], [Patch(edges("0.0-2->mlp1@A"))],
    ]  # fmt: skip
    fast = sweep(model, prompts, along, loss)
    with plain_hooks():
        plain = sweep(model, prompts, along, loss)
    np.testing.assert_allclose(fast, plain, rtol=0, atol=1e-9)
    np.testing.assert_allclose(fast[0], fast[1], rtol=0, atol=1e-9)
    np.testing.assert_allclose(fast[2], fast[3], rtol=0, atol=1e-9)
    assert np.abs(fast - run(model, prompts, metric=loss).values).max(1).min() > 1e-4


def test_a_subspace_of_an_edge(tiny):
    """Along a basis of the whole space it is the edge; along a part of it it is something else."""
    model, prompts = tiny("gpt2"), pair(4)
    rows = torch.eye(model.cfg.d_head)
    place = edges("0.1->1.1.q@A")
    found = sweep(model, prompts, [Patch(place.within(subspace(rows))), Patch(place), Patch(place.within(subspace(rows[:2]))), []], loss)
    np.testing.assert_allclose(found[0], found[1], rtol=0, atol=1e-9)
    assert np.abs(found[2] - found[1]).max() > 1e-6
    assert np.abs(found[2] - found[3]).max() > 1e-6


def test_an_edge_with_a_node_before_it(tiny):
    """The receiver reads the sender as it is in that run: where the sender is zeroed, scaling what is read of it changes nothing."""
    model, prompts = tiny("llama"), pair(4)
    zero = Ablate(heads("0.1"), "zero")
    found = sweep(model, prompts, [[zero], [zero, Scale(edges("0.1->1.1.q"), 3.0)], [zero, Ablate(edges("0.1->mlp1"), "zero")]])
    np.testing.assert_allclose(found[1:], found[[0, 0]], rtol=0, atol=SAME_FORWARD["llama"])
    back = run(model, prompts, [zero, Put(capture(model, prompts, edges(everything(model, "0.1"))))], loss)
    np.testing.assert_allclose(back.values, run(model, prompts, metric=loss).values, rtol=0, atol=SAME_FORWARD["llama"])


def test_what_is_captured_of_an_edge_is_its_senders(tiny, layout):
    model, prompts = tiny(layout), pair(4)
    ((_, along),) = capture(model, prompts, edges("0.1->1.1.q@A")).items()
    ((_, sender),) = capture(model, prompts, heads("0.1@A")).items()
    assert torch.equal(along, sender)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("0.1", "cannot read '0.1' as an edge"),
        ("0.1->1.1", "cannot read '1.1' as the receiver"),
        ("1->mlp1", "cannot read '1' as the sender"),
        ("mlp0.3->mlp1", "cannot read 'mlp0.3' as the sender"),
        ("1.1->0.1.q", "a receiver comes behind its senders"),
        ("0.1->0.1.q", "a receiver comes behind its senders"),
        ("mlp0->mlp0", "a receiver comes behind its senders"),
    ],
)
def test_what_is_no_edge_is_refused(text, why):
    with pytest.raises(SiteError, match=why):
        edges(text)


@pytest.mark.parametrize(
    ("name", "text", "why"),
    [
        ("gpt2", "0.1->2.1.q", "the model has layers 0-1"),
        ("gpt2", "0.3->1.1.q", "the model's layers have heads 0-2"),
        ("gpt2", "0.1->1.3.q", "the model's layers have heads 0-2"),
        ("llama", "0.3->1.2.k", "key/value heads 0-1"),
        ("neox", "0.1->mlp0", "mlp0 does not come behind head 0.1, and reads nothing of it"),
        ("bert", "0.1->1.1.q", "in an encoder .* the stream is normed after every sum"),
    ],
)
def test_what_a_model_lacks_is_refused(tiny, name, text, why):
    with pytest.raises(SiteError, match=why):
        run(tiny(name), pair(1), Patch(edges(text)))


def test_the_same_edge_twice_is_refused(tiny):
    with pytest.raises(PromptError, match=r"edge 0.1->1.1.q(@A)? is changed twice"):
        run(tiny("gpt2"), pair(1), [Patch(edges("0.1->1.1.q@A")), Ablate(edges("0.1->1.1.q"), "zero")])


def test_ranges_are_all_pairs_that_there_are():
    assert str(edges("0.0-1->1.0.qk@END")) == "0.0->1.0.k@END 0.0->1.0.q@END 0.1->1.0.k@END 0.1->1.0.q@END"
    assert str(edges("0.0->mlp0-1") | heads("0.1") | mlps("0")) == "head 0.1 mlp 0 edge 0.0->mlp0 0.0->mlp1"
    assert len(edges("resid0-2->1.0.v")) == 2
    assert edges(str(edges("0.0->mlp0 input->0.1.v mlp0->logits@A"))) == edges("0.0->mlp0 input->0.1.v mlp0->logits@A")
