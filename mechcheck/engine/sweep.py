"""Sweeps by the suffix runner: batches sized by memory, prompts in blocks."""

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

import torch
from jaxtyping import Float
from torch import Tensor

from mechcheck.base.progress import heard, progress
from mechcheck.base.shares import Share, agreed, computed
from mechcheck.engine.arithmetic.model import Arithmetic
from mechcheck.engine.direct import at_receivers, put_at_receivers
from mechcheck.engine.edit import Activation, Edit
from mechcheck.engine.memory import free_bytes, kept_bytes, ran_out
from mechcheck.engine.reading import Read, read_by
from mechcheck.engine.rounding import settled
from mechcheck.engine.site_readers import capture_sites
from mechcheck.engine.suffix import Batch
from mechcheck.engine.swept import Streams, Swept
from mechcheck.engine.untouched import Untouched
from mechcheck.engine.untouched_cache import untouched_run
from mechcheck.engine.variants import Variant, variant
from mechcheck.engine.window import Window, window
from mechcheck.notation.metrics import logit_diff
from mechcheck.notation.sites import EMBEDDINGS, Site
from mechcheck.prompts.prompt_set import PromptSet

if TYPE_CHECKING:
    from transformer_lens.model_bridge import TransformerBridge

# A batch on a CPU where many positions are read. It has rows enough for fast products even so, and its activations stay in the cache,
# in memory that need not be given to the process anew each time (measured on GPT-2 small's shape: a tenth of the time).
_WIDE_BYTES = 48 * 2**20
# A batch there where somebody waits for it to advance: a fifth of a second on GPT-2 small's shape, one thread.
_HEARD_BYTES = 4 * 2**20


def run_sweep(
    model: "TransformerBridge", known: Arithmetic, prompts: PromptSet, edits: Sequence[Sequence[Edit]],
    batch: int | None = None, read: Read | None = None, share: Share | None = None,
) -> Swept:  # fmt: skip
    """Compute the last stream under each variant, where it is read.

    Args:
        model, prompts: as in `sweep`.
        known: the model's arithmetic.
        edits: of each variant; such as `serves` allows.
        batch: how many variants at a time; by what memory is free where it is None.
        read: the positions that are wanted; END where None.
        share: which batches are computed here, where several processes share them; None: all.
    """
    read = read_by([logit_diff], prompts) if read is None else read
    streams: list[Streams] = []
    clean: list[Float[Tensor, "prompt read d_model"]] = []
    blocks = agreed(share, _blocks(model, known, prompts))
    senders = frozenset(
        (edit.site.kind, edit.site.layer) for listed in edits for edit in listed if edit.site.to and edit.site.kind == "neuron"
    )
    with torch.no_grad(), progress(len(blocks) * len(edits), "sweep") as bar:
        for rows in blocks:
            whole = len(rows) == len(prompts)
            some = prompts if whole else prompts[rows]
            on_some = edits if whole else [[edit.on(rows) for edit in listed] for listed in edits]
            base = untouched_run(model, known, some, senders)
            here = read if whole else read.on(rows)
            clean.append(base.last[torch.arange(len(some))[:, None], here.positions])
            streams.append(_block_streams(base, here, on_some, clean[-1], batch, bar.update, share))
    return Swept(model, known, prompts, read, edits, torch.cat(streams, dim=1), torch.cat(clean))


def capture_fast(
    known: Arithmetic, swept: PromptSet, model: "TransformerBridge", prompts: PromptSet, sites: Sequence[Site]
) -> Mapping[Site, Activation]:
    """Read the sites of an untouched run, as `capture_sites` does, by the model's arithmetic.

    What the prompts have in common with those that are swept, aligned with them, is computed once for both.
    """
    # What the arithmetic does not form.
    shown = [site for site in sites if site.kind in ("pattern", *EMBEDDINGS) or site.looks_beside]
    found = dict(capture_sites(model, prompts, shown)) if shown else {}
    sites = [site for site in sites if site not in found]
    if not sites:
        return found
    extra = frozenset((site.kind, site.layer) for site in sites if site.kind in ("q", "k", "v", "neuron"))
    parts: dict[Site, list[Activation]] = defaultdict(list)
    blocks = _blocks(model, known, prompts)
    like = untouched_run(model, known, swept) if len(blocks) == 1 and len(swept) == len(prompts) and not extra else None
    for rows in blocks:
        run = untouched_run(model, known, prompts[rows] if len(rows) < len(prompts) else prompts, extra, like)
        for site in sites:
            parts[site].append(run.at(site))
    return found | {site: some[0] if len(some) == 1 else torch.cat(some) for site, some in parts.items()}


def _blocks(model: "TransformerBridge", known: Arithmetic, prompts: PromptSet) -> list[list[int]]:
    """Prompts whose untouched run fits into memory together."""
    kept = 8 * model.cfg.n_layers * max(model.cfg.d_model, model.cfg.n_heads * model.cfg.d_head) + 2 * (model.cfg.d_mlp or 0)
    size = max(1, kept_bytes(known.w_u.device) // (prompts.tokens.shape[1] * kept * known.w_u.element_size()))
    return [list(range(start, min(start + size, len(prompts)))) for start in range(0, len(prompts), size)]


def _block_streams(
    base: Untouched, read: Read, edits: Sequence[Sequence[Edit]], clean: Tensor, batch: int | None, done: Callable,
    share: Share | None = None,
) -> Streams:  # fmt: skip
    """The streams of one block of prompts."""
    out = clean.expand(len(edits), -1, -1, -1).clone()  # a variant without edits is the untouched run
    groups: dict[tuple[int, ...], list[Variant]] = defaultdict(list)
    for number, listed in enumerate(edits):
        if listed:
            along = any(edit.site.to is not None for edit in listed)
            found = variant(base.arithmetic, base.prompts, number, at_receivers(base, listed) if along else listed)
            groups[tuple(found.start.tolist())].append(found)
    for members in groups.values():
        members.sort(key=lambda v: (v.layer, v.join))
        view = window(base.arithmetic, base.prompts, read, members[0].start, base.last.device)
        before = (read.positions < members[0].start[:, None])[:, view.skipped :, None].to(clean.device)  # where nothing changes
        for chosen, streams in _batches(base, view, members, batch, lambda v: _with_values(base, read, v, edits[v.number]), share):
            streams = settled(streams, base, read.positions, view.skipped)
            out[[v.number for v in chosen], :, view.skipped :] = torch.where(before, clean[:, view.skipped :], streams)
            done(len(chosen))
    return out


def _with_values(base: Untouched, read: Read, found: Variant, edits: Sequence[Edit]) -> Variant:
    """A variant, with what receivers make of its edges, of which only a batch at a time is kept."""
    along = edits[0].site.to is not None
    return found._replace(edits=tuple(put_at_receivers(base, edits, read.positions))) if along else found


def _batches(
    base: Untouched, view: Window, members: list[Variant], batch: int | None, ready: Callable[[Variant], Variant],
    share: Share | None,
) -> Iterator[tuple[list[Variant], Streams]]:  # fmt: skip
    """Run the variants of one window, as many at a time as fit; fewer, should memory run out."""
    room = free_bytes(base.last.device)
    if base.last.device.type == "cpu" and view.leaving.positions.shape[1] > 1:
        room = min(room, _WIDE_BYTES)
    if base.last.device.type == "cpu" and heard():
        room = min(room, _HEARD_BYTES)
    size = agreed(share, batch or max(1, room // _bytes_per_variant(base, view)))
    start = 0
    while start < len(members):
        chosen = members[start : start + size]
        try:
            streams = computed(share, lambda some=chosen: Batch(base, [ready(one) for one in some], view).run())  # type: ignore[misc]
        except RuntimeError as error:
            if not ran_out(error) or size == 1 or share is not None:
                raise
            size = (len(chosen) + 1) // 2
            continue
        if streams is not None:
            yield chosen, streams
        start += size


def _bytes_per_variant(base: Untouched, view: Window) -> int:
    """What a variant's rows take at their widest: the stream, beside it the MLP, or queries, keys, values and scores."""
    model, layer, positions = base.arithmetic, base.arithmetic.layers[0], view.everywhere.positions
    mlp = 0 if layer.mlp is None else layer.mlp.into.weight.shape[1] * (2 if layer.mlp.gate is None else 3)
    attention = 3 * layer.qkv.weight.shape[1] + 3 * model.n_heads * (positions.shape[1] + view.past)
    return positions.numel() * (4 * base.last.shape[-1] + max(mlp, attention)) * base.last.element_size()
