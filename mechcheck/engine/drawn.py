"""What mean and resample ablation draw from other prompts, and activations brought to the width of theirs."""

from collections import defaultdict
from collections.abc import Sequence

import torch
from jaxtyping import Float, Int
from torch import Tensor

from mechcheck.base.errors import PromptError
from mechcheck.engine.edit import Activation
from mechcheck.notation.sites import Site
from mechcheck.prompts.prompt_set import PromptSet


def mean_of(activation: Activation, site: Site, source: PromptSet, prompts: PromptSet) -> Activation:
    """Mean over the source: all prompts at a named position, by template (and position) at every position.

    Where an answer was put behind the prompts, the mean at one of its tokens is that over the prompts which have a token there.

    Raises:
        PromptError: too few prompts, or the same one again and again.
    """
    own = source.tokens.masked_fill(~source.own, -1)
    if not (own != own[0]).any():
        raise PromptError(
            f"mean ablation of {site.named} over {'one prompt' if len(source) == 1 else 'prompts that are all the same'} puts in that "
            "prompt's own activation, not a mean: give a reference of several prompts, or use "
            'Ablate(sites, "zero"), or "resample" with a reference'
        )
    if not prompts.several(site.at) and site.kind != "pattern":  # a pattern's components are positions
        return activation.mean(0, keepdim=True).expand(len(prompts), *activation.shape[1:])
    rows: dict[tuple[str, int], list[int]] = defaultdict(list)
    for row, key in enumerate(zip(source.templates, source.own_lengths.tolist(), strict=True)):
        rows[key].append(row)
    means = {key: activation[found].mean(0) for key, found in rows.items() if len(found) > 1}
    keys = list(zip(prompts.templates, prompts.own_lengths.tolist(), strict=True))
    lacking = sorted({template for template, length in keys if (template, length) not in means})
    if lacking:
        raise PromptError(
            f"mean ablation at every position needs at least 2 reference prompts of each template and length; too few for "
            f"{', '.join(lacking[:3])}{' ...' if len(lacking) > 3 else ''}. Name a position (@END), give a larger reference, or use "
            '"zero", or "resample" with a reference'
        )
    if source.appended is not None and prompts.several(site.at):
        there = torch.arange(activation.shape[1]) < source.lengths[:, None]
        counts = {key: there[rows[key]].sum(0) for key in means}
        if site.at is None:
            _check_enough(counts, keys, prompts)
        means = {key: _mean_where(activation[rows[key]], there[rows[key]], counts[key]) for key in means}
    return fit_site(torch.stack([means[key] for key in keys]), site, prompts)


def _mean_where(activation: Activation, there: Tensor, counts: Int[Tensor, " pos"]) -> Activation:
    """The mean at each position over the prompts that have a token there."""
    shape = (-1, *[1] * (activation.ndim - 2))
    kept = activation.masked_fill(~there.to(activation.device).view(len(there), *shape), 0.0)
    return kept.sum(0) / counts.clamp(min=1).to(activation.device).view(shape)


def _check_enough(counts: dict[tuple[str, int], Int[Tensor, " pos"]], keys: Sequence[tuple[str, int]], prompts: PromptSet) -> None:
    for row, (key, length) in enumerate(zip(keys, prompts.lengths.tolist(), strict=True)):
        if len(counts[key]) < length or bool((counts[key][:length] < 2).any()):
            raise PromptError(
                f"mean ablation at every position needs at least 2 reference prompts with as many tokens of their answers; the answer of "
                f'prompt {row} has more than others of {key[0]!r}. Name a position (@END), or use "zero", or "resample"'
            )


def fit_site(value: Activation, site: Site, prompts: PromptSet) -> Activation:
    """A site's activation, on prompts that are padded to another width: at a named position it is the same, but for a pattern's keys."""
    width = prompts.tokens.shape[1]
    if prompts.several(site.at):
        value = fit(value, width)
    return fit(value.transpose(1, -1), width).transpose(1, -1) if site.kind == "pattern" else value


def fit(value: Float[Tensor, "prompt pos d"], width: int) -> Float[Tensor, "prompt width d"]:
    """Cut or zero-fill the padding positions, which no real position can see."""
    lacking = width - value.shape[1]
    if lacking <= 0:
        return value[:, :width]
    return torch.cat([value, value.new_zeros(len(value), lacking, *value.shape[2:])], dim=1)


def partners(prompts: PromptSet, seed: int) -> list[int]:
    """For each prompt another one of the same template and length: a seeded cycle, so none keeps its own.

    Raises:
        PromptError: a prompt that has no other.
    """
    rows: dict[tuple[str, int], list[int]] = defaultdict(list)
    for row, key in enumerate(zip(prompts.templates, prompts.lengths.tolist(), strict=True)):
        rows[key].append(row)
    lonely = [template for (template, _), found in rows.items() if len(found) < 2]
    if lonely:
        raise PromptError(
            f"resample ablation needs another prompt of each template and length; {lonely[0]!r} has one only: give a reference, or use "
            '"zero"'
        )
    generator = torch.Generator().manual_seed(seed)
    chosen = [0] * len(prompts)
    for found in rows.values():
        order = [found[i] for i in torch.randperm(len(found), generator=generator)]
        for row, other in zip(order, order[1:] + order[:1], strict=True):
            chosen[row] = other
    return chosen
