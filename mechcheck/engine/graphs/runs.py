"""Runs of a whole graph: every receiver reads some senders as they are, and others as they are elsewhere."""

import pickle
from collections.abc import Iterator, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, replace
from functools import lru_cache, partial
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from mechcheck.base.cached import cached_property
from mechcheck.base.device import usual_torch
from mechcheck.base.errors import SiteError
from mechcheck.base.loaded import Source, source_of
from mechcheck.base.progress import heard, progress
from mechcheck.base.shares import Counting, Share, Some, agreed, computed
from mechcheck.engine.along import arithmetic_of
from mechcheck.engine.arithmetic.model import Arithmetic
from mechcheck.engine.graphs.graph_run import Cuts, GraphRun, Kinds
from mechcheck.engine.graphs.senders import Sent, sent
from mechcheck.engine.memory import free_bytes
from mechcheck.engine.reading import Read, Reading, read_by
from mechcheck.engine.rounding import settled
from mechcheck.engine.spreading.shared import shared
from mechcheck.engine.swept import Swept
from mechcheck.engine.untouched import Untouched
from mechcheck.engine.untouched_cache import untouched_run
from mechcheck.engine.watch import Ran, tell, watched
from mechcheck.notation.graph import Graph, graph
from mechcheck.notation.interventions import Ablate, Patch
from mechcheck.notation.metrics import Metric
from mechcheck.prompts.prompt_set import PromptSet

if TYPE_CHECKING:
    from transformer_lens.model_bridge import TransformerBridge

Shares = Float[Tensor, "variant receiver sender"]
"""How far each edge is cut in each variant."""

# At a time on a CPU where somebody waits for it to advance.
_HEARD_BYTES = 48 * 2**20


@dataclass(frozen=True, eq=False)
class _Done(Sequence[list[Ablate | Patch]]):
    """Variants as interventions, each made when it is looked at: of a large model they are many edges."""

    graph: Graph
    instead: Ablate | Patch
    cuts: Cuts

    def __len__(self) -> int:
        return len(self.cuts)

    def __getitem__(self, at: Any) -> Any:
        """An edge that is cut at some kinds of positions is told without these."""
        cut = self.cuts[at]
        sites = self.graph.chosen(cut if cut.ndim == 2 else cut.any(2))
        return [replace(self.instead, sites=sites)] if sites else []


@dataclass(eq=False)
class Graphs:
    """Prompts, and what edges carry where they are cut: measured under many sets of cut edges at once.

    It is what `sweep` gives for the interventions at these edges, computed for whole graphs: a receiver's input is the stream as it is
    in that run, with each cut sender's own part of it exchanged.
    """

    model: "TransformerBridge"
    prompts: PromptSet
    instead: Ablate | Patch
    """What cut edges carry: a `Patch` or an `Ablate` of all senders (`senders_of`) at every position."""
    metrics: Sequence[Metric]
    executor: Executor | None = None
    """Whose processes share the batches out, as in `sweep`."""
    drawn: "tuple[Graphs, list[int]] | None" = None
    """Whose rows these prompts are, where cut edges carry what they carry there; None: those of no other."""

    @cached_property
    def graph(self) -> Graph:
        """The model's."""
        return graph(self.model)

    @cached_property
    @usual_torch()
    def known(self) -> Arithmetic:
        """The model's arithmetic.

        Raises:
            SiteError: it is not known, or attention does not see all of these prompts.
        """
        known = arithmetic_of(self.model)
        if known.reach is not None and known.reach < self.prompts.tokens.shape[1]:
            raise SiteError(f"attention of this model sees {known.reach} positions, and the prompts have {self.prompts.tokens.shape[1]}")
        return known

    @cached_property
    def read(self) -> Read:
        """Where the metrics read."""
        return read_by(self.metrics, self.prompts)

    @cached_property
    def elsewhere(self) -> Sent:
        """What cut edges carry."""
        if self.drawn is not None:
            whole, rows = self.drawn
            return whole.elsewhere[:, rows]
        with usual_torch(), torch.no_grad():
            return sent(self.model, self.prompts, self.instead)

    def on(self, prompts: PromptSet, rows: Sequence[int]) -> "Graphs":
        """The same on these rows of the prompts; cut edges carry what they carry here."""
        whole, drawn = self.drawn or (self, None)
        rows = [*rows] if drawn is None else [drawn[row] for row in rows]
        return Graphs(self.model, prompts, self.instead, self.metrics, self.executor, (whole, rows))

    @usual_torch()
    def measure(self, cuts: Cuts, kinds: Kinds | None = None) -> list[Float[np.ndarray, "variant prompt *pos"]]:
        """Each metric where, in each variant, these edges are cut.

        Args:
            cuts: at every position; or, with a last dimension, at each kind of position.
            kinds: of which kind each position is, where `cuts` tells kinds apart.
        """
        known, read, n = self.known, self.read, len(self.prompts)
        out = known.w_u.new_empty(len(cuts), *read.positions.shape, known.w_u.shape[0])
        clean = known.w_u.new_empty(*read.positions.shape, known.w_u.shape[0])
        asked = _Asked(cuts, kinds)
        share = self._share(asked)
        with torch.no_grad(), progress(len(cuts) * n, "circuits") as bar:
            for block, chosen, streams in self.batches(asked, share):
                clean[block.rows] = block.clean
                out[chosen, block.rows] = streams
                bar.update(len(block.rows) * len(streams))
            out = torch.where(cuts.flatten(1).any(1).to(out.device)[:, None, None, None], out, clean)
            values = Swept(self.model, known, self.prompts, read, [[] for _ in cuts], out, clean).values(self.metrics)
        if watched():
            tell(Ran(self.prompts, _Done(self.graph, self.instead, cuts), self.metrics, values, model=self.model))
        return values

    @usual_torch()
    def slopes(self, cuts: Cuts | Shares) -> Float[Tensor, "variant prompt receiver sender"]:
        """What cutting each edge (further) adds to the first metric, to first order around each variant; 0 where there is no edge."""
        found = torch.empty(len(cuts), len(self.prompts), *self.graph.real.shape, dtype=torch.float64)
        asked = _Asked(cuts, metric=self.metrics[0])
        with usual_torch(), progress(len(cuts) * len(self.prompts), "slopes of circuits") as bar:
            for block, chosen, slopes in self.batches(asked, self._share(asked)):
                found[chosen, block.rows] = slopes * self.graph.real
                bar.update(len(block.rows) * len(slopes))
        return found

    def batches(self, asked: "_Asked", share: Share | None) -> "Iterator[tuple[_Block, slice, Tensor]]":
        """Some prompts and some variants at a time, as many as there is room for, and what is asked for of those that are computed here."""
        n, weight = len(self.prompts), 1 if asked.metric is None else 4  # a gradient takes more than a forward run
        room = free_bytes(self.known.w_u.device)
        if heard() and self.known.w_u.device.type == "cpu":
            room = min(room, _HEARD_BYTES)
        size = agreed(share, max(1, room // (weight * _bytes_per_row(self.known, self.graph, self.prompts))))
        for start in range(0, n, min(size, n)):
            rows = list(range(start, min(start + size, n)))
            some, here = (self.prompts, self.read) if len(rows) == n else (self.prompts[rows], self.read.on(rows))
            block = _Block(self, rows, some, here)
            at_once = max(1, size // len(rows))
            for first in range(0, len(asked.cuts), at_once):
                chosen = slice(first, first + at_once)
                found = computed(share, partial(block.computed, asked, chosen))
                if found is not None:
                    yield block, chosen, found

    def _share(self, asked: "_Asked") -> Share | None:
        """What the executor's processes compute of it; None where there is none, nothing to share out, or a metric that cannot be sent."""
        if self.executor is None:
            return None
        plan = Counting()
        assert not [*self.batches(asked, plan)]
        if plan.batches < 2:
            return None
        whole, rows = self.drawn or (self, None)
        of = _Of(source_of(self.model), whole.prompts, self.instead, self.prompts, rows)
        try:
            work = pickle.dumps(_Work(pickle.dumps(of), asked, self.read, plan.sizes, torch.get_num_threads()))
        except (pickle.PicklingError, AttributeError, TypeError):
            return None
        return shared(self.executor, plan, _computed, work, self.known.w_u.device if asked.metric is None else "cpu")


class _Asked(NamedTuple):
    """What is asked about some variants."""

    cuts: Cuts | Shares
    kinds: Kinds | None = None
    metric: Metric | None = None
    """Whose slopes are asked for; None: the streams where they are read."""


@dataclass(eq=False)
class _Block:
    """Some of the prompts."""

    graphs: Graphs
    rows: list[int]
    prompts: PromptSet
    read: Read

    @cached_property
    def base(self) -> Untouched:
        """Their untouched run."""
        return untouched_run(self.graphs.model, self.graphs.known, self.prompts)

    @property
    def clean(self) -> Float[Tensor, "prompt read d_model"]:
        """Its last stream, where it is read."""
        return self.base.last[torch.arange(len(self.rows))[:, None], self.read.positions]

    def computed(self, asked: _Asked, chosen: slice) -> Tensor:
        """What is asked for of some variants: streams, or slopes."""
        kinds = None if asked.kinds is None else asked.kinds[self.rows]
        run = GraphRun(self.graphs.known, self.base, self.graphs.elsewhere[:, self.rows], asked.cuts[chosen], self.read, kinds)
        if asked.metric is None:
            return settled(run.streams(), self.base, self.read.positions, 0)
        metric, reading, clean = asked.metric, Reading(asked.metric, self.prompts, self.read), self.graphs.known.logits(self.clean)

        def measured(streams: Tensor) -> Tensor:
            logits = map(self.graphs.known.logits, streams)
            values = [metric(reading.of(one), reading.rows, reading.of(clean)) for one in logits]
            return torch.stack([reading.reduced(one) for one in values])

        return run.slopes(measured)


class _Of(NamedTuple):
    """What all runs of a circuit's graph have in common."""

    source: Source
    whole: PromptSet
    instead: Ablate | Patch
    prompts: PromptSet
    rows: list[int] | None
    """Of the whole, that the prompts are."""


class _Work(NamedTuple):
    """What a process needs to know."""

    of: bytes
    asked: _Asked
    read: Read
    sizes: list[Any]
    threads: int
    """torch's, on which the order of its sums depends."""


def _computed(work: bytes, wanted: range) -> dict[int, Tensor]:
    """In one of the processes: number of a batch -> what was asked for of it."""
    told: _Work = pickle.loads(work)
    torch.set_num_threads(told.threads)
    share = Some(told.sizes, wanted)
    with usual_torch(), torch.set_grad_enabled(told.asked.metric is not None):
        graphs = _graphs(told.of)
        vars(graphs)["read"] = told.read
        assert not [*graphs.batches(told.asked, share)]
    return share.streams


@lru_cache(maxsize=2)
def _graphs(of: bytes) -> Graphs:
    told: _Of = pickle.loads(of)
    model = told.source.load()
    whole = Graphs(model, told.whole, told.instead, ())
    return whole if told.rows is None else whole.on(told.prompts, told.rows)


def _bytes_per_row(known: Arithmetic, whole: Graph, prompts: PromptSet) -> int:
    """What one variant of one prompt takes: what all senders say, and a layer's inputs."""
    layer = known.layers[0]
    widest = max(known.n_heads + 2 * known.n_kv_heads, 4) * 3 * known.w_u.shape[0]
    mlp = 0 if layer.mlp is None else 3 * layer.mlp.into.weight.shape[1]
    return prompts.tokens.shape[1] * (len(whole.senders) * known.w_u.shape[0] + widest + mlp) * known.w_u.element_size()
