"""What follows from the activations of the page's one prompt: directions to steer along, and thresholds."""

import math
from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import TYPE_CHECKING

import torch
from jaxtyping import Float
from torch import Tensor

from mechcheck.base.architectures import is_encoder
from mechcheck.base.device import exact
from mechcheck.engine.edit import Activation
from mechcheck.engine.run import capture
from mechcheck.explorer.bodies import Problem
from mechcheck.models.architecture import require_plain_writes
from mechcheck.notation.interventions import Steer
from mechcheck.notation.sites import Site, Sites
from mechcheck.prompts.prompt_set import END, PromptSet

if TYPE_CHECKING:
    from transformer_lens.model_bridge import TransformerBridge

_STREAM = ("attn_out", "mlp_out", "resid_pre", "resid_mid", "resid_post")


class Seen:
    """Activations of one prompt and of its counterfactual, each captured once."""

    def __init__(self, model: "TransformerBridge", prompts: PromptSet):
        self.model, self.prompts = model, prompts
        self._known: dict[tuple[bool, Site], Activation] = {}

    def of(self, sites: Iterable[Site], *, other: bool = False) -> list[Activation]:
        """Of each site, an edge's being its sender's; `other` takes the counterfactual."""
        senders = [replace(site, to=None) for site in sites]
        missing = Sites(site for site in senders if (other, site) not in self._known)
        if missing:
            prompts = self.prompts.counterfactual if other else self.prompts
            assert prompts is not None
            self._known.update({(other, site): found for site, found in capture(self.model, prompts, missing).items()})
        return [self._known[other, site] for site in senders]


def steered(seen: Seen, sites: Sites, direction: str, strength: float) -> Iterator[Steer]:
    """At each site a direction of its own.

    Args:
        seen: the prompt.
        sites: where.
        direction: "answer", what the logits' last map gives the answer above the foil, as the site writes it; "counterfactual", the
            site's own activation there above that here, at END where the site names no position.
        strength: how many times it is added.

    Raises:
        Problem: no answer and foil, no counterfactual; a site that does not write into the stream.
    """
    vectors = (_towards_answer if direction == "answer" else _towards_counterfactual)(seen, sites)
    for site, vector in zip(sites, vectors, strict=True):
        yield Steer(vector, Sites([site]), strength)


def _towards_answer(seen: Seen, sites: Sites) -> list[Float[Tensor, "prompt d"]]:
    model, prompts = seen.model, seen.prompts
    if not (len(prompts.answers) and len(prompts.foils)):
        raise Problem("direction", "the direction leads from the foil to the answer: write both, or take the counterfactual's")
    if is_encoder(model):
        raise Problem("direction", "this model's prediction is not read off its stream by one map: take the counterfactual's direction")
    towards = (model.W_U[:, prompts.answers] - model.W_U[:, prompts.foils]).T
    return [_as_written(model, towards, site) for site in sites]


def _as_written(model: "TransformerBridge", towards: Float[Tensor, "prompt d_model"], site: Site) -> Float[Tensor, "prompt d"]:
    if site.kind in _STREAM:
        return towards
    if site.kind != "head":
        raise Problem("direction", f"{site.named} writes nothing into the stream, where answers lie: take the counterfactual's direction")
    require_plain_writes(model, "what a head writes has no direction of its own in the stream")
    return towards @ model.W_O[site.layer, site.index].T


def _towards_counterfactual(seen: Seen, sites: Sites) -> list[Float[Tensor, "prompt d"]]:
    if seen.prompts.counterfactual is None:
        raise Problem("direction", "the direction leads to the counterfactual: write one, as long as the prompt, or take the answer's")
    where = [replace(site, at=site.at or END) for site in sites]
    return [there - here for here, there in zip(seen.of(where), seen.of(where, other=True), strict=True)]


def threshold_of(seen: Seen, sites: Sites, share: float) -> float:
    """The size below which this share of the sites' components lies that are not zero anyway, all sites together.

    Raises:
        Problem: no share.
    """
    if not 0 <= share <= 1:
        raise Problem("share", "a share of the components lies between 0 and 1")
    sizes = exact(torch.cat([found.flatten() for found in seen.of(sites)])).abs()
    sizes = sizes[sizes > 0].sort().values
    smaller = math.floor(share * len(sizes))
    if smaller == 0:
        return 0.0
    # Between two sizes, so that rounding decides nothing.
    return float(sizes[smaller - 1 : smaller + 1].mean() if smaller < len(sizes) else 1.01 * sizes[-1])
