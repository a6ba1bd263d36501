"""pyvene on the Hugging Face model (GPT-2 layout)."""

from collections import defaultdict
from collections.abc import Callable, Sequence
from importlib.metadata import version
from pathlib import Path

import pyvene
import torch
from jaxtyping import Float
from torch import Tensor
from transformers import AutoModelForCausalLM, PreTrainedModel

from comparison.jobs import Cell, Job, logit_difference
from mechcheck.models.directory import quiet_loading

# Whole activations, and the heads of one.
_COMPONENTS = {"head": "attention_value_output", "mlp_out": "mlp_output", "resid_pre": "block_input"}
_Change = Callable[[Tensor, object], Tensor]


def load(directory: Path, device: str) -> PreTrainedModel:
    """The Hugging Face model, which pyvene hooks as it is."""
    with quiet_loading():
        return AutoModelForCausalLM.from_pretrained(directory).eval().to(device)


class Pyvene:
    """Patching by interchange interventions, each of which runs its source again; or by functions that put in collected activations.

    Ablation and steering are functions in either case.
    """

    last_logits = False

    def __init__(self, model: PreTrainedModel, collected: bool = False):
        """`collected`: run the source once, and put its activations in."""
        self._model, self._collected = model, collected
        self._device = model.device
        self.name = f"pyvene {version('pyvene')}{', source collected once' if collected else ''}"

    def forwards(self, job: Job) -> int:
        """Passes through the model for each variant."""
        return 2 if self._interchanges(job) else 1

    @torch.no_grad()
    def prepare(self, job: Job) -> None:
        """Collect what is taken from the source."""
        self._kept: dict[tuple[str, int], Tensor] = {}
        if job.source is None or self._interchanges(job):
            return

        def collect(kind: str, layer: int) -> _Change:
            def keep(activation: Tensor, _: object) -> Tensor:
                self._kept[kind, layer] = activation.clone()
                return activation

            return keep

        wanted = sorted({(cell.kind, cell.layer) for cell in job.cells()})
        self._functions({place: collect(*place) for place in wanted})(base=self._inputs(job.source.tokens))

    @torch.no_grad()
    def values(self, job: Job, numbers: Sequence[int]) -> Float[Tensor, "variant prompt"]:
        """The logit differences of some variants."""
        run = self._interchanged if self._interchanges(job) else self._changed
        return torch.stack([run(job, job.variants[number]) for number in numbers])

    def _interchanges(self, job: Job) -> bool:
        return job.method == "patch" and not self._collected

    def _interchanged(self, job: Job, variant: tuple[Cell, ...]) -> Tensor:
        assert job.source is not None
        (cell,) = variant
        n, width = job.prompts.tokens.shape
        component = f"{'head_' if cell.kind == 'head' else ''}{_COMPONENTS[cell.kind]}"
        unit = "h.pos" if cell.kind == "head" else "pos"
        intervened = pyvene.IntervenableModel(
            pyvene.IntervenableConfig(
                [{"layer": cell.layer, "component": component, "unit": unit, "intervention_type": pyvene.VanillaIntervention}]
            ),
            self._model,
        )
        places = [list(range(width)) if cell.at is None else [cell.at]] * n
        units = [places] if cell.head is None else [[[[cell.head]] * n, places]]
        _, out = intervened(
            base=self._inputs(job.prompts.tokens),
            sources=[self._inputs(job.source.tokens)],
            unit_locations={"sources->base": (units, units)},
        )
        return logit_difference(out.logits, job.prompts)

    def _changed(self, job: Job, variant: tuple[Cell, ...]) -> Tensor:
        by_place: dict[tuple[str, int], list[Cell]] = defaultdict(list)
        for cell in variant:
            by_place[cell.kind, cell.layer].append(cell)
        intervened = self._functions({place: self._function(job, cells) for place, cells in by_place.items()})
        _, out = intervened(base=self._inputs(job.prompts.tokens))
        return logit_difference(out.logits, job.prompts)

    def _functions(self, changes: dict[tuple[str, int], _Change]) -> pyvene.IntervenableModel:
        chosen = [{"layer": layer, "component": _COMPONENTS[kind], "intervention": f} for (kind, layer), f in changes.items()]
        return pyvene.IntervenableModel(chosen, self._model)

    def _function(self, job: Job, cells: list[Cell]) -> _Change:
        def change(activation: Tensor, _: object) -> Tensor:
            for cell in cells:
                part = (slice(None), cell.where) if cell.head is None else (slice(None), cell.where, self._columns(cell.head))
                if job.method == "steer":
                    activation[part] += cell.scale * job.vector.to(self._device)
                elif job.method == "zero":
                    activation[part] = 0
                else:
                    kept = self._kept[cell.kind, cell.layer][part]
                    activation[part] = kept.mean(0) if job.method == "mean" else kept
            return activation

        return change

    def _columns(self, head: int) -> slice:
        d_head = self._model.config.n_embd // self._model.config.n_head
        return slice(head * d_head, (head + 1) * d_head)

    def _inputs(self, tokens: Tensor) -> dict[str, Tensor]:
        return {"input_ids": tokens.to(self._device)}
