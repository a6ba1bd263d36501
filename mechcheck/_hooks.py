"""The plain runner: one forward pass with hooks, always right, and sure that every requested hook fired."""

from collections import defaultdict
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from mechcheck._errors import HookError
from mechcheck._prompts import END, PromptSet
from mechcheck._sites import Site

if TYPE_CHECKING:
    from transformer_lens.model_bridge import TransformerBridge

# Bytes of logits that one batch may take; bounds memory where the vocabulary is large.
LOGIT_BYTES = 256 * 2**20


class Rows(NamedTuple):
    """The prompts of one batch."""

    prompts: PromptSet
    where: slice
    """Which prompts of the whole set these are."""

    def at(self, name: str) -> Tensor:
        """A named position, for the prompts of the batch."""
        return self.prompts.position(name)[self.where]


Activation = Float[Tensor, "prompt ... d"]
"""[prompt, d] at a named position, [prompt, pos, d] at every position; d is d_head, d_model, or 1 for a neuron."""


@dataclass(frozen=True)
class Replacement:
    """The value that a site gets in each prompt."""

    site: Site
    value: Activation | None
    """None: zero."""


Reader = tuple[str, Callable[[Tensor, Rows], Tensor]]
"""Hook name, and what to keep of its activation: (activation of the batch, rows) -> [row, ...]."""


class Recording(NamedTuple):
    """The outcome of a run."""

    logits: Float[Tensor, "prompt d_vocab"]
    """At END."""
    recorded: Mapping[Any, Tensor]
    """Reader's key -> what it kept, over all prompts."""


def record(
    model: "TransformerBridge",
    prompts: PromptSet,
    readers: Mapping[Any, Reader] | None = None,
    changes: Sequence[Replacement] = (),
) -> Recording:
    """Run the prompts, apply the replacements, and keep what the readers want.

    Raises:
        HookError: a requested hook does not exist in this model, or exists and did not fire.
    """
    readers = readers or {}
    kept: dict[Hashable, list[Tensor]] = defaultdict(list)
    logits: list[Tensor] = []
    for rows in _batches(model, prompts):
        tokens = prompts.tokens[rows.where].to(model.cfg.device)
        fired: set[str] = set()
        hooks = _hooks(rows, readers, changes, kept, fired)
        _check_exist(model, hooks)
        with torch.no_grad(), model.hooks(fwd_hooks=list(hooks.items())):
            out = model(tokens, **_mask(model, rows))
        silent = sorted(set(hooks) - fired)
        if silent:
            raise HookError(f"these hooks did not fire on this architecture, so nothing was read or changed there: {', '.join(silent)}")
        logits.append(_select(out, rows.at(END)))
    return Recording(torch.cat(logits), {key: torch.cat(parts) for key, parts in kept.items()})


def _mask(model: "TransformerBridge", rows: Rows) -> dict[str, Tensor]:
    """A causal model cannot see padding on the right; one that reads in both directions must be told of it."""
    if model.cfg.attention_dir == "causal":
        return {}
    lengths = rows.prompts.lengths[rows.where, None]
    real = torch.arange(rows.prompts.tokens.shape[1])[None] < lengths
    return {"attention_mask": real.long().to(model.cfg.device)}


def read_site(activation: Tensor, site: Site, rows: Rows) -> Tensor:
    """A site's part of its hook's activation: [row, d] at a named position, [row, pos, d] at every position."""
    if site.kind == "head":
        activation = activation[:, :, site.index]
    elif site.kind == "neuron":
        assert site.index is not None
        activation = activation[:, :, site.index : site.index + 1]
    return activation.clone() if site.at is None else _select(activation, rows.at(site.at))


def _select(activation: Tensor, positions: Tensor) -> Tensor:
    """[row, pos, ...] -> [row, ...], one position per row."""
    return activation[torch.arange(len(activation), device=activation.device), positions.to(activation.device)]


def _write_site(activation: Tensor, change: Replacement, rows: Rows) -> None:
    """Put a site's new value into its hook's activation, in place."""
    site = change.site
    part = activation
    if site.kind == "head":
        part = activation[:, :, site.index]
    elif site.kind == "neuron":
        assert site.index is not None
        part = activation[:, :, site.index : site.index + 1]
    value = None if change.value is None else change.value[rows.where].to(part.device, part.dtype)
    if site.at is None:
        part.copy_(torch.zeros_like(part) if value is None else value)
    else:
        where = (torch.arange(len(part), device=part.device), rows.at(site.at).to(part.device))
        part[where] = 0.0 if value is None else value


def _hooks(
    rows: Rows,
    readers: Mapping[Any, Reader],
    changes: Sequence[Replacement],
    kept: dict[Hashable, list[Tensor]],
    fired: set[str],
) -> dict[str, Callable]:
    """One function per hook: it changes first and reads afterwards, so a reader sees what the model goes on with."""
    by_name: dict[str, tuple[list[Replacement], list[tuple[Hashable, Callable]]]] = defaultdict(lambda: ([], []))
    for change in changes:
        by_name[change.site.hook_name][0].append(change)
    for key, (name, keep) in readers.items():
        by_name[name][1].append((key, keep))

    def make(name: str, todo: list[Replacement], wanted: list[tuple[Hashable, Callable]]) -> Callable:
        def hook(activation: Tensor, hook: Any) -> Tensor | None:
            if name in fired:
                raise HookError(f"{name} fired twice in one run")
            fired.add(name)
            changed = activation.clone() if todo else activation
            for change in todo:
                _write_site(changed, change, rows)
            for key, keep in wanted:
                kept[key].append(keep(changed, rows))
            return changed if todo else None

        return hook

    return {name: make(name, todo, wanted) for name, (todo, wanted) in by_name.items()}


def _check_exist(model: "TransformerBridge", names: Mapping[str, object]) -> None:
    missing = [name for name in names if name not in model.hook_dict]
    if missing:
        raise HookError(f"this architecture ({model.cfg.architecture}) has no hook {', '.join(missing)}")


def _batches(model: "TransformerBridge", prompts: PromptSet) -> Iterator[Rows]:
    per_prompt = prompts.tokens.shape[1] * model.cfg.d_vocab * 4
    size = max(1, LOGIT_BYTES // per_prompt)
    for start in range(0, len(prompts), size):
        yield Rows(prompts, slice(start, min(start + size, len(prompts))))
