"""The components that no variable is aligned with, taken from other prompts, while what is aligned keeps what it is to have."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from mechcheck.base.cached import cached_property
from mechcheck.engine.edit import Activation, Edit, Rows, write_site
from mechcheck.measures.causal.ablation import all_heads
from mechcheck.notation.interventions import Put
from mechcheck.notation.site_checks import check_sites
from mechcheck.notation.sites import Site, Sites
from mechcheck.prompts.prompt_set import PromptSet

if TYPE_CHECKING:
    from transformer_lens.model_bridge import TransformerBridge


def components(model: "TransformerBridge") -> Sites:
    """All that adds to the stream: heads and MLPs, at every position.

    Raises:
        SiteError: a model whose MLPs have no output that could be taken from another prompt.
    """
    mlps = () if model.cfg.attn_only else (Site("mlp_out", layer) for layer in range(model.cfg.n_layers))
    found = all_heads(model) | Sites(mlps)
    check_sites(model, found)
    return found


@dataclass(frozen=True, eq=False)
class Unmapped:
    """What is not aligned, of a model on some prompts, and what it is on others."""

    model: "TransformerBridge"
    prompts: PromptSet
    aligned: Sites
    elsewhere: Mapping[Site, Activation]
    """Component -> its activation on another prompt, for each of the prompts: [prompt, pos, d]."""

    @cached_property
    def free(self) -> Sites:
        """Components within which something aligned lies, so that they are computed: heads with an aligned query, MLPs with neurons."""
        inner = [site for site in self.aligned if site.kind in ("q", "k", "v", "pattern", "neuron")]
        return Sites(one for one in self.elsewhere if any(self._reads(one, site) for site in inner))

    @cached_property
    def members(self) -> Sites:
        """The components that have places which nothing is aligned with."""
        whole = [site for site in self.aligned if site.at is None and site.code is None]
        return Sites(one for one in self.elsewhere if one not in whole) - self.free

    def replaced(self, some: Sites, pinned: Mapping[Site, Activation]) -> Put:
        """Some components as they are elsewhere, and everything aligned as it is given.

        Args:
            some: of `members`.
            pinned: aligned site -> its activation.
        """
        inside: set[Site] = set()
        values: dict[Site, Activation] = {}
        for one in some:
            value = self.elsewhere[one].clone()
            for site in self.aligned:
                if (site.kind, site.layer, site.index) == (one.kind, one.layer, one.index):
                    self._write(value, site, pinned[site])
                    inside.add(site)
            values[one] = value
        return Put(values | {site: value for site, value in pinned.items() if site not in inside})

    def _write(self, whole: Activation, site: Site, value: Activation) -> None:
        """What is aligned, put into its component's activation in place."""
        where = self.prompts.span(site.at) if site.at is not None and site.at in self.prompts.spans else None
        if site.kind == "head":  # a hook's activation has a dimension for heads, of which there is one here
            whole, site = whole[:, :, None], replace(site, index=0)
        write_site(whole, Edit(site, value, where=where), Rows(self.prompts, slice(None)))

    def _reads(self, one: Site, site: Site) -> bool:
        """Whether a component is made of this."""
        if one.layer != site.layer or (one.kind == "mlp_out") != (site.kind == "neuron"):
            return False
        if site.kind == "neuron" or site.index is None or one.index is None:
            return True
        cfg = self.model.cfg
        group = cfg.n_heads // (cfg.n_key_value_heads or cfg.n_heads) if site.kind in ("k", "v") else 1
        return one.index // group == site.index
