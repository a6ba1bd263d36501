"""What a direction does through what is read of it, and what it does because of what is not: the subspace illusion.

Makelov et al. 2023 (arXiv:2311.17030): a direction can be the sum of one that nothing reads but that tells prompts apart, and one that is
read but does not differ between prompts. Exchanged along their sum, the second is moved by what the first says, although the model
itself never uses it so.
"""

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import torch
from jaxtyping import Float
from torch import Tensor

from mechcheck.base.device import exact
from mechcheck.base.errors import SiteError
from mechcheck.measures.subspaces.interchange import Interchange, interchanges, whole_of
from mechcheck.measures.subspaces.pairs import Tokens, check_unseen, pairs_of
from mechcheck.notation.codes import Linear, Subspace
from mechcheck.notation.interventions import Intervention, Patch
from mechcheck.notation.site_checks import check_sites
from mechcheck.notation.sites import Site, Sites
from mechcheck.prompts.prompt_set import PromptSet
from mechcheck.stats.measurement import Measurement

if TYPE_CHECKING:
    from transformer_lens.model_bridge import TransformerBridge

SOME = 1e-6
"""A direction with less than this in a space has nothing there."""


@dataclass(frozen=True, eq=False)
class SubspaceSplit:
    """A subspace, its part that is read and its part that is not, and what the exchange of each does."""

    row: Subspace | None
    """What of it lies in the row space of the map that reads the site; None: nothing."""
    null: Subspace | None
    """What of it lies in that map's null space, where nothing is read; None: nothing."""
    row_share: float
    """Of the subspace's unit directions, the mean squared length in the row space: 1 where all of it is read."""
    within: Interchange
    """Exchanging the subspace."""
    by_row: Interchange
    """Exchanging the part that is read alone."""
    by_null: Interchange
    """Exchanging the part that is not read: no effect, unless the site has another reader."""

    @property
    def kept(self) -> Measurement:
        """The shift by the part that is read alone, as a share of the subspace's: near 1 where it is used, near 0 for an illusion."""
        return (self.by_row.shift / self.within.shift).named("share of the shift kept by the part that is read", "share")


def reading_map(model: "TransformerBridge", site: Site) -> Float[Tensor, "d out"]:
    """The one linear map through which the model reads a site: W_O of a head's output or its values, W_out of an MLP's hidden activation.

    Raises:
        SiteError: a site without one. Streams, and what is added to them, are read by every later layer, through norms; queries and
            keys by each other.
    """
    check_sites(model, [site])
    block = model.blocks[site.layer]
    match site.kind:
        case "head":
            return exact(block.attn.W_O.detach())[site.index]
        case "v":
            cfg = model.cfg
            each = cfg.n_heads // (cfg.n_key_value_heads or cfg.n_heads)
            readers = exact(block.attn.W_O.detach()).unflatten(0, (-1, each))[site.index]
            return torch.cat(list(readers), dim=1)
        case "neuron" if site.together:
            return exact(block.mlp.W_out.detach())
    raise SiteError(
        f"{site.named} has no one linear reader, whose null space would be what the model ignores: split a head's output (heads) or values "
        "(values), or the hidden activation of an MLP (mlp_hidden)"
    )


def null_space_split(
    model: "TransformerBridge", prompts: PromptSet, sites: Sites, *,
    source: PromptSet | None = None, expected: Tokens | None = None, tolerance: float | None = None,
) -> SubspaceSplit:  # fmt: skip
    """Split a subspace by what is read of its site, and exchange each part alone.

    Args:
        model, prompts, source, expected: as in `interchange`.
        sites: one site within a subspace, that `reading_map` has a map for.
        tolerance: singular values of the map below this share of the largest count as zero; by default what its dtype takes for zero.

    Raises:
        SiteError: several sites, one without a subspace, or one without a linear reader.
        PromptError: as in `interchange`.
    """
    members = list(sites)
    if len(members) != 1 or not isinstance(members[0].code, Linear):
        raise SiteError(f"one site within a subspace is split, for example heads('9.6@END').within(direction(...)), got {sites or 'none'}")
    (site,) = members
    assert isinstance(site.code, Linear)
    check_sites(model, sites)
    basis = site.code.basis
    row_space = _row_space(model, site, tolerance)
    in_row = basis @ row_space.T @ row_space
    row, null = (_part(site.code, part, name) for part, name in ((in_row, "row"), (basis - in_row, "null")))
    pairs = pairs_of(prompts, source, expected)
    check_unseen(sites, *pairs)
    changes: list[list[Intervention]] = [
        [] if part is None else [Patch(Sites([replace(site, code=part)]), pairs.source)] for part in (site.code, row, null)
    ]
    return SubspaceSplit(
        row, null, min(1.0, float(in_row.square().sum() / len(basis))), *interchanges(model, pairs, changes, whole_of(sites))
    )


def _row_space(model: "TransformerBridge", site: Site, tolerance: float | None) -> Float[Tensor, "rank d"]:
    """An orthonormal basis of what the map reads."""
    read = reading_map(model, replace(site, code=None)).cpu()
    directions, gains, _ = torch.linalg.svd(read, full_matrices=False)
    if tolerance is None:
        tolerance = max(read.shape) * torch.finfo(model.W_U.dtype).eps
    return directions[:, gains > tolerance * gains[0]].T


def _part(whole: Linear, rows: Float[Tensor, "k d"], name: str) -> Subspace | None:
    """The span of a subspace's projections, which was found on the same prompts."""
    _, lengths, directions = torch.linalg.svd(rows, full_matrices=False)
    kept = directions[lengths > SOME]
    if not len(kept):
        return None
    named = f"{whole.name}, {name}"
    return Subspace(kept.contiguous(), named, whole.fitted_on if isinstance(whole, Subspace) else frozenset())
