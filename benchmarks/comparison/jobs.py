"""Jobs: what every tool is asked to do, written so that each can do it in its own way."""

import random
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, NamedTuple

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from mechcheck import Ablate, Metric, Patch, PromptSet, Steer, logit_diff, loss, sweep
from mechcheck.engine.untouched_cache import forget_runs
from mechcheck.notation.sites import Site, Sites

if TYPE_CHECKING:
    from transformer_lens.model_bridge import TransformerBridge

    from mechcheck.notation.interventions import Intervention

Method = Literal["patch", "zero", "mean", "steer"]
Kind = Literal["head", "mlp_out", "resid_pre"]
Measure = Literal["logit difference", "loss"]


class Cell(NamedTuple):
    """One place that is changed."""

    kind: Kind
    layer: int
    head: int | None = None
    at: int | None = None
    """The position; None: all of them."""
    scale: float = 1.0
    """Of the steering vector."""

    @property
    def where(self) -> slice | int:
        """The position as an index."""
        return slice(None) if self.at is None else self.at


@dataclass(frozen=True, eq=False)
class Job:
    """Many variants of one kind on the same prompts; each changes some cells at once, and is measured."""

    name: str
    prompts: PromptSet
    method: Method
    variants: tuple[tuple[Cell, ...], ...]
    vector: Float[Tensor, " d_model"] | None = None
    """What is added where the method is "steer"."""
    measure: Measure = "logit difference"
    """At END, or the loss per token over all positions, for which the prompts have to be equally long."""

    @property
    def source(self) -> PromptSet | None:
        """The prompts that activations are taken from."""
        return {"patch": self.prompts.counterfactual, "mean": self.prompts.reference}.get(self.method)

    @property
    def first_change(self) -> list[int]:
        """Each prompt's first token that is another one in the source; 0 where what is put in is another activation anyway."""
        if self.method != "patch":
            return [0] * len(self.prompts)
        assert self.source is not None
        return (self.source.tokens != self.prompts.tokens).int().argmax(1).tolist()

    @property
    def metric(self) -> Metric:
        """The measure in mechcheck's words."""
        return loss if self.measure == "loss" else logit_diff

    def cells(self) -> Iterator[Cell]:
        """Every cell of every variant."""
        for variant in self.variants:
            yield from variant

    def spread(self, count: int) -> list[int]:
        """The numbers of `count` variants, evenly spread."""
        return sorted({int(number) for number in np.linspace(0, len(self.variants) - 1, min(count, len(self.variants))).round()})

    def interventions(self) -> list[list["Intervention"]]:
        """The variants in mechcheck's words."""
        return [self._interventions(variant) for variant in self.variants]

    def _interventions(self, variant: tuple[Cell, ...]) -> list["Intervention"]:
        sites = [Site(cell.kind, cell.layer, cell.head, None if cell.at is None else f"P{cell.at}") for cell in variant]
        match self.method:
            case "patch":
                return [Patch(Sites(sites))]
            case "steer":
                assert self.vector is not None
                return [Steer(self.vector, Sites([site]), cell.scale) for site, cell in zip(sites, variant, strict=True)]
        return [Ablate(Sites(sites), self.method)]


def ours(model: "TransformerBridge", job: Job) -> Float[np.ndarray, "variant prompt"]:
    """The job by mechcheck: captures, sweep and self-check; nothing is remembered from an earlier round."""
    forget_runs()
    return sweep(model, job.prompts, job.interventions(), job.metric)


def logit_difference(logits: Float[Tensor, "prompt pos d_vocab"], prompts: PromptSet) -> Float[Tensor, " prompt"]:
    """Answer minus foil at END; of logits that were kept for the last position only, at that."""
    end = prompts.position("END").to(logits.device)
    rows = torch.arange(len(prompts), device=logits.device)
    last = logits[rows, end if logits.shape[1] > 1 else 0]
    return last[rows, prompts.answers.to(logits.device)] - last[rows, prompts.foils.to(logits.device)]


def every_head(
    prompts: PromptSet, layers: int, heads: int, method: Method = "patch", at: Iterable[int | None] = (None,),
    measure: Measure = "logit difference",
) -> Job:  # fmt: skip
    """One head at a time, at every position or at each of those given."""
    places = list(at)
    variants = tuple((Cell("head", layer, head, place),) for layer in range(layers) for place in places for head in range(heads))
    return Job(f"{_VERBS[method]} every head, {_words(places, prompts)}", prompts, method, variants, measure=measure)


def every_layer(prompts: PromptSet, layers: int, kind: Kind, at: Iterable[int | None] = (None,)) -> Job:
    """One layer's MLP output, or the stream that enters it, patched at a time."""
    places = list(at)
    what = {"mlp_out": "MLP", "resid_pre": "layer's stream"}[kind]
    variants = tuple((Cell(kind, layer, None, place),) for layer in range(layers) for place in places)
    return Job(f"patch every {what}, {_words(places, prompts)}", prompts, "patch", variants)


def random_circuits(prompts: PromptSet, layers: int, heads: int, size: int, n: int, at: int | None) -> Job:
    """Mean ablation of `n` random sets of `size` heads: what a random control asks for."""
    every = [(layer, head) for layer in range(layers) for head in range(heads)]
    rng = random.Random(0)
    variants = tuple(tuple(Cell("head", *head, at) for head in sorted(rng.sample(every, size))) for _ in range(n))
    return Job(f"mean-ablate {n} random sets of {size} heads, {_words([at], prompts)}", prompts, "mean", variants)


def steering(prompts: PromptSet, layers: int, scales: Iterable[float], vector: Tensor, at: int | None) -> Job:
    """A vector added to the stream that enters each layer, at each scale."""
    chosen = list(scales)
    variants = tuple((Cell("resid_pre", layer, None, at, scale),) for layer in range(layers) for scale in chosen)
    return Job(f"steer at {layers} layers x {len(chosen)} scales, {_words([at], prompts)}", prompts, "steer", variants, vector)


_VERBS = {"patch": "patch", "zero": "zero-ablate", "mean": "mean-ablate"}


def _words(places: list[int | None], prompts: PromptSet) -> str:
    if places == [None]:
        return "all positions"
    if places == [prompts.tokens.shape[1] - 1]:
        return "last position"
    return f"each of positions {min(places)}-{max(places)}"
