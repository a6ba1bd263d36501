"""Oracles that do not touch TransformerLens or mechcheck's hooks: plain torch hooks on the Hugging Face modules."""

from collections.abc import Callable, Mapping
from contextlib import ExitStack

import torch
from torch import Tensor

from mechcheck._prompts import PromptSet
from mechcheck._sites import Site

Edit = Callable[[Tensor], Tensor]
"""[prompt, pos, d] -> the same shape."""


def blocks(model):
    """The model's layers, whatever its layout calls them."""
    base = model.base_model
    return base.h if hasattr(base, "h") else base.layers


def _attention(block):
    return next(getattr(block, name) for name in ("attn", "attention", "self_attn") if hasattr(block, name))


def _output_projection(block):
    attention = _attention(block)
    return next(getattr(attention, name) for name in ("c_proj", "dense", "o_proj") if hasattr(attention, name))


def _before(module, edit: Edit):
    """Edit a module's first input."""
    return module.register_forward_pre_hook(lambda _, args: (edit(args[0]), *args[1:]))


def _after(module, edit: Edit):
    """Edit a module's (first) output."""
    return module.register_forward_hook(lambda _, args, out: (edit(out[0]), *out[1:]) if isinstance(out, tuple) else edit(out))


def attach(model, site: Site, edit: Edit):
    """Have `edit` see and replace the whole activation that a site is a part of; z comes as [prompt, pos, head * d_head]."""
    block = blocks(model)[site.layer]
    match site.kind:
        case "head":
            return _before(_output_projection(block), edit)
        case "attn_out":
            return _after(_attention(block), edit)
        case "mlp_out":
            return _after(block.mlp, edit)
        case "resid_pre":
            return _before(block, edit)
        case "resid_post":
            return _after(block, edit)
    raise NotImplementedError(site.kind)


def columns(model, site: Site) -> slice:
    """Which of the activation's last dimension is the site."""
    if site.kind != "head":
        return slice(None)
    d_head = model.config.hidden_size // model.config.num_attention_heads
    assert site.index is not None
    return slice(site.index * d_head, (site.index + 1) * d_head)


def activation(model, prompts: PromptSet, site: Site) -> Tensor:
    """The site's activation at every position, [prompt, pos, d]."""
    seen = []

    def keep(x: Tensor) -> Tensor:
        seen.append(x[..., columns(model, site)].clone())
        return x

    with torch.no_grad():
        handle = attach(model, site, keep)
        model(prompts.tokens)
        handle.remove()
    return seen[0]


def logit_diff_with(model, prompts: PromptSet, values: Mapping[Site, Tensor]) -> Tensor:
    """[prompt]: answer minus foil at END after putting values [prompt, pos, d] at the sites' positions."""

    def edit_for(site: Site, value: Tensor) -> Edit:
        def edit(x: Tensor) -> Tensor:
            x = x.clone()
            for row in range(len(prompts)):
                where = slice(0, int(prompts.lengths[row])) if site.at is None else [int(prompts.positions[site.at][row])]
                x[row, where, columns(model, site)] = value[row, where]
            return x

        return edit

    with torch.no_grad(), ExitStack() as stack:
        for site, value in values.items():
            handle = attach(model, site, edit_for(site, value))
            stack.callback(handle.remove)
        logits = model(prompts.tokens).logits
    rows = torch.arange(len(prompts))
    end = logits[rows, prompts.positions["END"]]
    return end[rows, prompts.answers] - end[rows, prompts.foils]


def value_for(model, prompts: PromptSet, site: Site, method: str) -> Tensor:
    """[prompt, pos, d] that an intervention puts at a site: zero, mean or resample over the reference, patch from the counterfactual."""
    if method == "zero":
        return torch.zeros_like(activation(model, prompts, site))
    if method == "patch":
        return activation(model, at_own_positions(prompts.counterfactual, prompts), site)
    drawn = activation(model, at_own_positions(prompts.reference, prompts), site)
    if method == "resample":
        return drawn
    out = torch.zeros_like(drawn)
    if site.at is not None:
        mean = torch.stack([drawn[row, prompts.reference.positions[site.at][row]] for row in range(len(prompts))]).mean(0)
        out[:] = mean
        return out
    for row, template in enumerate(prompts.templates):
        out[row] = drawn[[i for i, other in enumerate(prompts.reference.templates) if other == template]].mean(0)
    return out


def at_own_positions(source: PromptSet | None, prompts: PromptSet) -> PromptSet:
    """The source, checked to have its named positions where the prompts have them, so that tensors line up."""
    assert source is not None
    assert all(torch.equal(source.positions[name], at) for name, at in prompts.positions.items())
    return source
