"""Oracles that do not touch TransformerLens or mechcheck's hooks: plain torch hooks on the Hugging Face modules."""

from collections.abc import Callable, Mapping
from contextlib import ExitStack

import torch
from torch import Tensor

from mechcheck.notation.sites import Site
from mechcheck.prompts.prompt_set import PromptSet

Edit = Callable[[Tensor], Tensor]
"""[prompt, pos, d] -> the same shape."""


def blocks(model):
    """The model's layers, whatever its layout calls them."""
    return _first(model.base_model, "h", "layers", "decoder.layers", "encoder.layer", "transformer.layer")


def _first(module, *paths: str):
    """The first of these parts that the module has."""
    for path in paths:
        found = module
        for name in path.split("."):
            found = getattr(found, name, None)
        if found is not None:
            return found
    raise NotImplementedError(f"none of {paths} in {type(module).__name__}")


def _attention(block):
    return _first(block, "attn.attention", "attn", "attention.self", "attention", "self_attn")


def _output_projection(block):
    names = ("c_proj", "dense", "o_proj", "out_proj", "out_lin")
    return _first(block, "attention.output.dense", *(f"{part}.{name}" for part in _ATTENTIONS for name in names))


_ATTENTIONS = ("attn.attention", "attn", "attention", "self_attn")


def _from_mlp(block):
    """The projection of the neurons to what the MLP writes."""
    return _first(block, "mlp.c_proj", "mlp.dense_4h_to_h", "mlp.down_proj", "mlp.fc_out", "fc2", "output.dense", "ffn.lin2")


def _projected(model, site: Site) -> tuple[torch.nn.Module, int]:
    """The projection that makes a head's query, key or value, and where in its output they begin."""
    config, attention, d_head = model.config, _attention(blocks(model)[site.layer]), d_head_of(model)
    assert site.index is not None
    which = "qkv".index(site.kind)
    if hasattr(attention, "query_key_value"):  # GPT-NeoX: query, key and value of each head in turn
        return attention.query_key_value, (3 * site.index + which) * d_head
    separate = {"q": ("q_proj", "query", "q_lin"), "k": ("k_proj", "key", "k_lin"), "v": ("v_proj", "value", "v_lin")}[site.kind]
    for name in separate:
        if hasattr(attention, name):
            return getattr(attention, name), site.index * d_head
    packed, queries = _first(attention, "c_attn", "qkv_proj"), config.num_attention_heads
    keys = getattr(config, "num_key_value_heads", None) or queries
    return packed, ((0, queries, queries + keys)[which] + site.index) * d_head


def d_head_of(model) -> int:
    """Components of a head."""
    return getattr(model.config, "head_dim", None) or model.config.hidden_size // model.config.num_attention_heads


def _before(module, edit: Edit):
    """Edit a module's first input."""
    return module.register_forward_pre_hook(lambda _, args: (edit(args[0]), *args[1:]))


def _after(module, edit: Edit):
    """Edit a module's (first) output."""
    return module.register_forward_hook(lambda _, args, out: (edit(out[0]), *out[1:]) if isinstance(out, tuple) else edit(out))


def attach(model, site: Site, edit: Edit, rows: int | None = None):
    """Have `edit` see and replace the whole activation that a site is a part of; z comes as [prompt, pos, head * d_head].

    `rows` is the number of prompts, which a layout needs that lays all positions of all prompts in a row (OPT's MLP).
    """
    block = blocks(model)[site.layer]

    def shaped(x: Tensor) -> Tensor:
        return edit(x) if x.ndim == 3 else edit(x.view(rows, -1, x.shape[-1])).view_as(x)

    match site.kind:
        case "head":
            return _before(_output_projection(block), shaped)
        case "q" | "k" | "v":
            return _after(_projected(model, site)[0], shaped)
        case "attn_out":
            return _after(_added(block, "post_attention_layernorm", _output_projection(block)), shaped)
        case "mlp_out":
            return _after(_added(block, "post_feedforward_layernorm", _from_mlp(block)), shaped)
        case "neuron":
            return _before(_from_mlp(block), shaped)
        case "resid_pre":
            return _before(block, shaped)
        case "resid_post":
            return _after(block, shaped)
    raise NotImplementedError(site.kind)


def _added(block, norm: str, projection):
    """What is added to the stream: the projection's output, or that of the norm behind it (Gemma 2)."""
    return getattr(block, norm) if hasattr(block, "pre_feedforward_layernorm") else projection


def columns(model, site: Site) -> slice:
    """Which of the activation's last dimension is the site."""
    if site.index is None:
        return slice(None)
    if site.kind == "neuron":
        return slice(site.index, site.index + 1)
    start = site.index * d_head_of(model) if site.kind == "head" else _projected(model, site)[1]
    return slice(start, start + d_head_of(model))


def forward(model, prompts: PromptSet, **options):
    """Run the prompts; an encoder is told which positions are padding."""
    mask = is_real(prompts).long()
    with torch.no_grad():
        return model(prompts.tokens, attention_mask=mask if "MaskedLM" in type(model).__name__ else None, **options)


def activation(model, prompts: PromptSet, site: Site) -> Tensor:
    """The site's activation at every position, [prompt, pos, d]."""
    seen = []

    def keep(x: Tensor) -> Tensor:
        seen.append(x[..., columns(model, site)].clone())
        return x

    handle = attach(model, site, keep, len(prompts))
    forward(model, prompts)
    handle.remove()
    return seen[0]


def gradients(model, prompts: PromptSet, sites, measured, edits: Mapping[Site, Edit] | None = None) -> dict[Site, Tensor]:
    """[prompt, pos, d] by torch alone: the activations as they pass through transformers' modules, and one backward pass.

    `measured`: (logits[prompt, pos, d_vocab], prompts) -> [prompt]; `edits`: site -> what becomes of all of its hook's activation.
    """
    seen: dict[Site, Tensor] = {}

    def keep(site: Site):
        def see(x: Tensor) -> Tensor:
            seen[site] = x
            return x

        return see

    encoder = "MaskedLM" in type(model).__name__
    mask = is_real(prompts).long() if encoder else None
    embedded = model.get_input_embeddings()(prompts.tokens).detach().requires_grad_()
    with ExitStack() as stack:
        for site, edit in (edits or {}).items():
            stack.callback(attach(model, site, edit, len(prompts)).remove)
        for site in sites:
            if site.kind == "resid_mid":
                block = blocks(model)[site.layer]
                norm = _first(block, *_SECOND_NORMS)
                handle = norm.register_forward_pre_hook(lambda _, args, site=site: seen.__setitem__(site, args[0]))
                stack.callback(handle.remove)
            elif site.kind != "pattern":
                stack.callback(attach(model, site, keep(site), len(prompts)).remove)
        out = model(inputs_embeds=embedded, attention_mask=mask, output_attentions=True)
    seen |= {site: out.attentions[site.layer] for site in sites if site.kind == "pattern"}
    found = torch.autograd.grad(measured(out.logits, prompts).sum(), [seen[site] for site in sites])
    return {
        site: whole[:, site.index] * is_real(prompts)[:, None]
        if site.kind == "pattern"
        else whole.reshape(*prompts.tokens.shape, -1)[..., columns(model, site)]  # OPT lays all positions in a row
        for site, whole in zip(sites, found, strict=True)
    }


# Of those that a block has, the one that the MLP reads through: Gemma 2's second norm is another.
_SECOND_NORMS = ("ln_2", "pre_feedforward_layernorm", "post_attention_layernorm", "final_layer_norm")


def is_real(prompts: PromptSet) -> Tensor:
    """[prompt, pos]: where a token stands, and no padding."""
    return torch.arange(prompts.tokens.shape[1]) < prompts.lengths[:, None]


def difference_at_end(logits: Tensor, prompts: PromptSet) -> Tensor:
    """[prompt]: answer minus foil at END, of all logits."""
    rows = torch.arange(len(prompts))
    end = logits[rows, prompts.positions["END"]]
    return end[rows, prompts.answers] - end[rows, prompts.foils]


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

    with ExitStack() as stack:
        for site, value in values.items():
            handle = attach(model, site, edit_for(site, value), len(prompts))
            stack.callback(handle.remove)
        logits = forward(model, prompts).logits
    return difference_at_end(logits, prompts)


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


def value_vectors(model, block, prompts) -> torch.Tensor:
    """[prompt, pos, kv head, d_head], from the layout's own projections."""
    config = model.config
    d_head = config.hidden_size // config.num_attention_heads
    attention, seen = _attention(block), []
    module = next(getattr(attention, name) for name in ("c_attn", "query_key_value", "v_proj") if hasattr(attention, name))
    handle = module.register_forward_hook(lambda _, args, out: seen.append(out))
    with torch.no_grad():
        model(prompts.tokens)
    handle.remove()
    out = seen[0]
    if hasattr(attention, "c_attn"):
        return out[..., 2 * config.hidden_size :].unflatten(-1, (-1, d_head))
    if hasattr(attention, "query_key_value"):
        return out.unflatten(-1, (-1, 3 * d_head))[..., 2 * d_head :]
    return out.unflatten(-1, (-1, d_head))
