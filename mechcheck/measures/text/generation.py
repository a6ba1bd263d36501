"""Generation: text that a model writes behind prompts, greedily or sampled with a seed, while something in it is changed."""

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from mechcheck.base.device import to_numpy, usual_torch
from mechcheck.base.errors import ModelError, NonFiniteError, PromptError, SiteError
from mechcheck.base.progress import progress
from mechcheck.base.seeds import seed_from
from mechcheck.engine.edit import Edit
from mechcheck.engine.edits import capture_all, edits_of, fit_site
from mechcheck.engine.hooks import record
from mechcheck.engine.run import as_list
from mechcheck.engine.watch import Ran, tell
from mechcheck.measures.text.generated import Generated, Stop
from mechcheck.notation.interventions import Ablate, Intervention, KnockOut, Put, Scale, Sparsify, Steer
from mechcheck.notation.limits import require_prediction
from mechcheck.notation.site_checks import check_sites
from mechcheck.notation.sites import Site, Sites
from mechcheck.prompts.limits import check_fits_once, context_of
from mechcheck.prompts.prompt_set import PromptSet
from mechcheck.prompts.spans import NEW
from mechcheck.prompts.tokens import Reader

if TYPE_CHECKING:
    from transformer_lens.model_bridge import TransformerBridge

_NO_TOKEN = -1


def generate(
    model: "TransformerBridge",
    prompts: PromptSet,
    interventions: Sequence[Intervention] | Intervention = (),
    *,
    new_tokens: int = 20,
    temperature: float = 0.0,
    seed: int = 0,
    stop: int | str | Sequence[int | str] | None = None,
) -> Generated:
    """Write behind each prompt's last token, one token after another, under interventions that stay in force.

    Each prompt gets what it would get alone. Where an intervention acts, while the text grows:

    - a named position, or a span, stays where it is in the prompt: END is the prompt's END, not the newest token;
    - a site without a position is every position, the new tokens included; so is `KnockOut`'s ALL;
    - the name NEW stands for the new tokens alone: what is done there cannot change the first of them.

    At every position and at NEW only that can be done which is known of tokens that nobody has seen: `Steer`, `Scale`, `Sparsify`, zero
    `Ablate`, `KnockOut`. What is put in at named positions is taken from runs of the prompts as they are.

    Args:
        model: a decoder, from `load_model`.
        prompts: what stands before; they need neither answers nor foils.
        interventions: applied together at every step.
        new_tokens: at most so many for each prompt.
        temperature: 0 takes the token with the largest logit (of equal ones the first), else tokens are drawn from softmax(logits /
            temperature).
        seed: of the draws. A prompt's depend on its id, the step and the seed alone: not on the other prompts, nor on interventions.
        stop: tokens that end a text, by id or as one word; they are the last of the text that they end.

    Raises:
        ModelError: an encoder, or a model that predicts other tokens than it reads.
        PromptError: more tokens than the model sees; a stop that is no token; a number that cannot be.
        SiteError: an intervention that has nothing to put at new tokens.
        NonFiniteError: a logit that is NaN or infinite.
    """
    require_prediction(model)
    stops = _checked(model, prompts, new_tokens, temperature, stop)
    listed = as_list(interventions)
    check_sites(model, [site for i in listed for site in i.sites])
    with usual_torch():
        growing = _Growing(model, prompts, listed, new_tokens)
        stopped: list[Stop] = ["length"] * len(prompts)
        writing = list(range(len(prompts)))
        with progress(new_tokens, "generate") as bar:
            for step in range(new_tokens):
                logits = growing.next_logits(writing)
                _check_finite(logits, prompts, writing, step)
                chosen = _chosen(logits, temperature, [f"generate {seed} {prompts.ids[row]} {step}" for row in writing])
                growing.add(writing, chosen)
                for row, token in zip(writing, chosen, strict=True):
                    stopped[row] = "stop" if token in stops else "length"
                writing = [row for row in writing if stopped[row] == "length"]
                bar.update()
                if not writing:
                    break
    tell(Ran(prompts, [listed], model=model))
    how = "greedy" if temperature == 0 else f"temperature {temperature:g}, seed {seed}"
    return _generated(model, prompts, growing, stopped, how)


class _Growing:
    """Prompts with what has been written behind them, and the interventions as they act on them."""

    def __init__(self, model: "TransformerBridge", prompts: PromptSet, listed: list[Intervention], new_tokens: int):
        self._model, self.first = model, prompts.lengths
        self.lengths = prompts.lengths.clone()
        self.tokens = torch.cat([prompts.tokens, prompts.tokens.new_zeros(len(prompts), new_tokens)], dim=1)
        if NEW in prompts.positions:
            raise PromptError(f"these prompts have a position {NEW}, which stands for the generated tokens here: choose another name")
        self._prompts = prompts
        start = self._as_prompts()
        lasting = [(i, Sites(site for site in i.sites if site.at in (None, NEW))) for i in listed]
        for intervention, sites in lasting:
            for site in sites:
                _check_can_last(intervention, site)
        # All at once, so that a site which is changed twice is found; of those at named positions these edits are kept.
        edits = edits_of(model, start, listed, capture_all(model, start, [listed]))
        self._fixed = [edit for edit in edits if edit.site.at not in (None, NEW)]
        self._lasting = [replace(i, sites=sites) for i, sites in lasting if sites and not isinstance(i, Put)]

    def next_logits(self, rows: list[int]) -> Float[np.ndarray, "row d_vocab"]:
        """Behind the last token of some of the prompts."""
        now = self._as_prompts()
        edits = [_widened(edit, now) for edit in self._fixed]
        edits += edits_of(self._model, now, self._lasting, capture_all(self._model, now, [self._lasting]))
        some = replace(now, counterfactual=None, reference=None)[rows]
        return to_numpy(record(self._model, some, changes=[edit.on(rows) for edit in edits], read=some.lengths - 1).logits)

    def add(self, rows: list[int], tokens: list[int]) -> None:
        """Write a token behind each of some of the prompts."""
        self.tokens[rows, self.lengths[rows]] = torch.tensor(tokens)
        self.lengths[rows] += 1

    def _as_prompts(self) -> PromptSet:
        width = int(self.lengths.max())
        places = torch.arange(width)
        new = (places >= self.first[:, None]) & (places < self.lengths[:, None])
        return replace(
            self._prompts,
            tokens=self.tokens[:, :width],
            lengths=self.lengths.clone(),
            spans={**self._prompts.spans, NEW: new},
            positions={**self._prompts.positions, NEW: self.lengths - 1},
        )


def _widened(edit: Edit, prompts: PromptSet) -> Edit:
    """An edit at places of the prompts, on the same prompts with more tokens behind them."""
    more = prompts.tokens.shape[1] - (0 if edit.cut is None else edit.cut.shape[1])
    return replace(
        edit,
        value=None if edit.value is None else fit_site(edit.value, edit.site, prompts),
        where=None if edit.where is None else prompts.span(str(edit.site.at)),
        cut=None if edit.cut is None else torch.nn.functional.pad(edit.cut, (0, more)),  # no query of the prompt sees what comes later
    )


def _check_can_last(intervention: Intervention, site: Site) -> None:
    lasting = isinstance(intervention, Steer | Scale | Sparsify | KnockOut)
    zero = isinstance(intervention, Ablate) and intervention.method == "zero"
    if (lasting or zero) and not (isinstance(intervention, Steer) and site.kind == "pattern"):
        return
    what = f"Ablate ({intervention.method})" if isinstance(intervention, Ablate) else type(intervention).__name__
    raise SiteError(
        f"{what} at {site.named} ({'the generated tokens' if site.at == NEW else 'every position'}) has nothing to put at tokens that are "
        f"yet to be generated: name a position or a span of the prompt ({replace(site, at='END').named}), where it then stays. Steer, "
        "Scale, Sparsify, KnockOut and zero Ablate act on new tokens too"
    )


def _checked(
    model: "TransformerBridge", prompts: PromptSet, new_tokens: int, temperature: float, stop: int | str | Sequence[int | str] | None
) -> set[int]:
    """The tokens that end a text, once all that was given has been found to fit."""
    if model.cfg.attention_dir != "causal":
        raise ModelError("this model reads both ways, and so writes no text: generate takes a decoder")
    reads, writes = model.cfg.d_vocab, getattr(model.cfg, "d_vocab_out", None) or -1
    if writes > 0 and writes != reads:
        raise ModelError(f"this model reads {reads} tokens and predicts {writes} others: what it writes, it cannot read again")
    if not isinstance(prompts, PromptSet):
        raise PromptError(f"generate writes behind a PromptSet, got {type(prompts).__name__}: PromptSet.from_text(model, texts) makes one")
    if isinstance(new_tokens, bool) or not isinstance(new_tokens, int) or new_tokens < 1:
        raise PromptError(f"new_tokens={new_tokens!r}: at least one token, as a whole number")
    if not (math.isfinite(temperature) and temperature >= 0):
        raise PromptError(f"temperature={temperature!r}: 0 for the most likely token, or a number above it")
    check_fits_once(model, prompts)
    longest, context = int(prompts.lengths.max()), context_of(model)
    if context is not None and longest + new_tokens > context:
        raise PromptError(
            f"a prompt of {longest} tokens and {new_tokens} new ones are {longest + new_tokens}, and this model sees {context} at most: "
            "generate fewer new_tokens, or shorten the prompts"
        )
    given = [] if stop is None else [stop] if isinstance(stop, int | str) else list(stop)
    words = [one for one in given if isinstance(one, str)]
    stops = {one for one in given if not isinstance(one, str)} | set(Reader(model).singles(words) if words else ())
    outside = [one for one in stops if isinstance(one, bool) or not isinstance(one, int) or not 0 <= one < model.cfg.d_vocab]
    if outside:
        raise PromptError(f"stop={outside[0]!r} is no token: this model has tokens 0-{model.cfg.d_vocab - 1}")
    return {int(one) for one in stops}


def _check_finite(logits: Float[np.ndarray, "row d_vocab"], prompts: PromptSet, rows: list[int], step: int) -> None:
    bad = ~np.isfinite(logits).all(1)
    if bad.any():
        row = rows[int(bad.argmax())]
        raise NonFiniteError(f"logits for new token {step + 1} of prompt {row} ({prompts.ids[row]}) are not finite: nothing can be chosen")


def _chosen(logits: Float[np.ndarray, "row d_vocab"], temperature: float, seeds: list[str]) -> list[int]:
    """A token for each row."""
    if temperature == 0:
        return [int(token) for token in logits.argmax(1)]
    with np.errstate(under="ignore", over="ignore"):
        weights = np.exp((logits - logits.max(1, keepdims=True)) / temperature)
    reached = weights.cumsum(1)
    drawn = [np.random.default_rng(seed_from(seed)).random() for seed in seeds]
    # The first token whose cumulative weight exceeds the draw, which one of weight 0 cannot be.
    below = [min(u * row[-1], np.nextafter(row[-1], 0.0)) for row, u in zip(reached, drawn, strict=True)]
    return [int(np.searchsorted(row, most, side="right")) for row, most in zip(reached, below, strict=True)]


def _generated(model: "TransformerBridge", prompts: PromptSet, growing: _Growing, stopped: list[Stop], how: str) -> Generated:
    lengths: Int[Tensor, " prompt"] = growing.lengths - growing.first
    new = growing.tokens.shape[1] - prompts.tokens.shape[1]
    tokens = np.full((len(prompts), new), _NO_TOKEN)
    for row, (first, length) in enumerate(zip(growing.first.tolist(), lengths.tolist(), strict=True)):
        tokens[row, :length] = growing.tokens[row, first : first + length].numpy()
    texts = () if model.tokenizer is None else tuple(
        model.tokenizer.decode(row[:length].tolist()) for row, length in zip(tokens, lengths.tolist(), strict=True)
    )  # fmt: skip
    answers, foils = prompts.answers.numpy().copy(), prompts.foils.numpy().copy()
    return Generated(tokens, lengths.numpy(), tuple(stopped), texts, prompts.ids, prompts.templates, answers, foils, how)
