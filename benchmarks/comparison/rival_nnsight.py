"""nnsight on the Hugging Face model (GPT-2 layout): one trace for each variant, or several in one trace."""

from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path

import nnsight
import torch
from jaxtyping import Float
from torch import Tensor
from transformers import AutoModelForCausalLM, AutoTokenizer

from comparison.jobs import Cell, Job, logit_difference
from mechcheck.models.directory import quiet_loading


def load(directory: Path, device: str) -> nnsight.TransformersModel:
    """The model as nnsight wraps it."""
    with quiet_loading():
        model = AutoModelForCausalLM.from_pretrained(directory).eval().to(device)
        return nnsight.TransformersModel(model, task="text-generation", tokenizer=AutoTokenizer.from_pretrained(directory))


class NNsight:
    """Activations of the source are saved in one trace, then every variant is edited into a trace of the prompts."""

    def __init__(self, model: nnsight.TransformersModel, together: int = 1, last_logits: bool = False):
        """`together` variants as invokes of one trace; `last_logits` asks transformers for the last position's logits only."""
        self._model, self._together = model, together
        self._device = model._module.device
        self.last_logits = last_logits
        self._options = {"logits_to_keep": 1} if last_logits else {}
        how = f", {together} variants a trace" if together > 1 else ""
        self.name = f"nnsight {version('nnsight')}{how}{', logits_to_keep=1' if last_logits else ''}"

    def forwards(self, job: Job) -> int:
        """Passes through the model for each variant."""
        return 1

    @torch.no_grad()
    def prepare(self, job: Job) -> None:
        """Save what is taken from the source."""
        self._kept: dict[tuple[str, int], Tensor] = {}
        if job.source is None:
            return
        tokens, wanted = job.source.tokens.to(self._device), sorted({(cell.kind, cell.layer) for cell in job.cells()}, key=_depth)
        with self._model.trace(tokens):
            saved = nnsight.save([])
            for place in wanted:
                saved.append(self._activation(*place))
        self._kept = dict(zip(wanted, saved, strict=True))

    @torch.no_grad()
    def values(self, job: Job, numbers: Sequence[int]) -> Float[Tensor, "variant prompt"]:
        """The logit differences of some variants."""
        found: list[Tensor] = []
        if self._together == 1:
            for number in numbers:
                found.append(self._one(job, job.variants[number]))
        else:
            for first in range(0, len(numbers), self._together):
                found += self._several(job, [job.variants[number] for number in numbers[first : first + self._together]])
        return torch.stack(found)

    def _one(self, job: Job, variant: tuple[Cell, ...]) -> Tensor:
        with self._model.trace(job.prompts.tokens.to(self._device), **self._options):
            self._change(job, variant)
            logits = self._model.output.logits.save()
        return logit_difference(logits, job.prompts)

    def _several(self, job: Job, variants: list[tuple[Cell, ...]]) -> list[Tensor]:
        tokens = job.prompts.tokens.to(self._device)
        with self._model.trace(**self._options) as tracer:
            found = nnsight.save([])
            for variant in variants:
                with tracer.invoke(tokens):
                    self._change(job, variant)
                    found.append(logit_difference(self._model.output.logits, job.prompts))
        return found

    def _change(self, job: Job, variant: tuple[Cell, ...]) -> None:
        """Within a trace: the cells, in the order of the forward pass."""
        for cell in sorted(variant, key=lambda cell: _depth((cell.kind, cell.layer))):
            activation = self._activation(cell.kind, cell.layer)
            part = (slice(None), cell.where) if cell.head is None else (slice(None), cell.where, self._columns(cell.head))
            if job.method == "steer":
                activation[part] += cell.scale * job.vector.to(self._device)
            elif job.method == "zero":
                activation[part] = 0
            else:
                kept = self._kept[cell.kind, cell.layer][part]
                activation[part] = kept.mean(0) if job.method == "mean" else kept

    def _activation(self, kind: str, layer: int) -> Tensor:
        """[prompt, pos, d]; of the heads' kind all heads side by side."""
        block = self._model.transformer.h[layer]
        if kind == "head":
            return block.attn.c_proj.input
        return block.mlp.output if kind == "mlp_out" else block.input

    def _columns(self, head: int) -> slice:
        config = self._model._module.config
        d_head = config.n_embd // config.n_head
        return slice(head * d_head, (head + 1) * d_head)


def _depth(place: tuple[str, int]) -> tuple[int, int]:
    kind, layer = place
    return layer, ("resid_pre", "head", "mlp_out").index(kind)
