"""What is done to which sites, as interventions of the public kind."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from mechcheck.base.errors import MechcheckError, SiteError
from mechcheck.explorer.bodies import DEFAULTS, HEAD_LIKE, SITES, Json, Problem
from mechcheck.explorer.directions import steered, threshold_of
from mechcheck.explorer.prompt import Prepared
from mechcheck.notation import edges as between
from mechcheck.notation import sites as named
from mechcheck.notation.interventions import Ablate, Intervention, KnockOut, Noise, Patch, Permute, Scale, Sparsify
from mechcheck.notation.site_checks import check_sites
from mechcheck.notation.sites import Sites

if TYPE_CHECKING:
    from transformer_lens.model_bridge import TransformerBridge

_READ: dict[str, Callable[..., Sites]] = {name: getattr(named, name, None) or getattr(between, name) for name in SITES}


def chosen_heads(model: "TransformerBridge", body: Json) -> Sites:
    """The sites that a body names, heads unless it says otherwise, each at the chosen positions unless it names its own.

    Raises:
        Problem: text that names no such sites, or sites that the model does not have.
    """
    read = _READ[(DEFAULTS | body)["of"]]
    try:
        sites = Sites()
        for place in body["at"] or [None]:
            sites |= read(body["heads"], at=place)
        check_sites(model, sites)
    except MechcheckError as error:
        raise Problem("heads", error) from error
    return sites


def changes(sites: Sites, prepared: Prepared, body: Json) -> list[Intervention]:
    """The interventions: none where nothing is to be done, or nowhere; one; or, where sites are steered, one for each.

    Raises:
        Problem: a position that the prompt does not have; what is to be done lacks something, or goes with other sites alone.
    """
    asked = DEFAULTS | body
    if asked["do"] == "none" or not len(sites):
        return []
    _check_positions(sites, prepared, asked)
    if asked["of"] == "patterns" and asked["do"] in ("steer", "noise"):
        raise Problem("do", "nothing is added to attention, whose shares would not add up to 1: scale it, patch it or knock it out")
    try:
        if asked["do"] == "steer":
            return [*steered(prepared.seen, sites, asked["direction"], float(asked["strength"]))]
        return [_one(sites, prepared, asked)]
    except Problem:
        raise
    except SiteError as error:
        raise Problem("heads", error) from error
    except MechcheckError as error:
        raise Problem("do", error) from error


def changes_alone(model: "TransformerBridge", prepared: Prepared, body: Json) -> tuple[list[str], list[list[Intervention]]]:
    """What is done, to each site by itself that the page has a cell for: (their texts, the interventions of each).

    Raises:
        Problem: as for `changes`.
    """
    names = cells(model, (DEFAULTS | body)["of"])
    places = [chosen_heads(model, body | {"heads": name}) for name in names]
    changes(Sites(site for sites in places for site in sites), prepared, body)  # what has to be seen of them is seen in one run
    return names, [changes(sites, prepared, body) for sites in places]


def cells(model: "TransformerBridge", kind: str) -> list[str]:
    """Heads, or layers; none of neurons and edges, of which there are too many."""
    config = model.cfg
    if kind in ("neurons", "edges"):
        return []
    layers = range(config.n_layers)
    if kind not in HEAD_LIKE:
        return [*map(str, layers)]
    count = (config.n_key_value_heads if kind in ("keys", "values") else None) or config.n_heads
    return [f"{layer}.{head}" for layer in layers for head in range(count)]


def noted(done: Sequence[Intervention]) -> str:
    """What the page did not ask for in so many words."""
    thresholds = [one.threshold for one in done if isinstance(one, Sparsify) and one.threshold]
    return "".join(f"components of less than {threshold:.4g} become 0" for threshold in thresholds)


def _one(sites: Sites, prepared: Prepared, asked: Json) -> Intervention:
    match asked["do"]:
        case "patch":
            if prepared.prompts.counterfactual is None:
                raise Problem("do", "patching takes activations from a counterfactual: write one, as long as the prompt")
            return Patch(sites)
        case "scale":
            return Scale(sites, float(asked["factor"]))
        case "zero":
            return Ablate(sites, "zero")
        case "permute":
            placed = [site for site in sites if site.at is not None]
            if placed:
                where = "at" if placed[0].at in asked["at"] else "heads"
                raise Problem(where, f"permuting exchanges all positions, and {placed[0]} names one: take @{placed[0].at} away")
            return Permute(sites, int(asked["seed"]))
        case "sparsify":
            return Sparsify(sites, threshold_of(prepared.seen, sites, float(asked["share"])))
        case "noise":
            if asked["deviations"] < 0:
                raise Problem("deviations", "noise has a size of 0 or more, in standard deviations of what is there")
            return Noise(sites, float(asked["deviations"]), int(asked["seed"]))
        case "knockout":
            return _knocked_out(sites, prepared, asked)
    if prepared.references is None:
        raise Problem("do", f"{asked['do']} draws from reference prompts: write some, one on a line, each as long as the prompt")
    return Ablate(sites, asked["do"], reference=prepared.references[:1] if asked["do"] == "resample" else prepared.references)


def _knocked_out(sites: Sites, prepared: Prepared, asked: Json) -> KnockOut:
    """The heads are named, and their attention is meant."""
    if asked["of"] not in ("heads", "patterns"):
        raise Problem("of", f"it is heads whose attention is knocked out: choose them, not {SITES[asked['of']][0]}")
    if not asked["keys"]:
        raise Problem("keys", "choose the token that is not attended to")
    if asked["keys"] not in prepared.prompts.positions:
        raise Problem("keys", _unknown(asked["keys"], prepared))
    return KnockOut(Sites(replace(site, kind="pattern") for site in sites), asked["keys"], asked["only"])


def _check_positions(sites: Sites, prepared: Prepared, asked: Json) -> None:
    for site in sites:
        if site.at is not None and site.at not in prepared.prompts.positions:
            raise Problem("at" if site.at in asked["at"] else "heads", _unknown(site.at, prepared))


def _unknown(name: str, prepared: Prepared) -> str:
    return f"no position is called {name!r}; this prompt has {', '.join(prepared.prompts.positions)}: click a token to name it"
