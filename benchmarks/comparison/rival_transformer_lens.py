"""TransformerLens on the model that mechcheck sweeps: its own activation patching, and hooks for the rest."""

from collections import defaultdict
from collections.abc import Callable, Sequence
from functools import partial
from importlib.metadata import version
from typing import TYPE_CHECKING

import pandas as pd
import torch
from jaxtyping import Float
from torch import Tensor

from comparison.jobs import Cell, Job, logit_difference

if TYPE_CHECKING:
    from transformer_lens.model_bridge import TransformerBridge

_NAMES = {"head": "z", "mlp_out": "mlp_out", "resid_pre": "resid_pre"}


class TransformerLens:
    """`patching.generic_activation_patch` with the setters of its specialisations; ablation and steering by `run_with_hooks`."""

    last_logits = False

    def __init__(self, model: "TransformerBridge"):
        self.name = f"TransformerLens {version('transformer-lens')}"
        self._model = model

    def forwards(self, job: Job) -> int:
        """Passes through the model for each variant."""
        return 1

    def prepare(self, job: Job) -> None:
        """Cache what is taken from the source."""
        self._kept = None
        if job.source is not None:
            wanted = {_hook(cell) for cell in job.cells()}
            _, self._kept = self._model.run_with_cache(self._tokens(job.source.tokens), names_filter=lambda name: name in wanted)

    def values(self, job: Job, numbers: Sequence[int]) -> Float[Tensor, "variant prompt"]:
        """The measured numbers of some variants."""
        if job.method == "patch":
            return self._patched(job, [job.variants[number] for number in numbers])
        tokens, found = self._tokens(job.prompts.tokens), []
        for number in numbers:
            logits = self._model.run_with_hooks(tokens, fwd_hooks=self._hooks(job, job.variants[number]))
            found.append(self._measured(job, logits))
        return torch.stack(found)

    def _measured(self, job: Job, logits: Tensor) -> Float[Tensor, " prompt"]:
        """By its own loss, where that is asked for."""
        if job.measure == "loss":
            return self._model.loss_fn(logits, self._tokens(job.prompts.tokens), per_token=True).mean(1)
        return logit_difference(logits, job.prompts)

    def _tokens(self, tokens: Tensor) -> Tensor:
        return tokens.to(self._model.cfg.device)

    def _patched(self, job: Job, variants: list[tuple[Cell, ...]]) -> Tensor:
        """By its own patching, which takes the places as a table of layer (, position) (, head)."""
        from transformer_lens.patching import generic_activation_patch

        cells = [cell for (cell,) in variants]
        columns = {"layer": [cell.layer for cell in cells]}
        if cells[0].at is not None:
            columns["pos"] = [cell.at for cell in cells]
        if cells[0].head is not None:
            columns["head"] = [cell.head for cell in cells]
        result = generic_activation_patch(
            self._model,
            self._tokens(job.prompts.tokens),
            self._kept,
            lambda logits: self._measured(job, logits),
            patch_setter=_setter(cells[0]),
            activation_name=_NAMES[cells[0].kind],
            index_df=pd.DataFrame(columns),
            reduce="none",
        )
        return result.values

    def _hooks(self, job: Job, variant: tuple[Cell, ...]) -> list[tuple[str, Callable]]:
        by_hook: dict[str, list[Cell]] = defaultdict(list)
        for cell in variant:
            by_hook[_hook(cell)].append(cell)
        return [(name, partial(self._change, job=job, cells=cells)) for name, cells in by_hook.items()]

    def _change(self, activation: Tensor, hook: object, job: Job, cells: list[Cell]) -> Tensor:
        for cell in cells:
            part = (slice(None), cell.where) if cell.head is None else (slice(None), cell.where, cell.head)
            if job.method == "steer":
                activation[part] += cell.scale * job.vector.to(activation.device)
            elif job.method == "zero":
                activation[part] = 0
            else:
                activation[part] = self._kept[_hook(cell)][part].mean(0)
        return activation


def _hook(cell: Cell) -> str:
    from transformer_lens.utilities import get_act_name

    return get_act_name(_NAMES[cell.kind], cell.layer)


def _setter(cell: Cell) -> Callable:
    from transformer_lens import patching

    if cell.head is None:
        return patching.layer_pos_patch_setter if cell.at is not None else lambda patched, index, source: source
    return patching.layer_head_vector_patch_setter if cell.at is None else patching.layer_pos_head_vector_patch_setter
