"""What is done to the sites of a page, as the code of a claim that does it again on other prompts."""

from collections.abc import Sequence
from typing import NamedTuple

from mechcheck.explorer.bodies import DEFAULTS, Json
from mechcheck.notation.interventions import Ablate, Intervention, KnockOut, Noise, Patch, Permute, Scale, Sparsify, Steer


class Written(NamedTuple):
    """Code that does it."""

    call: str
    """What `run` is given."""
    uses: frozenset[str] = frozenset()
    """Names of mechcheck that it takes."""
    helper: str = ""
    """A function that stands before the claim."""


_STEERED = {
    "answer": """
def steered(model, prompts, sites):
    # What the logits' last map gives the answer above the foil, as each site writes it into the stream.
    towards = (model.W_U[:, prompts.answers] - model.W_U[:, prompts.foils]).T
    written = [towards @ model.W_O[site.layer, site.index].T if site.kind == "head" else towards for site in sites]
    return [Steer(vector, Sites([site]), {strength}) for site, vector in zip(sites, written, strict=True)]

""",
    "counterfactual": """
def steered(model, prompts, sites):
    # Each site's activation on the counterfactual above that on the prompt, at END where it names no position.
    found = []
    for site in sites:
        where = Sites([site]).at(site.at or "END")
        (here,), (there,) = (capture(model, some, where).values() for some in (prompts, prompts.counterfactual))
        found.append(Steer(there - here, Sites([site]), {strength}))
    return found

""",
}


def write_change(done: Sequence[Intervention], where: str, of: str, body: Json) -> Written:
    """The change of a page.

    Args:
        done: it, as the page does it.
        where: the code of its sites.
        of: the function that reads these.
        body: what the page asked.
    """
    asked, first = DEFAULTS | body, done[0]
    name = type(first).__name__
    match first:
        case Steer():
            helper = _STEERED[asked["direction"]].format(strength=repr(first.scale))
            uses = {"Sites", "Steer"} | ({"capture"} if asked["direction"] == "counterfactual" else set())
            return Written(f"steered(model, prompts, {where})", frozenset(uses), helper)
        case KnockOut():
            uses = {name} if of == "patterns" else {name, "patterns"}
            attention = where if of == "patterns" else f"patterns({where}.places)"
            only = ", only=True" if first.only else ""
            return Written(f"KnockOut({attention}, {first.keys!r}{only})", frozenset(uses))
        case Patch():
            settings = ""
        case Scale():
            settings = f", {first.factor!r}"
        case Ablate():
            settings = f", {first.method!r}"
        case Permute():
            settings = f", {first.seed!r}"
        case Noise():
            settings = f", {first.scale!r}, {first.seed!r}"
        case Sparsify():
            settings = f", {first.threshold!r}"
        case _:
            raise TypeError(f"the page does no {name}")
    return Written(f"{name}({where}{settings})", frozenset({name}))
