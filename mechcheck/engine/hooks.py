"""The plain runner: one forward pass with hooks, always right, and sure that every requested hook fired."""

import inspect
import re
from collections import defaultdict
from collections.abc import Callable, Collection, Hashable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import lru_cache
from typing import TYPE_CHECKING, Any, NamedTuple
from weakref import WeakKeyDictionary

import torch
from jaxtyping import Float, Int
from torch import Tensor

from mechcheck.base.device import usual_torch
from mechcheck.base.errors import HookError
from mechcheck.base.modules import all_modules
from mechcheck.engine.along import Along
from mechcheck.engine.arithmetic.work import passed
from mechcheck.engine.edit import Edit, Rows, is_token, select, write_site
from mechcheck.engine.through import through, without_hook
from mechcheck.notation.limits import misfit, require_hooks, wrong_hook
from mechcheck.prompts.limits import check_fits_once
from mechcheck.prompts.prompt_set import END, PromptSet

if TYPE_CHECKING:
    from transformer_lens.model_bridge import TransformerBridge

# Bytes of logits that one batch may take; bounds memory where the vocabulary is large.
LOGIT_BYTES = 256 * 2**20

Reader = tuple[str, Callable[[Tensor, Rows], Tensor]]
"""Hook name, and what to keep of its activation: (activation of the batch, rows) -> [row, ...]."""


class Node(NamedTuple):
    """A hook's activation, as a place in a graph of gradients."""

    found: Tensor
    """As the hook's edits find it."""
    left: Tensor
    """As the model goes on with it."""


# Hooks that have been found in a model: they stay there.
_there: "WeakKeyDictionary[TransformerBridge, set[str]]" = WeakKeyDictionary()
_BEFORE_ALL = {"hook_embed", "hook_pos_embed"}
"""Hooks of no layer that fire before the first one does."""


class Recording(NamedTuple):
    """The outcome of a run."""

    logits: Float[Tensor, "prompt *read d_vocab"]
    """At END, or where they were asked for."""
    recorded: Mapping[Any, Tensor]
    """Reader's key -> what it kept, over all prompts."""


def record(
    model: "TransformerBridge",
    prompts: PromptSet,
    readers: Mapping[Any, Reader] | None = None,
    changes: Sequence[Edit] = (),
    read: Int[Tensor, "prompt read"] | None = None,
) -> Recording:
    """Run the prompts, apply the edits, and keep what the readers want.

    Args:
        model, prompts: what is run.
        readers: what to keep of hooks' activations.
        changes: the edits.
        read: positions whose logits are wanted; END where None.

    Raises:
        HookError: a requested hook does not exist in this model, or exists and did not fire.
        PromptError: the model lacks a token of the prompts, or sees fewer than they have.
    """
    check_fits_once(model, prompts)
    readers = readers or {}
    kept: dict[Hashable, list[Tensor]] = defaultdict(list)
    logits: list[Tensor] = []
    for rows in batches(model, prompts):
        at = rows.at(END) if read is None else read[rows.where]
        columns = logit_columns(model, at, rows.prompts.tokens.shape[1], readers)
        with torch.no_grad():
            out = forward(model, rows, readers, changes, kept, columns=columns)
        logits.append(select(out, at if columns is None else torch.searchsorted(columns, at.contiguous())))
    return Recording(torch.cat(logits), _joined(kept))


def read(model: "TransformerBridge", prompts: PromptSet, readers: Mapping[Any, Reader], changes: Sequence[Edit] = ()) -> dict[Any, Tensor]:
    """What the readers keep, of runs that end behind the last layer that they or the edits are in. Arguments and errors: as `record`."""
    check_fits_once(model, prompts)
    kept: dict[Hashable, list[Tensor]] = defaultdict(list)
    for rows in batches(model, prompts):
        with torch.no_grad():
            forward(model, rows, readers, changes, kept, to_the_end=False)
    return _joined(kept)


def _joined(kept: Mapping[Hashable, Sequence[Tensor]]) -> dict[Any, Tensor]:
    """What was kept of each batch, as of one."""
    return {key: torch.cat([*parts]) for key, parts in kept.items()}


def forward(
    model: "TransformerBridge",
    rows: Rows,
    readers: Mapping[Any, Reader],
    changes: Sequence[Edit],
    kept: dict[Hashable, list[Tensor]],
    nodes: dict[str, Node | None] | None = None,
    columns: Int[Tensor, " column"] | None = None,
    to_the_end: bool = True,
) -> Float[Tensor, "row column d_vocab"]:
    """One forward pass of one batch: its logits at every position, as `record` keeps them.

    Args:
        model, readers, changes: as in `record`.
        rows: the batch.
        kept: what the readers keep is added here.
        nodes: the keys are hooks whose activations are to be nodes of a graph of gradients, which begins with the first of them; each is
            put here as it comes. The caller has turned gradients on.
        columns: the positions whose logits are made, where the model can leave the others out; None: all.
        to_the_end: whether logits are wanted; what comes back is nobody's where they are not.
    """
    tokens = rows.prompts.tokens[rows.where].to(model.cfg.device)
    fired: set[str] = set()
    hooks = _hooks(model, rows, readers, changes, kept, fired, {} if nodes is None else nodes)
    check_exist(model, hooks)
    with as_loaded(model), model.hooks(fwd_hooks=list(hooks.items())):
        some: dict[str, Any] = {} if columns is None else {"logits_to_keep": columns.to(tokens.device)}
        if not to_the_end and (stop := _behind(hooks)) is not None and stop < model.cfg.n_layers:
            some["stop_at_layer"] = stop
        logits_at = tokens.shape[1] if columns is None else len(columns)
        made = 0 if "stop_at_layer" in some else logits_at
        passed(model, len(tokens), tokens.shape[1], made, some.get("stop_at_layer"), gradient=bool(nodes))
        out = model(tokens, **attention_mask(model, rows), **some)
    silent = sorted(set(hooks) - fired)
    if silent:
        raise HookError(f"these hooks did not fire on this architecture, so nothing was read or changed there: {', '.join(silent)}")
    return out


def logit_columns(
    model: "TransformerBridge", at: Int[Tensor, "row ..."], width: int, readers: Mapping[Any, Reader]
) -> Int[Tensor, " column"] | None:
    """The positions at which some row's logits are wanted, in order, for the model's `logits_to_keep`; None: all are made.

    A vocabulary is a third of what a forward pass of GPT-2 small costs. Most of transformers' causal models take these positions.

    Args:
        model: what is run.
        at: where each row's logits are wanted.
        width: the positions that there are.
        readers: what else is read in that run.
    """
    columns = at.unique()
    able = "logits_to_keep" in _asked_by(type(getattr(model, "original_model", model)).forward)
    shown = any(name.startswith("unembed") for name, _ in readers.values())
    return columns if able and not shown and len(columns) < width else None


@lru_cache
def _asked_by(forward: Callable) -> Collection[str]:
    """What a forward pass of this kind of model can be given."""
    return inspect.signature(forward).parameters


def _behind(hooks: Collection[str]) -> int | None:
    """The first layer behind all of these hooks; None where one of them is in no layer."""
    layers = [re.match(r"blocks\.(\d+)\.", name) for name in hooks if name not in _BEFORE_ALL]
    return 1 + max((int(found[1]) for found in layers if found), default=0) if all(layers) else None


@contextmanager
def as_loaded(model: "TransformerBridge") -> Iterator[None]:
    """Within it the model is in evaluation mode and torch as in a fresh process; afterwards all is as it was found."""
    own = getattr(model, "original_model", model)  # transformers' modules, of which a bridge shows only some as its own
    training = [module for module in all_modules(model, own) if module.training]
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


def _hooks(
    model: "TransformerBridge",
    rows: Rows,
    readers: Mapping[Any, Reader],
    changes: Sequence[Edit],
    kept: dict[Hashable, list[Tensor]],
    fired: set[str],
    nodes: dict[str, Node | None],
) -> dict[str, Callable]:
    """One function per hook: it changes first and reads afterwards, so a reader sees what the model goes on with."""
    by_name: dict[str, tuple[list[Edit], list[tuple[Hashable, Callable]]]] = defaultdict(lambda: ([], []))
    along = [change for change in changes if change.site.to is not None]
    changes = [change for change in changes if change.site.to is None]
    for change in changes:
        if not without_hook(change.site):
            by_name[change.site.hook_name][0].append(change)
    for key, (name, keep) in readers.items():
        by_name[name][1].append((key, keep))
    tracked = set(nodes)
    standing = through([change for change in changes if without_hook(change.site)], model, rows)
    if along:
        edges = Along(model, rows, along)
        for name in edges.names:
            standing.setdefault(name, []).append(edges)
    tokens = rows.prompts.tokens[rows.where].shape

    def make(name: str, todo: list[Edit], wanted: list[tuple[Hashable, Callable]]) -> Callable:
        there = standing.get(name, [])

        def hook(activation: Tensor, hook: Any) -> Tensor | None:
            if name in fired:
                raise HookError(f"{name} fired twice in one run")
            fired.add(name)
            wrong = misfit(model, name, activation, *tokens)
            if wrong is not None:
                raise wrong_hook(model, name, wrong)
            goes_on = bool(todo or there or name in tracked)
            changed = found = activation.clone() if goes_on else activation
            for one in there:
                changed = found = one.before(name, changed)
            if name in tracked:
                changed = found.requires_grad_().clone()
            for change in todo:
                write_site(changed, change, rows)
            for one in there:
                changed = one.after(name, changed)
            for key, keep in wanted:
                kept[key].append(keep(changed, rows))
            if name in tracked:
                nodes[name] = Node(found, changed)
            late = any(one.shown_late(name) for one in there)
            return changed if goes_on and not late else None

        return hook

    return {name: make(name, *by_name[name]) for name in {*by_name, *standing, *tracked}}


def check_exist(model: "TransformerBridge", names: Collection[str]) -> None:
    """Raise `HookError` for a hook that the model does not have, `SiteError` for one that holds something else than is meant."""
    require_hooks(model, names)
    seen = _there.setdefault(model, set())
    if not seen.issuperset(names):
        known = model.hook_dict  # assembled anew at each access
        missing = [name for name in names if name not in known]
        if missing:
            raise HookError(f"this architecture ({model.cfg.architecture}) has no hook {', '.join(missing)}")
        seen.update(names)


def batches(model: "TransformerBridge", prompts: PromptSet) -> Iterator[Rows]:
    """The prompts, as many at a time as their logits allow."""
    per_prompt = prompts.tokens.shape[1] * max(model.cfg.d_vocab, model.cfg.d_vocab_out) * 4
    size = max(1, LOGIT_BYTES // per_prompt)
    for start in range(0, len(prompts), size):
        yield Rows(prompts, slice(start, min(start + size, len(prompts))))
