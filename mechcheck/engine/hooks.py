"""The plain runner: one forward pass with hooks, always right, and sure that every requested hook fired."""

import itertools
from collections import defaultdict
from collections.abc import Callable, Collection, Hashable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from mechcheck.base.device import usual_torch
from mechcheck.base.errors import HookError
from mechcheck.notation.limits import misfit, require_hooks, wrong_hook
from mechcheck.notation.sites import HEAD_KINDS, Site
from mechcheck.prompts.limits import check_fits_once
from mechcheck.prompts.prompt_set import END, PromptSet

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
class Edit:
    """What becomes of a site's activation x in each prompt: keep * change(x[order]) + value."""

    site: Site
    value: Activation | None = None
    """None: zero."""
    keep: float = 0.0
    """0: the value replaces what was there; 1: it is added."""
    change: Callable[[Tensor], Tensor] | None = None
    """Applied to each component by itself."""
    order: Int[Tensor, "prompt pos"] | None = None
    """The position that each position's activation is taken from."""
    rows: Bool[Tensor, " prompt"] | None = None
    """The prompts it concerns; None: all."""
    start: Int[Tensor, " prompt"] | None = None
    """The first position whose activation can change in a causal model; None: the first of all, or the site's own."""

    def on(self, prompts: Sequence[int] | slice) -> "Edit":
        """The same edit on some of the prompts."""
        cut = {name: getattr(self, name) for name in ("value", "order", "rows", "start")}
        changed: dict[str, Any] = {name: None if tensor is None else tensor[prompts] for name, tensor in cut.items()}
        return replace(self, **changed)

    def new_value(self, old: Tensor, value: Tensor | None) -> Tensor:
        """The site's new activation, from the old one (in order) and the value, both cut to the same prompts and positions."""
        kept = 0.0 if self.keep == 0 else self.keep * (old if self.change is None else self.change(old))
        return kept + (torch.zeros_like(old) if value is None else value.to(old.device, old.dtype))


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
    changes: Sequence[Edit] = (),
) -> Recording:
    """Run the prompts, apply the edits, and keep what the readers want.

    Raises:
        HookError: a requested hook does not exist in this model, or exists and did not fire.
        PromptError: the model lacks a token of the prompts, or sees fewer than they have.
    """
    check_fits_once(model, prompts)
    readers = readers or {}
    kept: dict[Hashable, list[Tensor]] = defaultdict(list)
    logits: list[Tensor] = []
    for rows in _batches(model, prompts):
        tokens = prompts.tokens[rows.where].to(model.cfg.device)
        fired: set[str] = set()
        hooks = _hooks(model, rows, readers, changes, kept, fired)
        check_exist(model, hooks)
        with torch.no_grad(), as_loaded(model), model.hooks(fwd_hooks=list(hooks.items())):
            out = model(tokens, **attention_mask(model, rows))
        silent = sorted(set(hooks) - fired)
        if silent:
            raise HookError(f"these hooks did not fire on this architecture, so nothing was read or changed there: {', '.join(silent)}")
        logits.append(select(out, rows.at(END)))
    return Recording(torch.cat(logits), {key: torch.cat(parts) for key, parts in kept.items()})


@contextmanager
def as_loaded(model: "TransformerBridge") -> Iterator[None]:
    """Within it the model is in evaluation mode and torch as in a fresh process; afterwards all is as it was found."""
    own = getattr(model, "original_model", model)  # transformers' modules, of which a bridge shows only some as its own
    training = [module for module in itertools.chain(model.modules(), own.modules()) if module.training]
    with usual_torch():
        try:
            for module in training:
                module.training = False
            yield
        finally:
            for module in training:
                module.training = True


def attention_mask(model: "TransformerBridge", rows: Rows) -> dict[str, Tensor]:
    """A causal model cannot see padding on the right; one that reads in both directions must be told of it."""
    return {} if model.cfg.attention_dir == "causal" else {"attention_mask": is_token(rows).long().to(model.cfg.device)}


def is_token(rows: Rows) -> Bool[Tensor, "row pos"]:
    """True where a token stands, False on padding."""
    return torch.arange(rows.prompts.tokens.shape[1]) < rows.prompts.lengths[rows.where, None]


def read_site(activation: Tensor, site: Site, rows: Rows) -> Tensor:
    """A site's part of its hook's activation: [row, d] at a named position, [row, pos, d] at every position."""
    part = part_of(activation, site)
    return part.clone() if site.at is None else select(part, rows.at(site.at))


def part_of(activation: Tensor, site: Site) -> Tensor:
    """A view of the site's columns of its hook's activation, [row, pos, d]."""
    if site.kind in HEAD_KINDS:
        return activation[:, :, site.index]
    if site.kind == "neuron":
        assert site.index is not None
        return activation[:, :, site.index : site.index + 1]
    return activation


def select(activation: Tensor, positions: Tensor) -> Tensor:
    """[row, pos, ...] -> [row, ...], one position per row."""
    return activation[torch.arange(len(activation), device=activation.device), positions.to(activation.device)]


def _write_site(activation: Tensor, edit: Edit, rows: Rows) -> None:
    """Put a site's new value into its hook's activation, in place."""
    part = part_of(activation, edit.site)
    row = torch.arange(len(part), device=part.device)
    concerned = row if edit.rows is None else row[edit.rows[rows.where].to(part.device)]
    where = (concerned,) if edit.site.at is None else (concerned, rows.at(edit.site.at).to(part.device)[concerned])
    value = None if edit.value is None else edit.value[rows.where].to(part)[concerned]
    old = part
    if edit.order is not None:
        old = part[row[:, None], edit.order[rows.where].to(part.device)]
    part[where] = edit.new_value(old[where], value)


def _hooks(
    model: "TransformerBridge",
    rows: Rows,
    readers: Mapping[Any, Reader],
    changes: Sequence[Edit],
    kept: dict[Hashable, list[Tensor]],
    fired: set[str],
) -> dict[str, Callable]:
    """One function per hook: it changes first and reads afterwards, so a reader sees what the model goes on with."""
    by_name: dict[str, tuple[list[Edit], list[tuple[Hashable, Callable]]]] = defaultdict(lambda: ([], []))
    for change in changes:
        by_name[change.site.hook_name][0].append(change)
    for key, (name, keep) in readers.items():
        by_name[name][1].append((key, keep))

    tokens = rows.prompts.tokens[rows.where].shape

    def make(name: str, todo: list[Edit], wanted: list[tuple[Hashable, Callable]]) -> Callable:
        def hook(activation: Tensor, hook: Any) -> Tensor | None:
            if name in fired:
                raise HookError(f"{name} fired twice in one run")
            fired.add(name)
            wrong = misfit(model, name, activation, *tokens)
            if wrong is not None:
                raise wrong_hook(model, name, wrong)
            changed = activation.clone() if todo else activation
            for change in todo:
                _write_site(changed, change, rows)
            for key, keep in wanted:
                kept[key].append(keep(changed, rows))
            return changed if todo else None

        return hook

    return {name: make(name, todo, wanted) for name, (todo, wanted) in by_name.items()}


def check_exist(model: "TransformerBridge", names: Collection[str]) -> None:
    """Raise `HookError` for a hook that the model does not have, `SiteError` for one that holds something else than is meant."""
    require_hooks(model, names)
    known = model.hook_dict  # assembled anew at each access
    missing = [name for name in names if name not in known]
    if missing:
        raise HookError(f"this architecture ({model.cfg.architecture}) has no hook {', '.join(missing)}")


def _batches(model: "TransformerBridge", prompts: PromptSet) -> Iterator[Rows]:
    per_prompt = prompts.tokens.shape[1] * max(model.cfg.d_vocab, model.cfg.d_vocab_out) * 4
    size = max(1, LOGIT_BYTES // per_prompt)
    for start in range(0, len(prompts), size):
        yield Rows(prompts, slice(start, min(start + size, len(prompts))))
