"""A model without some of its heads and MLPs, swept as a model of its own."""

from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
import torch
from jaxtyping import Float

from mechcheck.base.device import usual_torch
from mechcheck.base.errors import MechcheckError, SiteError
from mechcheck.engine.along import arithmetic_of
from mechcheck.engine.arithmetic.layer import Layer, Linear
from mechcheck.engine.arithmetic.model import Arithmetic
from mechcheck.engine.direct import added_by
from mechcheck.engine.edit import Edit
from mechcheck.engine.edits import Captures, capture_all, edits_of
from mechcheck.engine.reading import Read, read_by
from mechcheck.engine.selfcheck import disagreement
from mechcheck.engine.spreading.spread import spread
from mechcheck.engine.sweep import capture_fast, run_sweep
from mechcheck.engine.untouched import Untouched
from mechcheck.engine.untouched_cache import untouched_run
from mechcheck.notation.interventions import Intervention
from mechcheck.notation.metrics import Metric
from mechcheck.notation.sites import Receiver, Site, Sites
from mechcheck.prompts.prompt_set import PromptSet

if TYPE_CHECKING:
    from transformer_lens.model_bridge import TransformerBridge


def without(known: Arithmetic, silent: Sites) -> Arithmetic:
    """The arithmetic of the model whose heads and MLPs say nothing at these sites.

    Raises:
        SiteError: a site that is no whole head and no MLP.
    """
    layers = list(known.layers)
    for site in silent:
        layers[site.layer] = _without(known, layers[site.layer], site)
    return replace(known, layers=tuple(layers))


def _without(known: Arithmetic, layer: Layer, site: Site) -> Layer:
    whole = site.at is None and site.code is None and site.to is None
    if whole and site.kind == "head" and site.index is not None:
        weight = layer.o.weight.clone()
        weight[site.index * known.d_head : (site.index + 1) * known.d_head] = 0
        return layer._replace(o=layer.o.changed(weight))
    if whole and site.kind == "mlp_out" and layer.mlp is not None:
        out = layer.mlp.out
        return layer._replace(mlp=layer.mlp._replace(out=Linear(torch.zeros_like(out.weight), None)))
    raise SiteError(f"{site.named} is no head and no MLP of this model, so that it cannot be taken out whole")


@usual_torch()
def sweep_without(
    model: "TransformerBridge",
    prompts: PromptSet,
    silent: Sites,
    change: Callable[[Sites], Intervention],
    sites: Sequence[Site],
    metrics: Sequence[Metric],
    executor: Executor | None = None,
) -> list[Float[np.ndarray, "variant prompt"]]:
    """Each site changed by itself in the model without some heads and MLPs; the first row is that model as it stands.

    What is put in comes from runs of that same lesioned model. Edges whose senders say the same as before, and those into heads and MLPs
    whose output weights are all zero, as those of a part that is gone are, change nothing and are not run.

    Args:
        model, prompts: as in `sweep`.
        silent: heads and MLPs; none for the whole model.
        change: what is done at a site.
        sites: edges, heads and MLPs.
        metrics: one value per prompt.
        executor: shares the batches out, as in `sweep`.

    Raises:
        SiteError: an encoder, an architecture whose arithmetic is not known, or a part that could not be taken out whole.
        MechcheckError: the lesioned model's arithmetic and plain hooks differ.
    """
    asked = _Lesioned(prompts, silent, change, tuple(sites), read_by(metrics, prompts))
    known, edits = asked.prepared(model)
    done = run_sweep(model, known, prompts, edits, read=asked.read, share=spread(executor, model, known, asked, edits))
    gone = [Edit(site) for site in silent]
    wrong = disagreement(replace(done, edits=[[*gone, *some] for some in edits]), Captures(model))
    if wrong is not None:
        raise MechcheckError(f"without {silent or 'anything'} the fast runner and plain hooks differ: {wrong}")
    return done.values(metrics)


@dataclass(frozen=True)
class _Lesioned:
    """What is asked of a lesioned model, as in `sweep_without`."""

    prompts: PromptSet
    silent: Sites
    change: Callable[[Sites], Intervention]
    sites: tuple[Site, ...]
    read: Read
    batch: int | None = None

    def prepared(self, model: "TransformerBridge") -> tuple[Arithmetic, list[list[Edit]]]:
        """The lesioned model, and the edits of each variant."""
        prompts, known = self.prompts, without(arithmetic_of(model), self.silent)
        if known.reach is not None and known.reach < prompts.tokens.shape[1]:
            raise SiteError(f"attention of this model sees {known.reach} positions, and the prompts have {prompts.tokens.shape[1]}")
        senders = {site: replace(site, to=None) for site in self.sites}
        each = [[self.change(Sites([sender]))] for sender in dict.fromkeys(senders.values())]
        captures = capture_all(model, prompts, each, partial(capture_fast, known, prompts))
        base = untouched_run(model, known, prompts)
        of_sender = {edit.site: edit for one in each for edit in edits_of(model, prompts, one, captures)}
        changed = {sender for sender, edit in of_sender.items() if added_by(base, edit, None).any()}
        heard = {receiver: receiver is None or _heard(known, receiver) for receiver in {site.to for site in self.sites}}
        edits: list[list[Edit]] = [[]]
        for site, sender in senders.items():
            edits.append([_at(base, of_sender[sender], site)] if sender in changed and heard[site.to] else [])
        return known, edits


def writes(known: Arithmetic, node: Site) -> bool:
    """Whether a head or an MLP has any output weights that are not zero."""
    layer = known.layers[node.layer]
    if node.kind == "head":
        assert node.index is not None
        return bool(layer.o.weight[node.index * known.d_head : (node.index + 1) * known.d_head].any())
    return layer.mlp is not None and any(part is not None and bool(part.any()) for part in layer.mlp.out)


def _heard(known: Arithmetic, receiver: Receiver) -> bool:
    """Whether anything is written by a head or MLP that reads here."""
    if receiver.kind == "logits":
        return True
    if receiver.kind == "mlp":
        return writes(known, Site("mlp_out", receiver.layer))
    assert receiver.index is not None
    group = 1 if receiver.kind == "q" else known.n_heads // known.n_kv_heads
    return any(writes(known, Site("head", receiver.layer, receiver.index * group + head)) for head in range(group))


def _at(base: Untouched, edit: Edit, site: Site) -> Edit:
    """A sender's edit at one of its edges, or as it is, with what its positions exchange, which is known beforehand."""
    if site.to is not None:
        return replace(edit, site=site)
    if edit.order is None:
        return edit
    own = base.at(site)
    return replace(edit, value=own[torch.arange(len(own))[:, None], edit.order], keep=0.0, order=None)
