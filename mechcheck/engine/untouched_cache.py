"""Untouched runs that are remembered, so that a claim, its controls and its decoys share them."""

import hashlib
import itertools
import weakref
import zlib
from collections import OrderedDict
from collections.abc import Collection, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch import Tensor

from mechcheck.base.device import usual_torch
from mechcheck.base.modules import all_modules, weights_of
from mechcheck.base.torch_state import TorchState
from mechcheck.engine import hooks
from mechcheck.engine.arithmetic.model import Arithmetic
from mechcheck.engine.edit import Edit
from mechcheck.engine.untouched import Untouched, untouched
from mechcheck.notation.sites import Kind
from mechcheck.prompts.prompt_set import PromptSet

if TYPE_CHECKING:
    from transformer_lens.model_bridge import TransformerBridge

# What all remembered runs may take together; the ones that were not used for longest go first.
RUN_BYTES = 512 * 2**20


class _Kept(NamedTuple):
    model: "weakref.ref[TransformerBridge]"
    run: Untouched
    nbytes: int
    """Counted once: a run does not grow, and every sweep asks what all of them take."""


# A model's arithmetic stands for the model and its weights: it is another one as soon as they change.
_runs: OrderedDict[tuple[Arithmetic, PromptSet], _Kept] = OrderedDict()


def untouched_run(
    model: "TransformerBridge",
    known: Arithmetic,
    prompts: PromptSet,
    extra: frozenset[tuple[Kind, int]] = frozenset(),
    like: Untouched | None = None,
) -> Untouched:
    """As `untouched`, from memory where it is there."""
    kept = _runs.get((known, prompts))
    found = kept and kept.run
    if found is None or extra - set(found.extra):
        found = untouched(model, known, prompts, extra | (frozenset(found.extra) if found else frozenset()), like)
    remember(model, known, prompts, found)
    return found


def remember(model: "TransformerBridge", known: Arithmetic, prompts: PromptSet, run: Untouched) -> None:
    """Keep a run for those who ask for it next."""
    kept = _runs.get((known, prompts))
    _runs[known, prompts] = kept if kept and kept.run is run else _Kept(weakref.ref(model), run, _bytes(run))
    _runs.move_to_end((known, prompts))
    _forget_what_is_too_much()


def _forget_what_is_too_much() -> None:
    for key in [key for key, kept in _runs.items() if kept.model() is None]:
        del _runs[key]
    taken = sum(kept.nbytes for kept in _runs.values())
    while taken > RUN_BYTES:
        taken -= _runs.popitem(last=False)[1].nbytes


def forget_runs() -> None:
    """Forget all remembered runs."""
    _runs.clear()
    _said.clear()


# What hooks of untouched runs said, to be read once more: no more than so much together, of models whose weights are hashed in less time
# than a run takes, and of prompts with so many tokens at least.
SAID_BYTES = 256 * 2**20
_SMALL_MODEL = 32 * 2**20
_TOKENS = 1024


class _Said(NamedTuple):
    model: "weakref.ref[TransformerBridge]"
    state: tuple[Any, ...]
    """The model's, as `_state` tells it."""
    process: TorchState
    hooks: dict[str, list[Tensor]]
    """Hook -> its activation in each batch of prompts, as the run had it in memory."""

    @property
    def nbytes(self) -> int:
        return sum(part.nbytes for parts in self.hooks.values() for part in parts)


_said: OrderedDict[tuple[int, bytes], _Said] = OrderedDict()


def read(
    model: "TransformerBridge", prompts: PromptSet, readers: Mapping[Any, hooks.Reader], changes: Sequence[Edit] = ()
) -> dict[Any, Tensor]:
    """As `hooks.read`; where nothing is changed, a hook that a small model's run on these tokens has gone through is not run again.

    What is read is the same to the bit. A model whose weights, parts, hooks or settings are no longer what they were is run again, and
    all are when torch itself is another.
    """
    names = {name for name, _ in readers.values()}
    if changes or not names or not _pays(model, prompts, names):
        return hooks.read(model, prompts, readers, changes)
    with usual_torch(), torch.no_grad():
        said = _of_run(model, prompts)
        _run_for(names - set(said.hooks), model, prompts, said)
        found = {
            key: torch.cat([keep(part.clone(), rows) for part, rows in zip(said.hooks[name], hooks.batches(model, prompts), strict=True)])
            for key, (name, keep) in readers.items()
        }
    while sum(one.nbytes for one in _said.values()) > SAID_BYTES:
        _said.popitem(last=False)
    return found


def _of_run(model: "TransformerBridge", prompts: PromptSet) -> _Said:
    """What is known of the run; nothing yet, where it is another model by now."""
    for key in [key for key, one in _said.items() if one.model() is None]:
        del _said[key]
    content = hashlib.sha256(prompts.tokens.cpu().numpy().tobytes() + prompts.lengths.cpu().numpy().tobytes())
    key, state = (id(model), content.digest()), (tuple(prompts.tokens.shape), *_state(model))
    known = _said.get(key)
    if known is None or known.state != state or known.process.changed():
        known = _said[key] = _Said(weakref.ref(model), state, TorchState(map(type, _parts(model))), {})
    _said.move_to_end(key)
    return known


def _run_for(names: Collection[str], model: "TransformerBridge", prompts: PromptSet, said: _Said) -> None:
    """Run the prompts for hooks that are not known yet."""
    parts: dict[str, list[Tensor]] = {name: [] for name in names}

    def whole(name: str, activation: Tensor, _: object) -> Tensor:
        parts[name].append(activation.clone())  # laid out as it is, for sums to be made in the same order
        return activation.new_empty(0)

    if names:
        hooks.read(model, prompts, {name: (name, partial(whole, name)) for name in names})
        said.hooks.update(parts)


def _pays(model: "TransformerBridge", prompts: PromptSet, names: Collection[str]) -> bool:
    """Whether looking costs less than running, and what is kept leaves room for others."""
    tensors = [*dict.fromkeys(weights_of(model))]
    if prompts.tokens.numel() < _TOKENS or any(tensor.device.type != "cpu" for tensor in tensors):
        return False
    if sum(tensor.nbytes for tensor in tensors) > _SMALL_MODEL:
        return False
    kept = prompts.tokens.numel() * sum(_width(model, name, prompts.tokens.shape[1]) for name in names)
    return kept * tensors[0].element_size() <= SAID_BYTES // 2


def _width(model: "TransformerBridge", hook: str, length: int) -> int:
    """Numbers of a hook's activation at each position, or more."""
    cfg = model.cfg
    stream = max(cfg.d_model, cfg.n_heads * cfg.d_head)
    if "pattern" in hook or "scores" in hook:
        return cfg.n_heads * length
    if ".mlp" in hook:
        return max(stream, cfg.d_mlp or 0)
    return stream if hook.startswith("blocks.") else max(stream, cfg.d_vocab)


def _parts(model: "TransformerBridge") -> Collection[torch.nn.Module]:
    return all_modules(model, getattr(model, "original_model", model))


def _state(model: "TransformerBridge") -> tuple[Any, ...]:
    """All that a run of the model depends on: its parts, what hangs on them, their settings and the bits of the weights."""
    parts = _parts(model)
    configurations = [model.cfg, getattr(getattr(model, "original_model", None), "config", None)]
    held = itertools.chain(map(vars, parts), (vars(one) for one in configurations if one is not None))
    weights, checksum = {id(one): one for part in parts for one in (*part.parameters(False), *part.buffers(False))}, 0
    for tensor in weights.values():
        checksum = zlib.crc32(tensor.detach().contiguous().flatten().view(torch.uint8).numpy().tobytes(), checksum)
    return (
        # A tensor of a part's own is what its last run left there (TransformerLens' attention keeps its pattern).
        tuple(id(value) for attributes in held for name, value in attributes.items() if not (name[0] == "_" and isinstance(value, Tensor))),
        tuple(
            itertools.chain.from_iterable((*map(id, one._modules.values()), *one._forward_hooks, *one._forward_pre_hooks) for one in parts)
        ),
        tuple(weights),
        checksum,
    )


def _bytes(run: Untouched) -> int:
    return run.layers.nbytes + sum(tensor.nbytes for tensor in run.extra.values())
