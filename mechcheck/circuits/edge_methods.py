"""Peers' ways to rank edges, as they are published: ACDC, edge pruning, information flow routes."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from mechcheck.base.device import usual_torch
from mechcheck.base.errors import MechcheckError
from mechcheck.circuits.edge_search import FoundEdges, Step
from mechcheck.circuits.evaluation import Cut
from mechcheck.circuits.ordering import by_size, from_the_logits_up
from mechcheck.engine.graphs.runs import Graphs
from mechcheck.engine.graphs.senders import said
from mechcheck.engine.untouched import Untouched
from mechcheck.engine.untouched_cache import untouched_run

THRESHOLDS = (1.0, 0.3, 0.1, 0.03, 0.01, 0.003, 0.001)
"""In the metric's unit (nats of KL), from few edges to many."""


@usual_torch()
def acdc(cut: Cut, thresholds: float | Sequence[float] = THRESHOLDS) -> FoundEdges:
    """ACDC (Conmy et al. 2023, arXiv:2304.14997) at several thresholds: an edge is cut where that costs less than the threshold.

    Receivers are taken from the logits back, and for each its senders from the latest; what is cut stays cut. The thresholds' circuits
    are put into one order: an edge stands the higher, the larger the thresholds that keep it. The metric is `cut.metric`; a KL divergence
    is what the authors recommend.

    Args:
        cut: the model, the prompts, the metric and what cut edges carry.
        thresholds: in the metric's unit, above 0; one or several.

    Raises:
        MechcheckError: no thresholds, or one that is not above 0.
    """
    limits = np.atleast_1d(np.asarray(thresholds, dtype=float))
    if not (limits.size and (limits > 0).all()):
        raise MechcheckError(f"ACDC's thresholds are above 0, got {thresholds}")
    whole = cut.graph
    _, full = cut.ends
    cuts = torch.zeros(len(limits), *whole.real.shape, dtype=torch.bool)
    now = np.zeros(len(limits))
    for row in reversed(range(len(whole.receivers))):
        for column in reversed(whole.real[row].nonzero()[:, 0].tolist()):
            tried = cuts.clone()
            tried[:, row, column] = True
            then = np.abs(cut.values(tuple(whole.real & ~tried)) - full).mean(1)
            gone = torch.from_numpy(then - now < limits)
            cuts[gone] = tried[gone]
            now = np.where(gone.numpy(), then, now)
    largest = np.where(cuts.numpy(), 0.0, limits[:, None, None]).max(0)  # the largest threshold that keeps it
    kept = (~cuts & whole.real).sum((1, 2)).tolist()
    trace = tuple(Step((), left, float(gap), len(whole)) for left, gap in sorted(zip(kept, now, strict=True), reverse=True))
    return FoundEdges(whole, tuple(by_size(whole, largest)), "acdc", trace, frozenset(cut.prompts.ids), scores=largest)


@usual_torch()
@torch.enable_grad()
def edge_pruning(cut: Cut, *, steps: int = 200, learning_rate: float = 0.05, sparsity: float = 0.95, seed: int = 0) -> FoundEdges:
    """Edge pruning (Bhaskar et al. 2024, arXiv:2406.16778): masks of all edges, learned together by gradients.

    Each edge has a hard concrete gate (Louizos et al. 2018, arXiv:1712.01312); the loss is the gap to the whole model plus a Lagrangian
    that draws the expected share of edges to 1 - `sparsity`, as far as it rises over the first half of the steps. Edges are ranked by
    their gates. The authors' loss is a KL divergence.

    Args:
        cut: the model, the prompts, the metric and what cut edges carry.
        steps: gradient steps (Adam).
        learning_rate: of the gates; the Lagrangian's multipliers learn at the same rate.
        sparsity: share of the edges that is to go.
        seed: of the gates' noise.
    """
    if not (steps >= 1 and 0 < sparsity < 1):
        raise MechcheckError(f"edge pruning takes 1 step or more and a sparsity between 0 and 1, got {steps} and {sparsity}")
    whole = cut.graph
    real, generator = whole.real, torch.Generator().manual_seed(seed)
    _, full = cut.ends
    gates = torch.full((int(real.sum()),), 3.0, dtype=torch.float64, requires_grad=True)
    multipliers = torch.zeros(2, dtype=torch.float64, requires_grad=True)
    groups: list[dict[str, Any]] = [{"params": [gates]}, {"params": [multipliers], "maximize": True}]
    optimiser = torch.optim.Adam(groups, lr=learning_rate)
    trace: list[Step] = []
    low, high, temperature = -0.1, 1.1, 2 / 3
    for step in range(steps):
        noise = torch.rand(len(gates), generator=generator, dtype=torch.float64).clamp(1e-6, 1 - 1e-6)
        kept = (((noise / (1 - noise)).log() + gates) / temperature).sigmoid() * (high - low) + low
        kept = kept.clamp(0, 1)
        cuts = torch.zeros(real.shape, dtype=torch.float64).masked_scatter(real, 1 - kept)
        slopes = cut.graphs.slopes(cuts.detach()[None])[0]  # [prompt, receiver, sender]
        off = cut.graphs.measure(cuts.detach()[None])[0][0] - full
        # The gap's own gradient, handed on to the gates by way of what they cut.
        pull = (torch.from_numpy(np.sign(off))[:, None, None] * slopes).mean(0)
        share = 1 - (gates - temperature * np.log(-low / high)).sigmoid().mean()
        wanted = sparsity * min(1.0, 2 * (step + 1) / steps)
        short = share - wanted
        loss = (pull * cuts).sum() + multipliers[0] * short + multipliers[1] * short**2
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        trace.append(Step((), int((kept > 0).sum()), float(np.abs(off).mean()), 2 * (step + 1)))
    scores = torch.zeros(real.shape, dtype=torch.float64).masked_scatter(real, gates.detach().sigmoid()).numpy()
    return FoundEdges(whole, tuple(by_size(whole, scores)), "edge pruning", tuple(trace), frozenset(cut.prompts.ids), scores=scores)


@usual_torch()
def information_flow(cut: Cut) -> FoundEdges:
    """Information flow routes (Ferrando and Voita 2024, arXiv:2403.00824): how near each sender's part is to the sum that is read.

    An edge's importance is by how much its part shortens the L1 distance to what the receiver reads, as a share over the receiver's
    senders, averaged over positions and prompts. No metric and no counterfactual enter.
    """
    graphs: Graphs = cut.graphs
    whole, prompts = cut.graph, cut.prompts
    base = untouched_run(cut.model, graphs.known, prompts)
    own = said(graphs.known, base)  # [sender, prompt, pos, d_model]
    tokens = (torch.arange(prompts.tokens.shape[1]) < prompts.lengths[:, None]).to(own)
    scores = torch.zeros(whole.real.shape, dtype=torch.float64)
    streams: dict[tuple, Float[Tensor, " sender"]] = {}
    for row, receiver in enumerate(whole.receivers):
        columns = tuple(whole.real[row].nonzero()[:, 0].tolist())
        key = (receiver.layer, receiver.kind == "mlp", receiver.kind == "logits")
        if key not in streams:
            read = _stream(graphs, base, receiver.kind, receiver.layer)
            size = read.abs().sum(-1)
            near = (size - (own[list(columns)] - read).abs().sum(-1)).clamp(min=0)
            share = near / near.sum(0).clamp(min=torch.finfo(near.dtype).tiny)
            streams[key] = ((share * tokens).sum(2) / tokens.sum(1)).mean(1).cpu().double()
        scores[row, list(columns)] = streams[key]
    found = scores.numpy()
    return FoundEdges(whole, tuple(from_the_logits_up(whole, found)), "information flow", (), frozenset(prompts.ids), scores=found)


def _stream(graphs: Graphs, base: Untouched, kind: str, layer: int) -> Tensor:
    if kind == "logits":
        return base.last
    return base.of("resid_mid" if kind == "mlp" and not graphs.known.parallel else "resid_pre", layer)
