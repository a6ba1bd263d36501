"""How sites are read in a run."""

from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from torch import Tensor

from mechcheck.engine.edit import Activation, Rows, read_site
from mechcheck.engine.hooks import Reader
from mechcheck.engine.untouched_cache import read
from mechcheck.notation.sites import Site
from mechcheck.prompts.prompt_set import PromptSet

if TYPE_CHECKING:
    from transformer_lens.model_bridge import TransformerBridge


def capture_sites(model: "TransformerBridge", prompts: PromptSet, sites: Sequence[Site]) -> Mapping[Site, Activation]:
    """Read the sites in one plain run."""
    return of_sites(read(model, prompts, site_readers(sites)))


def site_readers(sites: Iterable[Site]) -> dict[Any, Reader]:
    """What reads the sites in a run; what it recorded of them is told from the rest by `of_sites`."""
    found: dict[Any, Reader] = {}
    for site in sites:
        if site.looks_beside:
            found |= _both_readers(site)
        else:
            found[site] = site.hook_name, partial(_read, site)
    return found


def _read(site: Site, activation: Tensor, rows: Rows) -> Tensor:
    return read_site(activation, site, rows)


def of_sites(recorded: Mapping[Any, Tensor]) -> dict[Site, Activation]:
    """The activations of sites, of all that was recorded."""
    return {key: value for key, value in recorded.items() if isinstance(key, Site)}


def _both_readers(site: Site) -> dict[Any, Reader]:
    """A site whose code looks at a hook before its own: what is there is kept until the site's own hook fires."""
    assert site.code is not None
    there: list[Tensor] = []

    def keep(activation: Tensor, _: Rows) -> Tensor:
        there[:] = [activation.clone()]
        return activation[:, :0]

    first = f"blocks.{site.layer}.{site.code.beside}"
    return {("beside", site): (first, keep), site: (site.hook_name, lambda activation, rows: read_site(activation, site, rows, there[0]))}
