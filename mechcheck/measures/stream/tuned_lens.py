"""Tuned lens (Belrose et al. 2023, arXiv:2303.08112): each layer's stream goes through an affine translator before it is read."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn.functional import cross_entropy

from mechcheck.base.cached import cached_property
from mechcheck.base.device import usual_torch
from mechcheck.base.errors import MechcheckError
from mechcheck.engine.gradients import require_gradients
from mechcheck.engine.hooks import LOGIT_BYTES
from mechcheck.engine.run import observe
from mechcheck.measures.stream.lens import readout, stream_hooks
from mechcheck.measures.stream.translator import TunedLens
from mechcheck.models.loading import provenance
from mechcheck.prompts.prompt_set import PromptSet

if TYPE_CHECKING:
    from transformer_lens.model_bridge import TransformerBridge

Rows = Float[Tensor, "row d_model"]
_PEAK_RATE = 1e-3


def load_tuned_lens(path: Path, model: "TransformerBridge") -> TunedLens:
    """Read a lens that `TunedLens.save` wrote, for the model that it was fitted on.

    Raises:
        MechcheckError: it is no such file, or was fitted on other weights or processing.
    """
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="pt") as file:
            about: Mapping[str, str] = file.metadata() or {}
            lens = TunedLens(file.get_tensor("weight"), file.get_tensor("bias"), about["weights_sha256"], about["processing"])
    except (SafetensorError, KeyError) as error:
        raise MechcheckError(f"{Path(path).name} is no tuned lens: {error}; write it with TunedLens.save") from error
    own = provenance(model)
    if (lens.weights_sha256, lens.processing) != (own.weights_sha256, own.processing):
        raise MechcheckError(
            f"the lens was fitted on other weights or processing ({lens.weights_sha256[:12]}, {lens.processing}) than {own.name} has now "
            f"({own.weights_sha256[:12]}, {own.processing}): fit it again, or load that model"
        )
    return lens


@usual_torch()
def fit_tuned_lens(
    model: "TransformerBridge",
    prompts: PromptSet,
    *,
    ridge: float = 1e-2,
    steps: int = 300,
    batch: int = 512,
    seed: int = 0,
) -> TunedLens:
    """Fit a translator for each layer on the streams at every position of the prompts.

    The start is the ridge regression of what is still to be added (last stream minus this one) on this stream; from there Adam
    lowers KL(the model's own output || the lens's), which is what Belrose et al. minimise.

    Args:
        model: from `load_model`.
        prompts: those to fit on; judge the lens on others.
        ridge: weight of the penalty, in units of the stream's mean variance.
        steps: gradient steps for each layer; 0 for the regression alone.
        batch: positions in each step.
        seed: draws the batches.

    Raises:
        MechcheckError: a penalty that is not positive; steps in float16, in whose range small gradients vanish.
    """
    if ridge <= 0:
        raise MechcheckError(f"ridge={ridge}: the penalty must be positive")
    if steps:
        require_gradients(model)
    *streams, last = _real_streams(model, prompts)
    own_output = _Output(model, last)
    weights, biases = [], []
    for stream in streams:
        weight, bias = _regression(stream, last - stream, ridge)
        if steps:
            weight, bias = _descend(model, stream, own_output, weight, bias, steps, batch, seed)
        weights.append(weight)
        biases.append(bias)
    own = provenance(model)
    return TunedLens(torch.stack(weights), torch.stack(biases), own.weights_sha256, own.processing)


def _real_streams(model: "TransformerBridge", prompts: PromptSet) -> list[Rows]:
    """Each state's stream at every position that is no padding."""
    hooks = stream_hooks(model)
    recorded = observe(model, prompts, {name: (name, lambda activation, _: activation) for name in hooks})
    real = torch.arange(prompts.tokens.shape[1])[None] < prompts.lengths[:, None]
    return [recorded[name][real.to(recorded[name].device)] for name in hooks]


def _regression(x: Rows, y: Rows, ridge: float) -> tuple[Float[Tensor, "d_model d_model"], Float[Tensor, " d_model"]]:
    from mechcheck.measures.stream.alignment import fit_linear_map

    found = fit_linear_map(x, y, ridge=ridge)
    return found.weight.to(x), (found.mean_to - found.mean_from @ found.weight).to(x)


@dataclass
class _Output:
    """What the model predicts, which every layer's lens is compared with: computed once where the vocabulary is small enough to be kept."""

    model: "TransformerBridge"
    last: Rows

    @cached_property
    def _kept(self) -> Float[Tensor, "row d_vocab"] | None:
        vocabulary = max(self.model.cfg.d_vocab, self.model.cfg.d_vocab_out)
        fits = len(self.last) * vocabulary * self.last.element_size() <= LOGIT_BYTES
        return readout(self.model, self.last).softmax(-1) if fits else None

    def probabilities(self, rows: Int[Tensor, " some"]) -> Float[Tensor, "some d_vocab"]:
        """Of some rows."""
        return readout(self.model, self.last[rows]).softmax(-1) if self._kept is None else self._kept[rows]


@torch.enable_grad()
def _descend(
    model: "TransformerBridge", x: Rows, own: _Output, weight: Tensor, bias: Tensor, steps: int, batch: int, seed: int
) -> tuple[Float[Tensor, "d_model d_model"], Float[Tensor, " d_model"]]:
    """Adam on the KL divergence, its rate falling to zero along a cosine."""
    generator = torch.Generator().manual_seed(seed)
    weight, bias = weight.clone().requires_grad_(), bias.clone().requires_grad_()
    optimiser = torch.optim.Adam([weight, bias], lr=_PEAK_RATE)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, steps)
    for _ in range(steps):
        rows = torch.randint(len(x), (min(batch, len(x)),), generator=generator).to(x.device)
        some = x[rows]
        read = readout(model, some + some @ weight + bias, differentiable=True)
        loss = cross_entropy(read, own.probabilities(rows))  # the divergence and a constant
        weight.grad, bias.grad = torch.autograd.grad(loss, [weight, bias])  # and none for the model's own weights
        optimiser.step()
        schedule.step()
    return weight.detach(), bias.detach()
