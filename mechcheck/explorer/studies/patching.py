"""What the counterfactual's run carries where: each layer and position of the stream and of what is added to it, each head."""

from dataclasses import replace
from typing import TYPE_CHECKING, Literal

import numpy as np
import torch

from mechcheck.base.errors import SiteError
from mechcheck.engine.run import sweep
from mechcheck.explorer.bodies import Json, Problem
from mechcheck.explorer.figures import html
from mechcheck.explorer.prediction import metrics_for
from mechcheck.explorer.studies.turn import Turn
from mechcheck.explorer.workbench import Workbench
from mechcheck.measures.causal.patching import head_patching, residual_patching
from mechcheck.measures.figures.charts import Heatmap
from mechcheck.measures.figures.compared import Compared
from mechcheck.notation.metrics import kl_divergence, logit_diff
from mechcheck.notation.site_checks import check_sites
from mechcheck.notation.sites import Site
from mechcheck.prompts.labels import token_labels
from mechcheck.prompts.prompt_set import END, PromptSet

if TYPE_CHECKING:
    from transformer_lens.model_bridge import TransformerBridge

_Kind = Literal["resid_pre", "attn_out", "mlp_out"]
_PLACES: dict[str, _Kind] = {
    "stream entering the layer": "resid_pre",
    "attention's output": "attn_out",
    "MLP's output": "mlp_out",
}
MOST = 1 << 14
"""Layers times positions that are patched in each map, at most."""


def patching(bench: Workbench, body: Json, turn: Turn) -> Json:
    """Heatmaps of how far each patch alone moves the logit difference, or, without an answer and a foil, the distribution.

    Raises:
        Problem: no counterfactual, a prompt of too many tokens.
    """
    model, prompts = bench.model, bench.prepared(body).prompts
    if prompts.counterfactual is None:
        raise Problem("study", "patching takes activations from a counterfactual: write one, as long as the prompt")
    layers, length = model.cfg.n_layers, int(prompts.lengths[0])
    if layers * length > MOST:
        raise Problem("study", f"{length} tokens in {layers} layers are too many to patch one by one, {MOST} at most: shorten the prompt")
    metric = logit_diff if logit_diff in metrics_for(prompts) else kl_divergence
    placed = at_each_token(prompts)
    before = 0.0 if metric is kl_divergence else float(sweep(model, prompts, [[]], metric)[0, 0])
    unit = f"{metric.unit}, {'KL from the untouched run' if metric is kl_divergence else f'change of the {metric.name}'}"
    rows, columns = [str(layer) for layer in range(layers)], token_labels(prompts, 0)
    maps, there = {}, {name: kind for name, kind in _PLACES.items() if _has(model, kind)}
    for number, (name, kind) in enumerate(there.items()):
        turn.part(number, len(there) + 1, name)
        moved = residual_patching(model, placed, tuple(map(_named, range(length))), kind=kind, metric=metric)[..., 0] - before
        maps[name] = Heatmap(name, moved, rows, columns, "layer", "position", unit)
    turn.part(len(there), len(there) + 1, "heads")
    scores = head_patching(model, prompts, positions=tuple(body["at"]) or None, metric=metric)
    by_head = replace(scores, values=np.asarray(scores.values - before), unit=unit)
    where = f"at {', '.join(body['at'])}" if body["at"] else "at every position"
    figures = [Compared("Patched from the counterfactual, one at a time", maps), by_head.figure(f"Each head's output, {where}")]
    largest = max(maps, key=lambda name: np.abs(maps[name].values).max())
    layer, at = np.unravel_index(np.abs(maps[largest].values).argmax(), maps[largest].values.shape)
    top = maps[largest].values[layer, at]
    size = f"{top:+.3g}".replace("-", "−")
    said = f"The largest change is {size}, of the {largest}, layer {layer} at {columns[at]!r}."
    if missing := [name for name in _PLACES if name not in there]:
        said += f" Left out, as this model has none that can be seen: {', '.join(missing)}."
    return {"figures": [html(figure) for figure in figures], "heads": "", "said": said}


def _has(model: "TransformerBridge", kind: _Kind) -> bool:
    try:
        check_sites(model, [Site(kind, 0, None, END)])
    except SiteError:
        return False
    return True


def at_each_token(prompts: PromptSet) -> PromptSet:
    """One prompt and its counterfactual, with a name for each of its positions besides those that they have."""
    every = {_named(at): torch.tensor([at]) for at in range(int(prompts.lengths[0]))}
    assert prompts.counterfactual is not None
    other = replace(prompts.counterfactual, positions={**prompts.counterfactual.positions, **every})
    return replace(prompts, positions={**prompts.positions, **every}, counterfactual=other)


def _named(at: int) -> str:
    return f"position {at}"
