"""Direct logit attribution: what each head, MLP and the embedding add to the logit difference at END."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from mechcheck.base.architectures import has_norms, takes_out_mean
from mechcheck.base.device import exact, to_numpy
from mechcheck.base.errors import MechcheckError
from mechcheck.drawing.figure import Pictured
from mechcheck.engine.edit import Rows, select
from mechcheck.engine.hooks import Recording
from mechcheck.engine.run import as_list, observe_all
from mechcheck.measures.figures.charts import Heatmap
from mechcheck.measures.head_scores import HeadScores
from mechcheck.models.architecture import require_folded
from mechcheck.notation.interventions import Intervention
from mechcheck.notation.metrics import logit_diff
from mechcheck.prompts.prompt_set import END, PromptSet
from mechcheck.stats.measurement import Measurement

if TYPE_CHECKING:
    from transformer_lens.model_bridge import TransformerBridge

# The parts must add up to the logit difference within this many units in the last place of the sum of their sizes.
_ULPS = 1000


@dataclass(frozen=True, eq=False)
class DirectLogitAttribution(Pictured):
    """Contributions to the logit difference at END, in logits; they add up to `total`."""

    head_values: Float[np.ndarray, "layer head prompt"]
    mlp_values: Float[np.ndarray, "layer prompt"]
    """Bias included; zero where there are no MLPs."""
    embedding_values: Float[np.ndarray, " prompt"]
    """What enters the first layer: token embedding, and position embedding if there is one."""
    bias_values: Float[np.ndarray, " prompt"]
    """Biases of the attention layers (value biases among them) and of the unembedding: the same whatever the heads do."""
    ids: tuple[str, ...]
    templates: tuple[str, ...]

    @property
    def heads(self) -> HeadScores:
        """The heads' contributions, to be read by `of` and `top`."""
        return HeadScores(self.head_values, self.ids, self.templates, "direct effect", "logits")

    def figure(self, title: str = "Direct effect on the logit difference") -> Heatmap:
        """The mean over prompts of each layer's heads and, in the last column, of its MLP."""
        n_layers, n_heads, _ = self.head_values.shape
        values = np.concatenate([self.head_values.mean(-1), self.mlp_values.mean(-1)[:, None]], axis=1)
        columns = [*map(str, range(n_heads)), "MLP"]
        return Heatmap(title, values, [*map(str, range(n_layers))], columns, "layer", "head", "logits")

    @property
    def total(self) -> Measurement:
        """The sum of all parts. Without interventions this is the logit difference."""
        values = self.head_values.sum((0, 1)) + self.mlp_values.sum(0) + self.embedding_values + self.bias_values
        return Measurement(values, self.ids, self.templates, "logit difference at fixed scale", "logits")


def direct_logit_attribution(
    model: "TransformerBridge", prompts: PromptSet, interventions: Sequence[Intervention] | Intervention = ()
) -> DirectLogitAttribution:
    """Each component's output at END, projected on W_U[:, answer] - W_U[:, foil] at a fixed scale of the final norm.

    The scale is that of the untouched run, also under interventions: a head's direct effect then changes only when what the
    head writes changes, and not because another head's absence rescaled the stream.

    Args:
        model: from `load_model` with processing="folded", so that the final norm has no weights of its own; a native model without
            norms is read as it is.
        prompts: the prompts.
        interventions: applied in the forward pass whose components are read.

    Raises:
        MechcheckError: the model is not folded; its logits are not such a sum; or an intervention replaces the stream (or a
            whole attention output) at END, which cuts what was written before from the output.
    """
    require_folded(model, "direct logit attribution needs")
    if (getattr(model.cfg, "output_logits_soft_cap", None) or 0) > 0:
        raise MechcheckError(f"the logits of this architecture ({model.cfg.architecture}) are soft-capped, so they are no sum of parts")
    listed = as_list(interventions)
    _check_sum_survives(prompts, listed)
    untouched = _record(model, prompts, [])
    scale = exact(untouched.recorded["scale"]) if has_norms(model) else torch.ones(len(prompts), 1, dtype=torch.float64)
    found = _parts(model, prompts, untouched, scale)
    _check_adds_up(found, untouched, prompts)
    return found if not listed else _parts(model, prompts, _record(model, prompts, listed), scale)


def _record(model: "TransformerBridge", prompts: PromptSet, interventions: list[Intervention]) -> Recording:
    """Components at END, and the scale of the final norm there."""

    def at_end(activation: Tensor, rows: Rows) -> Tensor:
        return select(activation, rows.at(END))

    hooks = {"embedding": "blocks.0.hook_resid_pre"}
    if has_norms(model):
        hooks["scale"] = "ln_final.hook_scale"
    for layer in range(model.cfg.n_layers):
        hooks[f"z {layer}"] = f"blocks.{layer}.attn.hook_z"
        if not model.cfg.attn_only:
            hooks[f"mlp {layer}"] = f"blocks.{layer}.hook_mlp_out"
    return observe_all(model, prompts, {key: (name, at_end) for key, name in hooks.items()}, interventions)


def _parts(model: "TransformerBridge", prompts: PromptSet, run: Recording, scale: Float[Tensor, "prompt 1"]) -> DirectLogitAttribution:
    layers = range(model.cfg.n_layers)
    direction, constant = _readout(model, prompts)
    direction = direction / scale.to(direction.device)
    # [prompt, layer, head, d_head]: what a unit of z adds
    through = torch.einsum("lhdm,pm->plhd", exact(model.W_O), direction)
    z = exact(torch.stack([run.recorded[f"z {layer}"] for layer in layers], dim=1))
    nothing = torch.zeros_like(direction)
    mlp = torch.stack([exact(run.recorded[f"mlp {layer}"]) if f"mlp {layer}" in run.recorded else nothing for layer in layers], dim=1)
    return DirectLogitAttribution(
        head_values=to_numpy((through * z).sum(-1).permute(1, 2, 0)),
        mlp_values=to_numpy(torch.einsum("plm,pm->lp", mlp, direction)),
        embedding_values=to_numpy((exact(run.recorded["embedding"]) * direction).sum(-1)),
        bias_values=to_numpy(direction @ _attention_bias(model) + constant),
        ids=prompts.ids,
        templates=prompts.templates,
    )


def _readout(model: "TransformerBridge", prompts: PromptSet) -> tuple[Float[Tensor, "prompt d_model"], Float[Tensor, " prompt"]]:
    """Direction of the logit difference in the stream before the final norm divides it, and its constant."""
    w_u, b_u = model.W_U, model.b_U
    answers, foils = prompts.asked("answers").to(w_u.device), prompts.asked("foils").to(w_u.device)
    direction = (exact(w_u[:, answers]) - exact(w_u[:, foils])).T
    if takes_out_mean(model.ln_final):  # LayerNorm subtracts the stream's mean, which is the same as doing so to the direction
        direction = direction - direction.mean(-1, keepdim=True)
    return direction, exact(b_u[answers]) - exact(b_u[foils])


def _attention_bias(model: "TransformerBridge") -> Float[Tensor, " d_model"]:
    """The attention layers' output biases, summed; zero where there are none."""
    biases = [getattr(block.attn, "b_O", None) for block in model.blocks]
    zero = exact(model.W_U[:, 0].new_zeros(model.cfg.d_model))
    return sum((exact(bias) for bias in biases if bias is not None), zero)


def _check_sum_survives(prompts: PromptSet, interventions: list[Intervention]) -> None:
    for site in (site for intervention in interventions for site in intervention.sites):
        cuts = site.kind in ("resid_post", "attn_out") or (site.kind == "resid_pre" and site.layer > 0)
        if cuts and (site.at is None or bool((prompts.position(site.at) == prompts.position(END)).any())):
            raise MechcheckError(
                f"an intervention on {site.named} replaces what heads wrote at END, so their direct effects no longer add up; "
                "intervene on heads, MLPs or neurons, or at another position"
            )


def _check_adds_up(found: DirectLogitAttribution, run: Recording, prompts: PromptSet) -> None:
    expected = to_numpy(logit_diff(run.logits, prompts))
    parts = (found.head_values, found.mlp_values, found.embedding_values[None], found.bias_values[None])
    size = sum(np.abs(part).reshape(-1, len(prompts)).sum(0) for part in parts)
    precision = max(torch.finfo(run.logits.dtype).eps, torch.finfo(torch.float32).eps)  # norms may compute in float32
    gap = np.abs(found.total.values - expected)
    if (gap > _ULPS * precision * size).any():
        raise MechcheckError(
            f"the parts differ from the logit difference by up to {gap.max():.3g} logits: in this architecture the logits are not "
            "the sum of heads, MLPs, embedding and biases behind one final norm"
        )
