"""Logit lens: the residual stream of every layer, read through the final norm and the unembedding (nostalgebraist 2020)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from mechcheck.base.architectures import is_encoder
from mechcheck.base.device import exact, to_numpy, usual_torch
from mechcheck.base.errors import MechcheckError
from mechcheck.base.loaded import check_loaded
from mechcheck.drawing.figure import Pictured
from mechcheck.engine.edit import Rows, select
from mechcheck.engine.hooks import as_loaded
from mechcheck.engine.run import observe
from mechcheck.measures.figures.charts import Lines
from mechcheck.measures.figures.model import LensGrid
from mechcheck.notation.interventions import Intervention
from mechcheck.notation.limits import require_prediction
from mechcheck.notation.metrics import Logits, Metric, foil_probability, kl_divergence, logit_diff, probability, rank
from mechcheck.prompts.checks import position_names
from mechcheck.prompts.prompt_set import END, PromptSet
from mechcheck.stats.measurement import Measurement

if TYPE_CHECKING:
    from transformer_lens.model_bridge import TransformerBridge
    from transformer_lens.tools.analysis.logit_lens import LogitReadout

    from mechcheck.measures.stream.translator import TunedLens

Rowwise = Float[np.ndarray, "state prompt"]
"""State l is the stream entering layer l; the last one is the stream after the last layer."""
Cellwise = Float[np.ndarray, "state position prompt"]
Streams = Float[Tensor, "state prompt position d_model"]

_FROM_OWN_OUTPUT = Metric("KL from the model's own output", "nats", kl_divergence.of, needs_clean=True)
_METRICS: dict[str, Metric] = {
    "p_answer": probability,
    "p_foil": foil_probability,
    "logit_diff": logit_diff,
    "rank": rank,
    "kl": _FROM_OWN_OUTPUT,
}


@dataclass(frozen=True, eq=False)
class LensReading(Pictured):
    """What each layer's stream would predict; n_layers + 1 states, the last being the model's own output."""

    p_answer: Rowwise
    """Probability of the answer."""
    p_foil: Rowwise
    """Probability of the foil."""
    logit_diff: Rowwise
    """Logit of the answer minus that of the foil."""
    rank: Rowwise
    """How many tokens have a larger logit than the answer."""
    kl: Rowwise
    """KL(the model's own output || this reading), in nats."""
    ids: tuple[str, ...]
    templates: tuple[str, ...]

    def figure(self, title: str = "Logit lens") -> Lines:
        """How probable the answer and its foil are after each layer: the mean over prompts."""
        means = {"answer": self.p_answer.mean(-1), "foil": self.p_foil.mean(-1)}
        return Lines(title, range(len(self.p_answer)), means, "layers read", "probability")

    def at_layer(self, layer: int, what: str = "logit_diff") -> Measurement:
        """One state's reading as a measurement: `what` is p_answer, p_foil, logit_diff, rank or kl."""
        metric = _METRICS[what]
        return Measurement(getattr(self, what)[layer], self.ids, self.templates, f"{metric.name} at layer {layer}", metric.unit)

    def resolution(self, by: Literal["rank", "logit_diff"] = "rank") -> Measurement:
        """The state at which each prompt resolves: the first from which on, up to the last, the answer is ahead.

        Ahead means first of all tokens (by="rank"), or above the foil (by="logit_diff"). A prompt that is not resolved in
        the last state counts as n_layers + 1, one more than the last state, so that a mean over prompts errs to the late side.
        """
        if by not in ("rank", "logit_diff"):
            raise MechcheckError(f'unknown criterion {by!r}; choose "rank" or "logit_diff"')
        ahead = self.rank == 0 if by == "rank" else self.logit_diff > 0
        resolved = np.logical_and.accumulate(ahead[::-1])[::-1]  # ahead here and in every later state
        first = (~resolved).sum(0).astype(float)
        first[~np.isfinite(getattr(self, by)).all(0)] = np.nan
        how = "the answer is first of all" if by == "rank" else "the answer is above the foil"
        return Measurement(first, self.ids, self.templates, f"layer from which on {how}", "layer")


@dataclass(frozen=True, eq=False)
class LensMap(Pictured):
    """A lens reading at several positions; NaN (and token -1) where a prompt has padding."""

    p_answer: Cellwise
    p_foil: Cellwise
    logit_diff: Cellwise
    rank: Cellwise
    kl: Cellwise
    """As in `LensReading`, each with an axis for positions."""
    top: Int[np.ndarray, "state position prompt k"]
    """The tokens with the largest logits, best first."""
    top_p: Float[np.ndarray, "state position prompt k"]
    """Their probabilities."""
    words: Mapping[int, str]
    """Text of the tokens in `top`."""
    positions: tuple[str, ...]
    """Names of the positions, or their numbers where every position is read."""
    ids: tuple[str, ...]
    templates: tuple[str, ...]

    def at(self, position: str) -> LensReading:
        """The reading at one position."""
        if position not in self.positions:
            raise MechcheckError(f"no position {position!r} was read; there are {', '.join(self.positions)}")
        column = self.positions.index(position)
        return LensReading(**{what: getattr(self, what)[:, column] for what in _METRICS}, ids=self.ids, templates=self.templates)

    def figure(self, prompt: int = 0, title: str | None = None) -> LensGrid:
        """One prompt's reading over layers and positions."""
        states = [*map(str, range(len(self.p_answer) - 1)), "out"]
        answer, foil = (values[:, :, prompt] for values in (self.p_answer, self.p_foil))
        named = f"Logit lens, prompt {self.ids[prompt]}" if title is None else title
        return LensGrid(named, self.positions, states, answer, foil, self.foremost(prompt))

    def foremost(self, prompt: int = 0) -> list[list[list[tuple[str, float]]]]:
        """For one prompt, a row per state and a cell per position: the foremost tokens as text, with their probabilities."""
        tokens, chances = self.top[:, :, prompt].tolist(), self.top_p[:, :, prompt].tolist()
        return [
            [[(self.words[t], p) for t, p in zip(*cell, strict=True) if t >= 0] for cell in zip(*state, strict=True)]
            for state in zip(tokens, chances, strict=True)
        ]


def logit_lens(
    model: "TransformerBridge",
    prompts: PromptSet,
    at: str = END,
    interventions: Sequence[Intervention] | Intervention = (),
    lens: "TunedLens | None" = None,
) -> LensReading:
    """Read the stream entering each layer, and the one after the last, as if the model ended there.

    Args:
        model: from `load_model`.
        prompts: the prompts.
        at: the named position whose stream is read.
        interventions: applied in the same forward pass.
        lens: translates each state before it is read (a tuned lens, Belrose et al. 2023).

    Raises:
        PromptError: no such position.
    """
    return logit_lens_map(model, prompts, [at], interventions, lens).at(at)


@usual_torch()
def logit_lens_map(
    model: "TransformerBridge",
    prompts: PromptSet,
    positions: Sequence[str] | str | None = None,
    interventions: Sequence[Intervention] | Intervention = (),
    lens: "TunedLens | None" = None,
    top: int = 1,
) -> LensMap:
    """The logit lens at several positions: P(answer), P(foil), rank and the foremost tokens over layer x position.

    Args:
        model, prompts, interventions, lens: as in `logit_lens`. Answers and foils are those of the prompts at every position;
            a counterfactual made with the clean prompts' answers shows P(correct) and P(incorrect) of the corrupted run.
        positions: named positions; every position by default.
        top: how many of the foremost tokens to keep for each cell.

    Raises:
        PromptError: no such position.
    """
    positions = None if positions is None else position_names(positions)
    streams, real = _streams(model, prompts, positions, interventions)
    columns: list[list[dict[str, np.ndarray]]] = []
    for at, stream in enumerate(streams.unbind(2)):
        own = readout(model, stream[-1])
        translated = (state if lens is None else lens(layer, state) for layer, state in enumerate(stream))
        columns.append([_cell(readout(model, state), own, prompts, real[:, at], top) for state in translated])
    cells = {what: np.array([[cell[what] for cell in states] for states in columns]).swapaxes(0, 1) for what in columns[0][0]}
    return LensMap(
        **cells,
        words=_texts(model, cells["top"]),
        positions=tuple(positions) if positions is not None else tuple(map(str, range(streams.shape[2]))),
        ids=prompts.ids,
        templates=prompts.templates,
    )


def _cell(logits: Logits, own: Logits, prompts: PromptSet, real: Bool[np.ndarray, " prompt"], top: int) -> dict[str, np.ndarray]:
    """The metrics and the foremost tokens of one state at one position."""
    cell = {what: np.where(real, to_numpy(metric(logits, prompts, own)), np.nan) for what, metric in _METRICS.items()}
    chances, tokens = exact(logits).softmax(-1).topk(top)
    cell["top"] = np.where(real[:, None], tokens.cpu().numpy(), -1)
    cell["top_p"] = np.where(real[:, None], to_numpy(chances), np.nan)
    return cell


def _streams(
    model: "TransformerBridge", prompts: PromptSet, positions: Sequence[str] | None, interventions: Sequence[Intervention] | Intervention
) -> tuple[Streams, np.ndarray]:
    """Every state's stream at the positions, and which of these [prompt, position] are no padding."""
    for name in positions or ():
        prompts.position(name)

    def stream(activation: Tensor, rows: Rows) -> Tensor:
        return activation if positions is None else torch.stack([select(activation, rows.at(name)) for name in positions], dim=1)

    hooks = stream_hooks(model)
    recorded = observe(model, prompts, {name: (name, stream) for name in hooks}, interventions)
    streams = torch.stack([recorded[name] for name in hooks])
    everywhere = np.arange(streams.shape[2])[None] < prompts.lengths.numpy()[:, None]
    return streams, everywhere if positions is None else np.ones(streams.shape[1:3], dtype=bool)


def stream_hooks(model: "TransformerBridge") -> list[str]:
    """The hooks of the states: the stream entering each layer, and the one after the last."""
    check_loaded(model)
    last = model.cfg.n_layers - 1
    return [f"blocks.{layer}.hook_resid_pre" for layer in range(last + 1)] + [f"blocks.{last}.hook_resid_post"]


def readout(model: "TransformerBridge", stream: Float[Tensor, "prompt d_model"], *, differentiable: bool = False) -> Logits:
    """The logits that the model's final norm and unembedding make of a stream."""
    return read_stream(model, stream, enable_grad=differentiable).values


def read_stream(model: "TransformerBridge", stream: Float[Tensor, "... d_model"], **options: Any) -> "LogitReadout":
    """TransformerLens' `logit_readout`: logits, or what of them its options ask for.

    Raises:
        MechcheckError: something other than a final norm and an unembedding makes this architecture's logits (BERT's head), or nothing.
    """
    from transformer_lens.tools.analysis import logit_readout

    require_prediction(model)
    if is_encoder(model):
        raise MechcheckError(
            f"{model.cfg.architecture} makes its logits by a prediction head of its own, and not by a final norm and the unembedding, so "
            "its streams cannot be read as by a logit lens"
        )
    with as_loaded(model):
        return logit_readout(model, stream, **options)


def _texts(model: "TransformerBridge", tokens: Int[np.ndarray, "..."]) -> dict[int, str]:
    """Text of the tokens; their numbers where the model came without a tokenizer."""
    occurring = [int(token) for token in np.unique(tokens) if token >= 0]
    return {token: str(token) if model.tokenizer is None else model.tokenizer.decode([token]) for token in occurring}
