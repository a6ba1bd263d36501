"""Which tools to compare with, and which of them are installed."""

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Protocol

from jaxtyping import Float
from torch import Tensor

from comparison.jobs import Job

# Variants in one trace of nnsight; a GPU wants more at once.
_TOGETHER = {"cpu": 8, "cuda": 32}


class Rival(Protocol):
    """Another tool doing a job."""

    name: str
    last_logits: bool
    """Whether its forward passes compute the logits of the last position only."""

    def forwards(self, job: Job) -> int:
        """Passes through the model for each variant."""

    def prepare(self, job: Job) -> None:
        """What is done once: caching runs."""

    def values(self, job: Job, numbers: Sequence[int]) -> Float[Tensor, "variant prompt"]:
        """The logit differences of some variants."""


def hugging_face_rivals(directory: Path, device: str, *, patching: bool = False, every_way: bool = False) -> list[Rival]:
    """nnsight and pyvene on a GPT-2 layout; one that cannot be imported is named and left out.

    Args:
        directory, device: where the model is, and where it goes.
        patching: whether jobs patch, which pyvene can do in two ways.
        every_way: nnsight in each of the ways that it can be used in, not in the fastest of the plain ones only.
    """
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    makers: dict[str, Callable[[], list[Rival]]] = {
        "nnsight": lambda: _nnsight(directory, device, every_way),
        "pyvene": lambda: _pyvene(directory, device, patching),
    }
    found: list[Rival] = []
    for name, make in makers.items():
        try:
            found += make()
        except ImportError as missing:
            print(f"{name} is left out: {missing} (pip install --no-deps -r requirements/benchmarks.txt)", flush=True)
    return found


def _nnsight(directory: Path, device: str, every_way: bool) -> list[Rival]:
    from comparison.rival_nnsight import NNsight, load

    model, together = load(directory, device), _TOGETHER[device.split(":")[0]]
    several = NNsight(model, together)
    return [NNsight(model), several, NNsight(model, together, last_logits=True)] if every_way else [several]


def _pyvene(directory: Path, device: str, patching: bool) -> list[Rival]:
    from comparison.rival_pyvene import Pyvene, load

    model = load(directory, device)
    return [Pyvene(model), Pyvene(model, collected=True)] if patching else [Pyvene(model)]
