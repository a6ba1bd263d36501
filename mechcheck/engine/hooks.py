"""The plain runner: one forward pass with hooks, always right, and sure that every requested hook fired."""

from collections import defaultdict
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from mechcheck.base.errors import HookError
from mechcheck.notation.sites import HEAD_KINDS, Site
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
    where: Bool[Tensor, "prompt pos"] | None = None
    """The positions of a site that names a span; the value is then one of every position."""
    cut: Bool[Tensor, "prompt key"] | None = None
    """Of a pattern: the keys that are not attended to; what is left is shared out among the others."""
    start: Int[Tensor, " prompt"] | None = None
    """The first position whose activation can change in a causal model; None: the first of all, or the site's own."""

    @property
    def single(self) -> bool:
        """Whether it concerns one position of each prompt."""
        return self.site.at is not None and self.where is None

    def on(self, prompts: Sequence[int] | slice) -> "Edit":
        """The same edit on some of the prompts."""
        cut = {name: getattr(self, name) for name in ("value", "order", "rows", "where", "cut", "start")}
        changed: dict[str, Any] = {name: None if tensor is None else tensor[prompts] for name, tensor in cut.items()}
        return replace(self, **changed)

    def new_value(self, old: Tensor, value: Tensor | None, cut: Tensor | None = None) -> Tensor:
        """The site's new activation, from the old one (in order) and the value, both cut to the same prompts and positions."""
        if cut is not None:
            left = old.masked_fill(cut, 0.0)
            total = left.sum(-1, keepdim=True)
            return torch.where(total > 0, left / total, 0.0)
        kept = 0.0 if self.keep == 0 else self.keep * (old if self.change is None else self.change(old))
        return kept + (torch.zeros_like(old) if value is None else value.to(old.device, old.dtype))


Reader = tuple[str, Callable[[Tensor, Rows], Tensor]]
"""Hook name, and what to keep of its activation: (activation of the batch, rows) -> [row, ...]."""


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
    """
    readers = readers or {}
    kept: dict[Hashable, list[Tensor]] = defaultdict(list)
    logits: list[Tensor] = []
    for rows in _batches(model, prompts):
        tokens = prompts.tokens[rows.where].to(model.cfg.device)
        fired: set[str] = set()
        hooks = _hooks(model, rows, readers, changes, kept, fired)
        check_exist(model, hooks)
        with torch.no_grad(), model.hooks(fwd_hooks=list(hooks.items())):
            out = model(tokens, **attention_mask(model, rows))
        silent = sorted(set(hooks) - fired)
        if silent:
            raise HookError(f"these hooks did not fire on this architecture, so nothing was read or changed there: {', '.join(silent)}")
        logits.append(select(out, rows.at(END) if read is None else read[rows.where]))
    return Recording(torch.cat(logits), {key: torch.cat(parts) for key, parts in kept.items()})


def attention_mask(model: "TransformerBridge", rows: Rows) -> dict[str, Tensor]:
    """A causal model cannot see padding on the right; one that reads in both directions must be told of it."""
    return {} if model.cfg.attention_dir == "causal" else {"attention_mask": is_token(rows).long().to(model.cfg.device)}


def is_token(rows: Rows) -> Bool[Tensor, "row pos"]:
    """True where a token stands, False on padding."""
    return torch.arange(rows.prompts.tokens.shape[1]) < rows.prompts.lengths[rows.where, None]


def read_site(activation: Tensor, site: Site, rows: Rows) -> Tensor:
    """A site's part of its hook's activation: [row, d] at a named position, [row, pos, d] at every position."""
    part = part_of(activation, site)
    if site.at is None or rows.prompts.several(site.at):
        return part.clone()
    return select(part, rows.at(site.at))


def part_of(activation: Tensor, site: Site) -> Tensor:
    """A view of the site's columns of its hook's activation, [row, pos, d]; of a pattern, [row, query, key]."""
    if site.kind in HEAD_KINDS:
        return activation[:, :, site.index]
    if site.kind == "pattern":
        return activation[:, site.index]
    if site.kind == "neuron":
        assert site.index is not None
        return activation[:, :, site.index : site.index + 1]
    return activation


def select(activation: Tensor, positions: Tensor) -> Tensor:
    """[row, pos, ...] -> [row, ...], one position per row; [row, read, ...] where several are given for each."""
    row = torch.arange(len(activation), device=activation.device)
    return activation[row.view(-1, *[1] * (positions.ndim - 1)), positions.to(activation.device)]


def write_site(activation: Tensor, edit: Edit, rows: Rows) -> None:
    """Put a site's new value into its hook's activation, in place."""
    part = part_of(activation, edit.site)
    row = torch.arange(len(part), device=part.device)
    concerned = row if edit.rows is None else row[edit.rows[rows.where].to(part.device)]
    where: tuple[Tensor, ...] = (concerned,)
    if edit.single:
        assert edit.site.at is not None
        where = (concerned, rows.at(edit.site.at).to(part.device)[concerned])
    value = None if edit.value is None else edit.value[rows.where].to(part)[concerned]
    old = part
    if edit.order is not None:
        old = part[row[:, None], edit.order[rows.where].to(part.device)]
    cut = None if edit.cut is None else edit.cut[rows.where].to(part.device)[concerned]
    if cut is not None and not edit.single:
        cut = cut[:, None]
    new = edit.new_value(old[where], value, cut)
    if edit.where is not None:
        new = torch.where(edit.where[rows.where].to(part.device)[concerned][..., None], new, part[where])
    part[where] = new


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
    replaced: dict[int, Patterns] = {}
    for change in changes:
        by_name[change.site.hook_name][0].append(change)
        if change.site.kind == "pattern":
            replaced.setdefault(change.site.layer, Patterns(model, rows, change.site.layer)).edits.append(change)
    for key, (name, keep) in readers.items():
        by_name[name][1].append((key, keep))
    through = {name: of for of in replaced.values() for name in of.names}
    for name in through:
        by_name[name]

    def make(name: str, todo: list[Edit], wanted: list[tuple[Hashable, Callable]]) -> Callable:
        patterns = through.get(name)

        def hook(activation: Tensor, hook: Any) -> Tensor | None:
            if name in fired:
                raise HookError(f"{name} fired twice in one run")
            fired.add(name)
            changed = activation.clone() if todo or patterns else activation
            if patterns is not None:
                changed = patterns.before(name, changed)
            for change in todo:
                write_site(changed, change, rows)
            if patterns is not None:
                patterns.after(name, changed)
            for key, keep in wanted:
                kept[key].append(keep(changed, rows))
            late = patterns is not None and patterns.used and name.endswith("hook_pattern")  # for readers alone
            return changed if (todo or patterns) and not late else None

        return hook

    return {name: make(name, todo, wanted) for name, (todo, wanted) in by_name.items()}


class Patterns:
    """What a layer's heads say once their patterns have been edited: pattern @ values, put where the heads write.

    An architecture may show a pattern without going on with what a hook makes of it, or only when it has been used already (then it is
    computed from queries and keys); so the outcome is put in, and what the layer said by itself is compared with it first.
    """

    def __init__(self, model: "TransformerBridge", rows: Rows, layer: int) -> None:
        self.edits: list[Edit] = []
        self._model, self._rows, self._layer = model, rows, layer
        self._known: dict[str, Tensor] = {}
        self._own: Tensor | None = None
        self.used = False
        """Whether the heads have written already."""

    @property
    def names(self) -> list[str]:
        """The hooks that it needs."""
        return [f"blocks.{self._layer}.attn.hook_{part}" for part in ("q", "k", "v", "pattern", "z")]

    def before(self, name: str, activation: Tensor) -> Tensor:
        """What the layer's edits of this hook are to find there."""
        if name.endswith("hook_pattern"):
            self._own = activation.clone()
        return self._said(activation) if name.endswith("hook_z") else activation

    def after(self, name: str, activation: Tensor) -> None:
        """Remember what has become of an activation."""
        self._known[name.rpartition("_")[2]] = activation

    def _said(self, z: Float[Tensor, "row pos head d_head"]) -> Float[Tensor, "row pos head d_head"]:
        own, changed = self._own, self._known.get("pattern")
        if own is None or changed is None:
            own = self._computed()
            changed = own.clone()
            for edit in self.edits:
                write_site(changed, edit, self._rows)
        self.used, v = True, self._known["v"]
        v = v.repeat_interleave(z.shape[2] // v.shape[2], dim=2)
        heads = sorted({edit.site.index for edit in self.edits if edit.site.index is not None})
        found, by_itself = (torch.einsum("bhqk,bkhd->bqhd", x[:, heads].to(v.dtype), v[:, :, heads]) for x in (changed, own))
        real = is_token(self._rows).to(z.device)[:, :, None, None]
        gap = min(float(((z[:, :, heads] - some) * real).abs().max()) for some in (found, by_itself))
        if not gap <= _CLOSE[z.dtype] * max(1.0, float(z.abs().max())):
            raise HookError(
                f"what the heads of layer {self._layer} write is not their pattern times their values in this architecture "
                f"({self._model.cfg.architecture}; they differ by {gap:.2g}), so patterns cannot be changed"
            )
        z[:, :, heads] = found
        return z

    def _computed(self) -> Float[Tensor, "row head query key"]:
        """The pattern of an architecture that shows it too late: one that reads in both directions and knows positions from the stream."""
        if self._model.cfg.attention_dir == "causal":
            raise HookError(f"{self._model.cfg.architecture} shows its patterns when they have been used, so they cannot be changed")
        q, k = (self._known[name] for name in ("q", "k"))
        k = k.repeat_interleave(q.shape[2] // k.shape[2], dim=2)
        scores = torch.einsum("bqhd,bkhd->bhqk", q, k) * q.shape[-1] ** -0.5
        return scores.masked_fill(~is_token(self._rows).to(q.device)[:, None, None], -torch.inf).softmax(-1)


_CLOSE = {torch.float64: 1e-4, torch.float32: 1e-4, torch.bfloat16: 0.05, torch.float16: 0.01}
"""How far, as a share of the largest, two ways of computing what heads write may lie apart."""


def check_exist(model: "TransformerBridge", names: Iterable[str]) -> None:
    """Raise `HookError` for a hook that the model does not have."""
    known = model.hook_dict  # assembled anew at each access
    missing = [name for name in names if name not in known]
    if missing:
        raise HookError(f"this architecture ({model.cfg.architecture}) has no hook {', '.join(missing)}")


def _batches(model: "TransformerBridge", prompts: PromptSet) -> Iterator[Rows]:
    per_prompt = prompts.tokens.shape[1] * model.cfg.d_vocab * 4
    size = max(1, LOGIT_BYTES // per_prompt)
    for start in range(0, len(prompts), size):
        yield Rows(prompts, slice(start, min(start + size, len(prompts))))
