"""Distributed alignment search: the subspace whose interchange gives the expected answers (Geiger et al. 2023, arXiv:2303.02536).

What it finds is no evidence by itself: much of it is found for arbitrary labels too (Arora et al. 2024, arXiv:2402.12560), and with maps
that are not linear in networks of random weights (Sutter et al. 2025, arXiv:2507.08802).
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from functools import partial
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.nn import Parameter
from torch.nn import functional as F

from mechcheck.base.device import exact, usual_torch
from mechcheck.base.errors import MechcheckError, SiteError
from mechcheck.engine.arithmetic.work import passed
from mechcheck.engine.edit import part_of
from mechcheck.engine.hooks import LOGIT_BYTES, as_loaded, logit_columns
from mechcheck.engine.run import capture
from mechcheck.engine.through import without_hook
from mechcheck.measures.subspaces.fitting import FittedSubspace, check_dim, fitted
from mechcheck.measures.subspaces.interchange import interchanges, whole_of
from mechcheck.measures.subspaces.pairs import Pairs, Tokens, pairs_of, single
from mechcheck.notation.codes import subspace
from mechcheck.notation.interventions import Patch
from mechcheck.notation.limits import require_prediction
from mechcheck.notation.site_checks import check_sites
from mechcheck.notation.sites import HEAD_KINDS, Site, Sites
from mechcheck.prompts.prompt_set import END, PromptSet

if TYPE_CHECKING:
    from transformer_lens.model_bridge import TransformerBridge


@usual_torch()
def das(
    model: "TransformerBridge", prompts: PromptSet, site: Sites, dim: int = 1, *,
    source: PromptSet | None = None, expected: Tokens | None = None,
    epochs: int = 20, batch: int = 64, rate: float = 1e-2, seed: int = 0,
) -> FittedSubspace:  # fmt: skip
    """Train a subspace until exchanging it with the source gives the expected tokens, by TransformerLens' `fit_das`.

    It descends the cross-entropy between the expected token and its rival; the model is left as it is. Train on pairs of which some
    keep the answer, where the prompts allow it: else the subspace may hold whatever the pairs move together. See `subspace_controls`.

    Args:
        model: from `load_model`.
        prompts: the bases that it is fitted on; keep others to verify it.
        site: one site at one named position: a head's output, its keys or values, a stream, an MLP's output or hidden activation.
        dim: of the subspace.
        source, expected: as in `interchange`.
        epochs: passes over the pairs.
        batch: pairs per step.
        rate: Adam's learning rate.
        seed: of the first basis and of the order of the pairs.

    Raises:
        PromptError: as in `interchange`. SiteError: no such site, or one at which nothing can be trained.
        MechcheckError: a dimension that is none.
    """
    pairs = pairs_of(prompts, source, expected)
    for name, number in (("epochs", epochs), ("batch", batch)):
        if number < 1:
            raise MechcheckError(f"{name}={number}: at least 1")
    return _das(model, None, pairs=pairs, given=prompts, at=site, dim=dim, epochs=epochs, batch=batch, rate=rate, seed=seed)


def _das(
    model: "TransformerBridge", arbitrary: int | None, *,
    pairs: Pairs, given: PromptSet, at: Sites, dim: int, epochs: int, batch: int, rate: float, seed: int,
) -> FittedSubspace:  # fmt: skip
    from transformer_lens.tools.analysis.interchange import arbitrary_targets, fit_das

    require_prediction(model)
    place = single(at, pairs.base)
    assert place.at is not None
    if without_hook(place):
        raise SiteError(f"no subspace can be trained at {place.named}: name a head, a stream that enters or leaves a layer, or its MLP")
    check_sites(model, at)
    check_dim(model, place, dim)
    x = torch.cat(
        [exact(capture(model, some, at)[place]).cpu() for some in pairs]
    )  # which also tells whether the hook is what it should be
    n, (tokens, lengths) = len(pairs.base), _together(pairs)
    targets = torch.ones(n, dtype=torch.long)
    if arbitrary is not None:
        targets = arbitrary_targets([tuple(row) for row in tokens[n:].tolist()], 2, arbitrary)
    ends, said = (torch.cat([found(some) for some in pairs]) for found in (_end, _said))

    def compared(rows: Tensor) -> Tensor:
        """Logits of what the base says, and of what it is expected to say, at END."""
        seen = {} if model.cfg.attention_dir == "causal" else {"attention_mask": _mask(tokens, lengths, rows).to(model.cfg.device)}
        columns, width = logit_columns(model, ends[rows], tokens.shape[1], {}), tokens.shape[1]
        some = {} if columns is None else {"logits_to_keep": columns.to(model.cfg.device)}
        passed(model, len(rows), width, width if columns is None else len(columns), gradient=torch.is_grad_enabled())
        logits = model(tokens[rows].to(model.cfg.device), **seen, **some)
        end = ends[rows] if columns is None else torch.searchsorted(columns, ends[rows])
        at_end = logits[torch.arange(len(rows), device=logits.device), end.to(logits.device)]
        return at_end.gather(1, said[rows].to(logits.device)).float()

    per_prompt = tokens.shape[1] * max(model.cfg.d_vocab, model.cfg.d_vocab_out) * 4
    with as_loaded(model), torch.enable_grad():
        found = fit_das(
            _Place(model, place), place.hook_name, torch.arange(n), torch.arange(n, 2 * n), targets, compared, rank=dim,
            base_positions=pairs.base.position(place.at), source_positions=pairs.source.position(place.at),
            epochs=epochs, batch_size=batch, lr=rate, seed=seed, micro_batch_size=max(1, min(batch, LOGIT_BYTES // per_prompt)),
        )  # fmt: skip
    basis = subspace(found.basis.T).basis
    done = interchanges(model, pairs, [[Patch(at.within(subspace(basis)), pairs.source)]], whole_of(at))[0]
    return fitted(
        place, "das", basis, (given, pairs.source), x, in_sample=done.accuracy.mean, losses=found.losses,
        again=partial(_das, pairs=pairs, given=given, at=at, dim=dim, epochs=epochs, batch=batch, rate=rate, seed=seed),
    )  # fmt: skip


class _Place:
    """A model as `fit_das` wants one: its hook shows one site's part of an activation, [prompt, pos, d]."""

    def __init__(self, model: "TransformerBridge", site: Site) -> None:
        self._model, self._site = model, site

    def parameters(self) -> Iterator[Parameter]:
        """The model's, which are frozen meanwhile."""
        return self._model.parameters()

    def requires_grad_(self, wanted: bool) -> None:
        """Freeze them."""
        self._model.requires_grad_(wanted)

    def hooks(self, fwd_hooks: Sequence[tuple[str, Callable]]) -> AbstractContextManager:
        """The hooks, each of which sees the site's part, and puts another in its place."""
        return self._model.hooks(fwd_hooks=[(name, partial(self._on_part, change)) for name, change in fwd_hooks])

    def _on_part(self, change: Callable, activation: Tensor, hook: Any) -> Tensor | None:
        new = change(part_of(activation, self._site), hook)
        if new is None or self._site.kind not in HEAD_KINDS:
            return new
        whole = activation.clone()
        whole[:, :, self._site.index] = new
        return whole


def _together(pairs: Pairs) -> tuple[Tensor, Tensor]:
    """Tokens of bases and sources, padded to one width, and their lengths."""
    width = max(some.tokens.shape[1] for some in pairs)
    tokens = torch.cat([F.pad(some.tokens, (0, width - some.tokens.shape[1])) for some in pairs])
    return tokens, torch.cat([some.lengths for some in pairs])


def _mask(tokens: Tensor, lengths: Tensor, rows: Tensor) -> Tensor:
    return (torch.arange(tokens.shape[1]) < lengths[rows, None]).long()


def _end(prompts: PromptSet) -> Tensor:
    return prompts.position(END)


def _said(prompts: PromptSet) -> Tensor:
    return torch.stack([prompts.answers, prompts.foils], dim=1)
