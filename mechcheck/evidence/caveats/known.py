"""The caveats there are, who asks for them, and what becomes of a claim that has one."""

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any

from mechcheck.notation.caveats import Caveat

Json = dict[str, Any]

ZHANG = "Zhang and Nanda 2024, arXiv:2309.16042"
HEIMERSHEIM = "Heimersheim and Nanda 2024, arXiv:2404.15255"
MILLER = "Miller et al. 2024, arXiv:2407.08734"
MCGRATH = "McGrath et al. 2023, arXiv:2307.15771"
WANG = "Wang et al. 2022, arXiv:2211.00593"
BRIEFLY: Mapping[Caveat, str] = {
    "gaussian_noise": f"Gaussian noise where there is a counterfactual that exchanges tokens ({ZHANG})",
    "other_lengths": f"activations from prompts of another length ({ZHANG})",
    "few_references": f"means over fewer than ten prompts ({MILLER})",
    "bounded_metric": f"effects read as probabilities or accuracies alone ({ZHANG}; {HEIMERSHEIM})",
    "saturated_metric": f"probabilities or accuracies that are nearly 0 or 1 ({HEIMERSHEIM})",
    "wrong_direction": f"necessity by denoising alone, or sufficiency by noising alone ({HEIMERSHEIM})",
    "beyond_whole": f"shares of a whole that lie above 1 or below 0 ({MILLER})",
    "seen_prompts": f"prompts that the circuit was found on ({HEIMERSHEIM})",
    "single_backup": f"parts of a circuit ablated alone, for which others stand in ({WANG}; {MCGRATH})",
    "not_additive": f"an effect of several sites beside those of each, which are not its parts ({HEIMERSHEIM}; {ZHANG})",
}
"""What a caveat is about -> what a run's summary says of the claims that have it."""


def caveat_lines(claims: Iterable[Mapping[str, Any]]) -> Iterator[str]:
    """A line for each kind of caveat in a run: what it is about, how many claims have it, and how many of these accept it."""
    having: Counter[str] = Counter()
    accepted: Counter[str] = Counter()
    for claim in claims:
        own = {caveat["about"]: "accepted" in caveat for caveat in claim.get("caveats", ())}
        having.update(own.keys())
        accepted.update(about for about, known in own.items() if known)
    for about, n in sorted(having.items()):
        known = f" (accepted by {accepted[about]})" if accepted[about] else ""
        yield f"{n} claim{'s' * (n != 1)}: {briefly(about)}{known}"


def judged(caveats: Sequence[Mapping[str, Any]], accepts: Mapping[str, str], strict: Collection[str]) -> list[Json]:
    """Each caveat with the reason for which its claim accepts it, or whether it fails the claim, as the run is strict about it."""
    found = []
    for caveat in caveats:
        about = caveat["about"]
        more = {"accepted": accepts[about]} if about in accepts else {"fails": True} if about in strict else {}
        found.append({**caveat, **more})
    return found


def failing_caveats(claim: Mapping[str, Any]) -> list[str]:
    """What to read of the caveats that fail a claim: none in a run that is not strict, and none of what the claim accepts."""
    return [f"{caveat['about']}: {caveat['text']}" for caveat in claim.get("caveats", ()) if caveat.get("fails")]


def briefly(about: str) -> str:
    """What a run's summary says of claims with this caveat; of one that this version does not know, its name."""
    return next((text for known, text in BRIEFLY.items() if known == about), about)
