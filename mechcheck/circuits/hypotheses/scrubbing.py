"""Causal scrubbing (Chan et al. 2022): how much of a model's behaviour is left when all that a hypothesis permits is resampled."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

import numpy as np
from jaxtyping import Float

from mechcheck.base.cached import cached_property
from mechcheck.base.device import usual_torch
from mechcheck.base.errors import MechcheckError
from mechcheck.base.progress import progress
from mechcheck.circuits.hypotheses.resampling import Classes, check_resampled, classes, drawn, together
from mechcheck.circuits.hypotheses.trees import Feature, Node, belongs, check_hypothesis, everything, nothing
from mechcheck.engine.along import arithmetic_of
from mechcheck.engine.drawn import fit_site
from mechcheck.engine.edit import Activation
from mechcheck.engine.run import AnyMetric, capture, sweep
from mechcheck.notation.graph import Graph, graph
from mechcheck.notation.interventions import Put
from mechcheck.notation.metrics import logit_diff, one_each
from mechcheck.notation.sites import Receiver, Site, Sites
from mechcheck.prompts.one import Prompt, each_prompt
from mechcheck.prompts.prompt_set import PromptSet
from mechcheck.stats.measurement import Measurement
from mechcheck.stats.resample import drawn_again

if TYPE_CHECKING:
    from transformer_lens.model_bridge import TransformerBridge

_TIMES = 1000


@dataclass(frozen=True, eq=False)
class Scrubbed:
    """What is left of a metric when everything that a hypothesis permits is taken from other prompts."""

    scrubbed: Measurement
    """The metric then, one value per prompt: the mean over the draws."""
    whole: Measurement
    """Of the untouched model."""
    random: Measurement
    """Of a model that answers to other prompts of the template: what the hypothesis that nothing matters leaves, by the same draws."""
    draws: Float[np.ndarray, "draw prompt"]
    """The metric in each draw."""
    interval: tuple[float, float]
    """95%, of `recovered`: by drawing templates again, or prompts where there is one template."""
    alone: Mapping[str, int]
    """Node -> prompts that no other agrees with on what matters: there is nothing to resample, and they keep what they have. Nodes to
    which everything matters are left out."""

    @property
    def recovered(self) -> Measurement:
        """(scrubbed - random) / (whole - random), a ratio of means: 1 where the hypothesis explains all, 0 where it explains nothing."""
        return ((self.scrubbed - self.random) / (self.whole - self.random)).named(f"{self.scrubbed.name} recovered", "share")

    @property
    def spread(self) -> float:
        """Standard deviation of what single draws recover."""
        below = float((self.whole.values - self.random.values).mean())
        return float(np.std(self.draws.mean(1) / below)) if below else float("nan")

    def __str__(self) -> str:
        low, high = self.interval
        most = max(self.alone.values(), default=0)
        lonely = f"; up to {most} of {len(self.whole)} prompts agree with no other on what matters to a node" if most else ""
        return f"{self.recovered.mean:.2f} [{low:.2f}, {high:.2f}] of the {self.whole.name} recovered, {len(self.draws)} draws{lonely}"


@usual_torch()
def causal_scrubbing(
    model: "TransformerBridge", prompts: PromptSet, hypothesis: Node, *,
    pool: PromptSet | None = None, together: bool = False, metric: AnyMetric = logit_diff, draws: int = 10, seed: int = 0,
) -> Scrubbed:  # fmt: skip
    """Take from other prompts all that a hypothesis says does not matter, and measure what is left (Chan et al. 2022).

    The recursion of the paper: a node is given a prompt that agrees with its reader's on what matters to it. If it reads nothing
    further, its value is the model's own on that prompt. Else it is computed, in runs on prompts drawn at random, in which its heads
    and MLPs read each of its nodes' values along their edges in place of what is there; a head's queries, keys and values are of a
    prompt each. So it ends at the logits, and these are held against the answers of the first prompt. Other prompts are always of the
    same template and length, so that positions are positions (a named place should stand at one of them throughout a template), and
    never the prompt itself where there is another. A node that stands in two places is drawn in each by itself.

    What the hypothesis recovers bounds from below what it explains: that a hypothesis is not refuted here does not make it true, and
    another that permits less may recover as much.

    Args:
        model, prompts: as in `run`.
        hypothesis: begins at the logits, `Node(reads=[...])`. `Node()` is the model itself, and recovers 1; `Node(matters=nothing)` 0.
        pool: more prompts to draw from, beside these. Where hardly any two prompts agree on what matters, hardly anything is resampled
            (see `Scrubbed.alone`).
        together: take what is not named of a head's queries, keys and values from one prompt. Where prompts have the same places a head
            then attends rightly whatever the hypothesis says of that, as it does so on the other prompt.
        metric: one value per prompt, of the logits and the prompt's own answers: `loss`, `logit_diff`, ...
        draws: how often everything is drawn.
        seed: of the draws, which do not depend on the order of the prompts.

    Raises:
        CircuitError: a hypothesis that does not fit together (see `check_hypothesis`), or what matters cannot be told of a prompt.
        PromptError: a template with one prompt only.
        SiteError: an encoder, or an architecture whose arithmetic is not known.
        MechcheckError: no draws, a metric that keeps each position, or one of answers of several tokens.
    """
    if draws < 1:
        raise MechcheckError(f"draws={draws}: at least 1")
    chosen = one_each(metric, "use metric.over(...)")
    if chosen.of_several_tokens(prompts):
        raise MechcheckError(
            f"{chosen.name!r} of answers of several tokens needs runs of its own; choose a metric of one position's logits"
        )
    runs = _Runs(model, prompts, pool, hypothesis, together, seed)
    with progress(2 * draws, "causal scrubbing") as bar:
        variants: list[list[Put]] = [[]]
        for root in (hypothesis, Node(matters=nothing)):
            for draw in range(draws):
                variants.append(runs.put(root, draw))
                bar.update()
    whole, *found = sweep(model, prompts, variants, chosen)
    scrubbed, random = np.stack(found[:draws]), np.stack(found[draws:])

    def measured(values: Float[np.ndarray, " prompt"], what: str) -> Measurement:
        return Measurement(values, prompts.ids, prompts.templates, f"{chosen.name}{what}", chosen.unit)

    return Scrubbed(
        measured(scrubbed.mean(0), ", scrubbed"),
        measured(whole, ""),
        measured(random.mean(0), " on other prompts"),
        scrubbed,
        _interval(scrubbed.mean(0) - random.mean(0), whole - random.mean(0), prompts.templates, seed),
        runs.alone,
    )


def _interval(
    top: Float[np.ndarray, " prompt"], below: Float[np.ndarray, " prompt"], templates: Sequence[str], seed: int
) -> tuple[float, float]:
    weights = drawn_again(templates, _TIMES, seed)
    with np.errstate(divide="ignore", invalid="ignore"):
        low, high = np.quantile((weights @ top) / (weights @ below), [0.025, 0.975])
    return float(low), float(high)


@dataclass(eq=False)
class _Runs:
    """The recursion over one hypothesis."""

    model: "TransformerBridge"
    measured: PromptSet
    pool: PromptSet | None
    hypothesis: Node
    together: bool
    seed: int

    def __post_init__(self) -> None:
        check_hypothesis(self.model, self.known, self.hypothesis)
        if self.hypothesis.reads:
            arithmetic_of(self.model)  # which edges are computed by
        check_resampled(self.each)
        self._classes: dict[Feature | tuple[str, ...] | str, Classes] = {}

    @cached_property
    def _leaves(self) -> dict[Site, Activation]:
        """What nodes that read nothing further can be: the untouched model's activations on the whole pool, from one run."""
        wanted = (node.senders for _, node in self.hypothesis.every if not node.reads)
        return capture(self.model, self.prompts, Sites(site for senders in wanted for site in senders) | self.last)

    @cached_property
    def known(self) -> Graph:
        """The model's graph."""
        return graph(self.model)

    @cached_property
    def prompts(self) -> PromptSet:
        """What is run: the prompts that are measured, and the pool behind them."""
        return together(self.measured, self.pool)

    @cached_property
    def each(self) -> list[Prompt]:
        """These one by one."""
        return each_prompt(self.prompts)

    @property
    def own(self) -> list[int]:
        """Where among them the prompts are that are measured."""
        return list(range(len(self.measured)))

    @property
    def last(self) -> Sites:
        """The stream that the logits are read from."""
        return Sites([Site("resid_post", self.model.cfg.n_layers - 1)])

    @property
    def alone(self) -> dict[str, int]:
        """Node -> prompts that no other agrees with."""
        return {path: self._by(node).alone(self.own) for path, node in self.hypothesis.every if node.matters is not everything}

    def put(self, root: Node, draw: int) -> list[Put]:
        """What the logits are to be read from, in one draw; nothing where that is what they are read from anyway."""
        if root.matters is everything and not root.reads:
            return []
        found = self._value(root, self.own, f"scrubbing {self.seed} {draw} {root}", self.last)
        return [Put({site: fit_site(value, site, self.measured) for site, value in found.items()})]

    def _by(self, node: Node) -> Classes:
        key = node.matters if callable(node.matters) or isinstance(node.matters, str) else tuple(node.matters)
        if key not in self._classes:
            self._classes[key] = classes(self.each, node.feature, str(node))
        return self._classes[key]

    def _value(self, node: Node, refs: list[int], key: str, senders: Sites) -> dict[Site, Activation]:
        """A node's value for each of the prompts that are measured, on prompts that agree with `refs`."""
        rows = self._drawn(self._by(node), refs, key)
        if not node.reads:
            return {site: self._leaves[site][rows] for site in senders}
        read: dict[Site, Activation] = {}
        for number, child in enumerate(node.reads):
            for site, value in self._value(child, rows, f"{key} < {number} {child}", child.senders).items():
                read |= {edge: value for edge in child.along if replace(edge, to=None) == site}
        found: dict[Site, Activation] = {}
        for some in _side_by_side(senders):
            into = [edge for one in some for edge in node.into(self.known, None if node.edges is None else one)]
            found |= self._computed(some, {edge: read[edge] for edge in into}, rows, key)
        return found

    def _computed(self, senders: Sites, read: Mapping[Site, Activation], refs: list[int], key: str) -> dict[Site, Activation]:
        """Senders side by side, with these values along the edges into them, and other prompts' for everything else."""
        heads = [site for site in senders if site.kind in ("head", "attn_out")]
        if self.together or not heads:
            return capture(self.model, self._elsewhere(refs, key), senders, _put(read))
        inputs: dict[Site, Activation] = {}
        for kind in ("q", "k"):
            sites = Sites(site for head in heads for site in self._inputs(kind, head))
            of_kind = {edge: value for edge, value in read.items() if edge.to is not None and edge.to.kind == kind}
            inputs |= capture(self.model, self._elsewhere(refs, f"{key} {kind}"), sites, _put(of_kind))
        values = {edge: value for edge, value in read.items() if edge.to is not None and edge.to.kind == "v"}
        return capture(self.model, self._elsewhere(refs, f"{key} v"), senders, [Put(inputs), *_put(values)])

    def _inputs(self, kind: Literal["q", "k"], sender: Site) -> Iterator[Site]:
        """The queries or keys of a head, or of all heads of a layer."""
        count = self.known.n_heads if kind == "q" else self.known.n_kv_heads
        for index in range(count):
            if belongs(self.known, Receiver(kind, sender.layer, index), sender):
                yield Site(kind, sender.layer, index)

    def _elsewhere(self, refs: list[int], key: str) -> PromptSet:
        """Prompts for what does not matter."""
        if nothing not in self._classes:
            self._classes[nothing] = classes(self.each, nothing, "nothing")
        return self.prompts[self._drawn(self._classes[nothing], refs, f"{key} elsewhere")]

    def _drawn(self, found: Classes, refs: list[int], key: str) -> list[int]:
        return drawn(found, refs, key, self.measured.ids)


def _put(values: Mapping[Site, Activation]) -> list[Put]:
    return [Put(values)] if values else []


def _side_by_side(senders: Sites) -> list[Sites]:
    """Senders of which none reads another: what one is given must not reach the next by way of the run."""
    groups: dict[tuple[int, bool], list[Site]] = {}
    for site in senders:
        groups.setdefault((site.layer, site.kind in ("mlp_out", "neuron")), []).append(site)
    return [Sites(some) for some in groups.values()]
