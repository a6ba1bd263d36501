"""Paths against hand-written passes, and against what they add up to."""

import numpy as np
import pytest
import torch
from edges_by_hand import Parts, hooked, seen_entering, sent
from tiny import HUGGING_FACE, SAME_FORWARD, random_prompts

from mechcheck.base.errors import MechcheckError, SiteError
from mechcheck.engine.run import run, sweep
from mechcheck.measures.causal.path_patching import path_patching
from mechcheck.notation.edges import edges, path_of
from mechcheck.notation.interventions import Patch
from mechcheck.notation.metrics import loss

LENGTHS = (7, 7, 10, 10)


def test_a_path_of_one_edge_is_the_edge(tiny, layout):
    model, prompts = tiny(layout), random_prompts(1, LENGTHS)
    texts = ["0.1->1.1.q@B", "input->mlp1", "mlp0->logits@END"]
    found = path_patching(model, prompts, texts, metric=loss)
    right = sweep(model, prompts, [Patch(edges(text)) for text in texts], loss)
    np.testing.assert_array_equal(found, right)


def test_a_path_by_hand(tiny, hugging_face):
    """0.1 -> 1.1's value -> logits: three passes of transformers' own model, with the other heads and MLPs as they were."""
    prompts, model = random_prompts(2, LENGTHS), hugging_face("gpt2")
    h, d_head, d = model.transformer.h, model.config.n_embd // model.config.n_head, model.config.n_embd
    right = []
    for row, n in enumerate(prompts.lengths.tolist()):
        tokens, other = prompts.tokens[row : row + 1, :n], prompts.counterfactual.tokens[row : row + 1, :n]
        seen = {}

        def seeing(name, seen=seen):
            return lambda module, args: seen.__setitem__(name, args[0].detach().clone())

        def out(head, z):
            return z[..., head * d_head : (head + 1) * d_head]

        with torch.no_grad():
            handles = [block.attn.c_proj.register_forward_pre_hook(seeing(("z", i))) for i, block in enumerate(h)]
            handles += [h[1].register_forward_pre_hook(seeing("stream"))]
            model(other)
            theirs = out(1, seen["z", 0])
            model(tokens)
            change = (theirs - out(1, seen["z", 0])) @ h[0].attn.c_proj.weight[d_head : 2 * d_head]
            own = out(1, seen["z", 1]).clone()
            values = h[1].attn.c_attn(h[1].ln_1(seen["stream"] + change))[..., 2 * d + d_head : 2 * d + 2 * d_head]

            def put(module, args, found, values=values):
                found = found.clone()
                found[..., 2 * d + d_head : 2 * d + 2 * d_head] = values
                return found

            handles += [h[1].attn.c_attn.register_forward_hook(put)]
            model(tokens)
            added = (out(1, seen["z", 1]) - own) @ h[1].attn.c_proj.weight[d_head : 2 * d_head]
            for handle in handles:
                handle.remove()
            last = model.transformer.ln_f.register_forward_pre_hook(lambda module, args, added=added: (args[0] + added,))
            logits = model(tokens).logits[0, -1]
            last.remove()
        right.append(float(logits[prompts.answers[row]] - logits[prompts.foils[row]]))
    found = path_patching(tiny("gpt2", processing="raw"), prompts, ["0.1->1.1.v->logits"])
    np.testing.assert_allclose(found[0], right, rtol=0, atol=1e-9)
    assert np.abs(found[0] - run(tiny("gpt2"), prompts).values).max() > 1e-4


@pytest.mark.parametrize("kind", ["q", "k", "v"])
@pytest.mark.parametrize("head", [0, 1])
def test_a_path_through_a_key_or_value_that_heads_share(tiny, hugging_face, kind, head):
    """On it go all heads that read it, by whatever they say otherwise, in passes of transformers' own model."""
    prompts, parts = random_prompts(5, LENGTHS), Parts("llama", hugging_face("llama"))
    module, where = parts.projection(1, kind, head)
    right = []
    for row, n in enumerate(prompts.lengths.tolist()):
        tokens, other = prompts.tokens[row : row + 1, :n], prompts.counterfactual.tokens[row : row + 1, :n]
        stream = seen_entering(parts.blocks[1], lambda tokens=tokens: parts.model(tokens))
        with torch.no_grad():
            new = module(parts.first_norm(1)(stream + sent(parts, "0.1", other) - sent(parts, "0.1", tokens)))[..., where]

        def put(_, args, out, new=new):
            out = out.clone()
            out[..., where] = new
            return out

        own = seen_entering(parts.out(1), lambda tokens=tokens: parts.model(tokens))
        with hooked((module, put, False)):
            change = (seen_entering(parts.out(1), lambda tokens=tokens: parts.model(tokens)) - own) @ parts.out(1).weight.T
        with hooked((parts.final, lambda _, args, change=change: (args[0] + change,), True)), torch.no_grad():
            logits = parts.model(tokens).logits[0, -1]
        right.append(float(logits[prompts.answers[row]] - logits[prompts.foils[row]]))
    found = path_patching(tiny("llama"), prompts, [f"0.1->1.{head}.{kind}->logits"])[0]
    np.testing.assert_allclose(found, right, rtol=0, atol=HUGGING_FACE["llama"])
    assert np.abs(found - run(tiny("llama"), prompts).values).max() > 1e-4


@pytest.mark.parametrize("paths", [[], "0.1->1.1.q"])
def test_paths_are_several_texts(tiny, paths):
    with pytest.raises(MechcheckError, match="paths are several texts"):
        path_patching(tiny("gpt2"), random_prompts(1, LENGTHS), paths)


def test_positions_are_those_where_an_edge_is_read(tiny):
    """What changes at a key's position reaches END through the head that attends there, and nothing else does."""
    model, prompts = tiny("llama"), random_prompts(3, LENGTHS)
    everywhere, at_one = path_patching(model, prompts, ["0.1->1.0.v->logits@END", "0.1->1.0.v@A->logits@END"])
    clean = run(model, prompts).values
    assert np.abs(at_one - clean).max() > 1e-6
    assert np.abs(at_one - everywhere).max() > 1e-6
    with_same = path_patching(model, prompts, ["0.1->1.0.v->logits"])[0]
    np.testing.assert_allclose(with_same, everywhere, rtol=0, atol=SAME_FORWARD["llama"])


def test_of_a_head_in_the_last_layer_all_that_follows_is_the_logits(tiny):
    """There the total effect through a head is its direct one, but for the MLP behind it."""
    model, prompts = tiny("neox"), random_prompts(4, LENGTHS)
    free, direct = path_patching(model, prompts, ["0.1->1.1.k", "0.1->1.1.k->logits"])
    np.testing.assert_allclose(free, direct, rtol=0, atol=1e-9)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("0.1", "is no path"),
        ("0.1->1.0-1.q->logits", "names 2 edges; a path has one sender"),
        ("0.1->logits->mlp1", "cannot read 'logits' as the sender"),
        ("0.1->1.1.q->0.2.v", "a receiver comes behind its senders"),
    ],
)
def test_what_is_no_path_is_refused(text, why):
    with pytest.raises(SiteError, match=why):
        path_of(text)
