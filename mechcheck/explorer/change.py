"""What is done to which heads, as an intervention of the public kind."""

from typing import TYPE_CHECKING

from mechcheck.base.errors import MechcheckError
from mechcheck.explorer.bodies import Json, Problem
from mechcheck.explorer.prompt import Prepared
from mechcheck.notation.interventions import Ablate, Intervention, Patch, Scale
from mechcheck.notation.site_checks import check_sites
from mechcheck.notation.sites import Sites, heads

if TYPE_CHECKING:
    from transformer_lens.model_bridge import TransformerBridge


def chosen_heads(model: "TransformerBridge", body: Json) -> Sites:
    """The heads that a body names, each at the chosen positions unless it names its own.

    Raises:
        Problem: text that names no heads, or heads that the model does not have.
    """
    try:
        sites = Sites()
        for place in body["at"] or [None]:
            sites |= heads(body["heads"], at=place)
        check_sites(model, sites)
        _ = sites.pairs
    except MechcheckError as error:
        raise Problem("heads", error) from error
    return sites


def change(sites: Sites, prepared: Prepared, body: Json) -> Intervention | None:
    """The intervention, or None where nothing is to be done, or nowhere.

    Raises:
        Problem: a position that the prompt does not have, a patch without a counterfactual, a mean without references.
    """
    do = body["do"]
    if do == "none" or not len(sites):
        return None
    for site in sites:
        if site.at is not None and site.at not in prepared.prompts.positions:
            known = ", ".join(prepared.prompts.positions)
            raise Problem("heads", f"no position is called {site.at!r}; this prompt has {known}: click a token to name it")
    if do == "patch":
        if prepared.prompts.counterfactual is None:
            raise Problem("do", "patching takes the heads' output from a counterfactual: write one, as long as the prompt")
        return Patch(sites)
    if do == "scale":
        return Scale(sites, float(body["factor"]))
    if do == "zero":
        return Ablate(sites, "zero")
    if prepared.references is None:
        raise Problem("do", f"{do} draws from reference prompts: write some, one on a line, each as long as the prompt")
    return Ablate(sites, do, reference=prepared.references[:1] if do == "resample" else prepared.references)
