"""Gradients of a metric with respect to activations."""

from collections import defaultdict
from collections.abc import Hashable, Iterator, Mapping, Sequence
from dataclasses import fields, replace
from typing import TYPE_CHECKING, Any

import torch
from jaxtyping import Float
from torch import Tensor

from mechcheck.base.device import usual_torch
from mechcheck.base.errors import HookError, MechcheckError, ModelError, SiteError
from mechcheck.base.loaded import check_loaded
from mechcheck.engine.edit import Activation, Edit, Rows, is_token, read_site, select
from mechcheck.engine.edits import capture_all, edits_of
from mechcheck.engine.hooks import Node, Reader, forward, record
from mechcheck.engine.memory import free_bytes
from mechcheck.engine.reading import Reading, check_unseen, read_by
from mechcheck.engine.run import AnyMetric, as_list
from mechcheck.engine.through import CLOSE
from mechcheck.notation.interventions import Intervention
from mechcheck.notation.limits import require_prediction
from mechcheck.notation.metrics import logit_diff, one_each
from mechcheck.notation.site_checks import check_sites
from mechcheck.notation.sites import Site, Sites
from mechcheck.prompts.limits import check_fits_once
from mechcheck.prompts.prompt_set import PromptSet

if TYPE_CHECKING:
    from transformer_lens.model_bridge import TransformerBridge


@usual_torch()
def gradients(
    model: "TransformerBridge",
    prompts: PromptSet,
    sites: Sites,
    metric: AnyMetric = logit_diff,
    interventions: Sequence[Intervention] | Intervention = (),
) -> dict[Site, Activation]:
    """How each prompt's metric changes with each component of its activations: d metric / d activation, from one backward pass.

    To first order the metric changes by (gradient * change of the activation), summed over components. Each gradient is the whole one: what
    follows the site changes with it, other sites that were asked for among it. It works whatever gradient or inference mode the caller is
    in, and whether or not the model's parameters require gradients; their own gradients are not touched.

    Args:
        model: from `load_model`.
        prompts: the prompts; each has a gradient of its own, as prompts do not see each other.
        sites: the activations; those of a pattern are its weights behind the softmax, also of later keys, that a query does not see.
        metric: one that is smooth in the logits, read at END or wherever it says.
        interventions: made in the same run; a site that is changed itself has its gradient at what was put there.

    Returns:
        For each site its gradient in the metric's unit per unit of the activation, in the model's dtype, shaped as `capture` shapes the
        activation: [prompt, d] at a named position, [prompt, pos, d] at every position (0 on padding); of a pattern [prompt, key] and
        [prompt, query, key].

    Raises:
        SiteError, PromptError, HookError: see there.
        MechcheckError: a metric that keeps each position, or that has no gradient (a rank, an accuracy, what has left torch); a model in
            float16, in whose range small gradients vanish.
        ModelError: weights that were made in inference mode.
    """
    require_prediction(model)
    if not len(sites):
        return {}
    chosen = one_each(metric, "a gradient is of one number for each prompt, so use metric.over(...)")
    check_unseen(model, [chosen])
    listed = as_list(interventions)
    check_sites(model, [*sites, *(site for one in listed for site in one.sites)])
    require_gradients(model)
    check_fits_once(model, prompts)
    edits = [_normal(edit) for edit in edits_of(model, prompts, listed, capture_all(model, prompts, [listed]))]
    prompts = _normal(prompts)
    read = read_by([chosen], prompts)
    parts: dict[Site, list[Tensor]] = defaultdict(list)
    for rows in _blocks(model, prompts):
        whole = len(rows) == len(prompts)
        some, here = (prompts, read) if whole else (prompts[rows], read.on(rows))
        found = _of_block(model, some, sites, Reading(chosen, some, here), edits if whole else [edit.on(rows) for edit in edits])
        for site, gradient in found.items():
            parts[site].append(gradient)
    return {site: torch.cat(parts[site]) for site in sites}


def _of_block(
    model: "TransformerBridge", prompts: PromptSet, sites: Sites, reading: Reading, edits: Sequence[Edit]
) -> dict[Site, Activation]:
    """The gradients on prompts that are run together."""
    rows = Rows(prompts, slice(None))
    layers = {kind: sorted({site.layer for site in sites if site.kind == kind}) for kind in _DERIVED}
    readers = {(part, layer): _reader(part, layer) for kind, parts in _DERIVED.items() for part in parts for layer in layers[kind]}
    nodes: dict[str, Node | None] = dict.fromkeys(_place(site)[0] for site in sites)
    kept: dict[Hashable, list[Tensor]] = defaultdict(list)
    with torch.enable_grad():
        logits = select(forward(model, rows, readers, edits, kept, nodes), reading.read.positions)
        total = _total(model, prompts, reading, logits)
    places = list(dict.fromkeys(map(_place, sites)))
    found = torch.autograd.grad(total, [getattr(nodes[name], moment) for name, moment in places], allow_unused=True)
    unused = [name for (name, _), gradient in zip(places, found, strict=True) if gradient is None]
    if unused:
        raise HookError(f"the model shows these activations and goes on without them, so they have no gradient: {', '.join(unused)}")
    by_place = dict(zip(places, found, strict=True))
    seen = {what: parts[0] for what, parts in kept.items()}
    for layer in layers["resid_mid"]:
        _check_sum(model, layer, seen, rows)
    patterns = {layer: _of_patterns(model, layer, seen, nodes, by_place, rows) for layer in layers["pattern"]}
    return {site: read_site(patterns[site.layer] if site.kind == "pattern" else by_place[_place(site)], site, rows) for site in sites}


# Sites that no hook is, and the parts of their layer that they are told from.
_DERIVED = {"pattern": ("attn.hook_pattern", "attn.hook_v"), "resid_mid": ("hook_resid_pre", "hook_attn_out", "hook_resid_mid")}


def _place(site: Site) -> tuple[str, str]:
    """The hook from whose gradient a site's follows, and at which moment: behind the hook's own edits, or ahead of them.

    The stream between attention and MLP changes as what attention adds to it; a pattern's gradient is that of what the head writes, times
    the values.
    """
    match site.kind:
        case "pattern":
            return f"blocks.{site.layer}.attn.hook_z", "found"
        case "resid_mid":
            return f"blocks.{site.layer}.hook_attn_out", "left"
    return site.hook_name, "left"


def _reader(part: str, layer: int) -> Reader:
    return f"blocks.{layer}.{part}", lambda activation, rows: activation.detach()


def _total(model: "TransformerBridge", prompts: PromptSet, reading: Reading, logits: Tensor) -> Float[Tensor, ""]:
    """The sum of all prompts' metrics, none of which depends on another prompt."""
    if not logits.requires_grad:
        raise HookError(f"{model.cfg.architecture} shows its activations and goes on without them, so that they have no gradient")
    metric = reading.metric
    clean = record(model, prompts, read=reading.read.positions).logits if metric.needs_clean else None
    try:
        values = metric(reading.of(logits), reading.rows, None if clean is None else reading.of(clean))
        total = reading.reduced(values).sum()
    except RuntimeError as error:
        if "requires grad" not in str(error) and "nference tensor" not in str(error):
            raise
        why = "it takes its logits out of torch, or uses tensors that were made in inference mode"
        raise MechcheckError(f"{metric.name!r} has no gradient: {why}") from error
    if not total.requires_grad:
        raise MechcheckError(
            f"{metric.name!r} has no gradient: it counts or compares, or takes its logits out of torch. Use a metric that is smooth in the "
            "logits, such as logit_diff or log_probability"
        )
    return total


def _of_patterns(
    model: "TransformerBridge",
    layer: int,
    seen: Mapping[Hashable, Tensor],
    nodes: Mapping[str, Node | None],
    gradients: Mapping[tuple[str, str], Tensor],
    rows: Rows,
) -> Float[Tensor, "prompt head query key"]:
    """The gradients of a layer's patterns: of what the heads write, which is pattern @ values, times the values."""
    place = (f"blocks.{layer}.attn.hook_z", "found")
    node, pattern, v = nodes[place[0]], seen["attn.hook_pattern", layer], seen["attn.hook_v", layer]
    assert node is not None
    v = v.repeat_interleave(node.found.shape[2] // v.shape[2], dim=2)
    written = torch.einsum("bhqk,bkhd->bqhd", pattern.to(v.dtype), v)
    _check_same(model, node.found.detach(), written, rows, f"what the heads of layer {layer} write is not their pattern times their values")
    real = is_token(rows).to(v.device)[:, :, None, None]
    return torch.einsum("bqhd,bkhd->bhqk", gradients[place], v * real)


def _check_sum(model: "TransformerBridge", layer: int, seen: Mapping[Hashable, Tensor], rows: Rows) -> None:
    """The stream between attention and MLP is the sum of what entered and what attention wrote."""
    entered, added, between = (seen[part, layer] for part in _DERIVED["resid_mid"])
    wrong = f"the stream in layer {layer} between attention and MLP is not the sum of the stream that enters and what attention writes"
    _check_same(model, between, entered + added, rows, wrong)


def _check_same(model: "TransformerBridge", found: Tensor, expected: Tensor, rows: Rows, wrong: str) -> None:
    real = is_token(rows).to(found.device).view(*found.shape[:2], *[1] * (found.ndim - 2))
    gap = float(((found - expected) * real).abs().max())
    if not gap <= CLOSE[found.dtype] * max(1.0, float(found.abs().max())):
        raise SiteError(f"{wrong} in this architecture ({model.cfg.architecture}; they differ by {gap:.2g}), so no gradient is told there")


def require_gradients(model: "TransformerBridge") -> None:
    """Raise where no gradient can be had of the model's arithmetic.

    Raises:
        MechcheckError: float16, in whose range small gradients vanish.
        ModelError: weights that were made in inference mode; no loaded model.
    """
    check_loaded(model)
    for parameter in model.parameters():
        if parameter.is_inference():
            raise ModelError("the model's weights were made in torch.inference_mode, which lets no gradient pass: use load_model")
        if parameter.dtype == torch.float16:
            raise MechcheckError('small gradients vanish in the range of float16: load_model(..., dtype="bfloat16"), or "float32"')


def _normal(given: Any) -> Any:
    """The same without tensors of inference mode, which a graph of gradients does not take in."""
    if isinstance(given, Tensor):
        return given.clone() if given.is_inference() else given
    if isinstance(given, Mapping):
        changed = {name: _normal(value) for name, value in given.items()}
        return changed if any(changed[name] is not value for name, value in given.items()) else given
    if isinstance(given, Edit | PromptSet):
        values = {field.name: getattr(given, field.name) for field in fields(given)}
        changed = {name: new for name, value in values.items() if (new := _normal(value)) is not value}
        return replace(given, **changed) if changed else given
    return given


def _blocks(model: "TransformerBridge", prompts: PromptSet) -> Iterator[list[int]]:
    """Prompts that are run together: as many as fit with all that a backward pass needs of the forward one."""
    cfg, width = model.cfg, prompts.tokens.shape[1]
    layer = 12 * cfg.d_model + 4 * (cfg.d_mlp or 0) + cfg.n_heads * (6 * cfg.d_head + 4 * width)
    parameter = next(model.parameters())
    kept = width * (cfg.n_layers * layer + 4 * max(cfg.d_vocab, cfg.d_vocab_out)) * parameter.element_size()
    size = max(1, free_bytes(parameter.device) // kept)
    for start in range(0, len(prompts), size):
        yield list(range(start, min(start + size, len(prompts))))
