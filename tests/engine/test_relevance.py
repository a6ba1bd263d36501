"""Rules of relevance propagation against transformers' own modules, whose outputs hooks exchange for what the rules have there."""

from contextlib import contextmanager

import numpy as np
import pytest
import torch
from edges_by_hand import Parts, hooked, seen_entering, sent
from tiny import HUGGING_FACE, LAYOUTS, random_prompts

from mechcheck.circuits.edge_scores import edge_scores

LENGTHS = (7, 7, 10, 9)


def half(x):
    return 0.5 * x + 0.5 * x.detach()


def frozen(norm):
    """The norm written out, its scale a constant."""
    rms = not hasattr(norm, "normalized_shape")
    eps = norm.variance_epsilon if rms else norm.eps

    def output(_, args, out):
        (x,) = args
        centred = x if rms else x - x.mean(-1, keepdim=True)
        found = centred / torch.sqrt(centred.pow(2).mean(-1, keepdim=True) + eps).detach() * norm.weight
        found = found if rms else found + norm.bias
        torch.testing.assert_close(found, out, rtol=0, atol=1e-4)
        return found

    return norm, output, False


def act_of(parts, layer):
    mlp = parts.blocks[layer].mlp
    return mlp.act_fn if parts.layout == "llama" else mlp.act


@contextmanager
def by_the_rules(parts):
    """The model, propagating relevance."""
    hooks = [frozen(parts.final)]
    for layer in range(len(parts.blocks)):
        hooks += [frozen(parts.first_norm(layer)), frozen(parts.second_norm(layer))]
        gated = parts.layout == "llama"

        def line(_, args, out, gated=gated):
            said = args[0] * (out / args[0]).detach()
            return half(said) if gated else said

        hooks.append((act_of(parts, layer), line, False))
        if gated:
            hooks.append((parts.blocks[layer].mlp.up_proj, lambda _, args, out: half(out), False))
    with hooked(*hooks):
        yield


def slope(parts, sender, receiver, tokens, source, answer, foil):
    """The coefficient along one edge: of the step from what its sender says to what it says on the source."""
    change = sent(parts, sender, source) - sent(parts, sender, tokens)
    step = torch.zeros((), dtype=change.dtype, requires_grad=True)
    if receiver == "logits":
        hook = (parts.final, lambda _, args: (args[0] + step * change,), True)
    elif receiver.startswith("mlp"):
        norm, mlp = parts.second_norm(int(receiver[3:])), parts.blocks[int(receiver[3:])].mlp
        stream = seen_entering(norm, lambda: parts.model(tokens))
        hook = (mlp, lambda _, args: (args[0] + norm(stream + step * change) - norm(stream).detach(),), True)
    else:
        layer, head, kind = receiver.split(".")
        module, where = parts.projection(int(layer), kind, int(head))
        norm = parts.first_norm(int(layer))
        stream = seen_entering(norm, lambda: parts.model(tokens))
        inside = []  # the module is run within its own hook

        def put(_, args, out):
            if inside:
                return out
            inside.append(True)
            read = module(norm(stream + step * change)) - module(norm(stream)).detach()
            inside.pop()
            out = out.clone()
            out[..., where] = out[..., where] + read[..., where]
            return out

        hook = (module, put, False)
    with by_the_rules(parts), hooked(hook):
        logits = parts.model(tokens).logits[0, -1]
        (found,) = torch.autograd.grad(logits[answer] - logits[foil], step)
    return float(found)


@pytest.mark.parametrize("name", [*LAYOUTS, "neox-sequential"])
def test_relp_is_what_autograd_says_of_the_rules(tiny, hugging_face, name):
    prompts, parts = random_prompts(3, LENGTHS), Parts(name, hugging_face(name))
    found = edge_scores(tiny(name, processing="raw"), prompts, "relp", sample=2)
    cases = ["input->0.0.q", "input->1.1.k", "0.1->1.1.v", "input->mlp0", "mlp0->1.0.q", "0.0->mlp1", "0.1->logits", "mlp0->logits"]
    for case in [*cases, *([] if name == "neox" else ["0.1->mlp0"])]:
        sender, receiver = case.split("->")
        right = []
        for i, n in enumerate(prompts.lengths.tolist()):
            tokens, source = prompts.tokens[i : i + 1, :n], prompts.counterfactual.tokens[i : i + 1, :n]
            right.append(slope(parts, sender, receiver, tokens, source, prompts.answers[i], prompts.foils[i]))
        np.testing.assert_allclose(found[case].values, right, rtol=0, atol=10 * HUGGING_FACE.get(name, 1e-5))
        assert np.abs(right).max() > 1e-2, case


def test_relp_is_no_gradient(tiny):
    """Else the test above shows nothing."""
    model, prompts = tiny("gpt2"), random_prompts(3, LENGTHS)
    relp, eap = (edge_scores(model, prompts, method, sample=2) for method in ("relp", "eap"))
    gap = np.abs(relp.values - eap.values)[:, relp.graph.real.numpy()]
    assert gap.mean() > 0.05 * np.abs(eap.values[:, relp.graph.real.numpy()]).mean()


@pytest.mark.parametrize("name", LAYOUTS)
def test_relp_says_the_same_of_folded_weights(tiny, name):
    prompts = random_prompts(3, LENGTHS)
    raw, folded = (edge_scores(tiny(name, processing=how), prompts, "relp", sample=2).values for how in ("raw", "folded"))
    np.testing.assert_allclose(raw, folded, rtol=0, atol=1e-4)
