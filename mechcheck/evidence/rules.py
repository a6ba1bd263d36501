"""What is said of a claim in two runs: rules in order, of which the first that applies decides. `RULES` is the policy."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

from mechcheck.base.cached import cached_property
from mechcheck.base.errors import MechcheckError, NonFiniteError
from mechcheck.evidence.drift import Difference
from mechcheck.evidence.runs import Json
from mechcheck.evidence.status import Status
from mechcheck.verdicts.words import verdict_word


class Measured(NamedTuple):
    """What changed in the numbers of a claim, or why that cannot be said."""

    differences: Sequence[Difference] = ()
    """One for each expectation."""
    problem: str = ""
    """Why the two runs cannot be compared prompt by prompt; empty where they can."""


@dataclass(frozen=True)
class Pair:
    """A claim of the new run, beside what the baseline has of it."""

    earlier: Json
    """Its record in the baseline; empty where there is none, or where it was skipped."""
    claim: Json
    """Its record in the new run."""
    measure: Callable[[], Sequence[Difference]]
    """Compares the two measurements of each expectation; raises MechcheckError or NonFiniteError where that cannot be done."""

    @property
    def verdicts(self) -> tuple[str | None, str]:
        """The verdict in the baseline (None without a record there) and the one now."""
        return self.earlier.get("verdict"), self.claim["verdict"]

    @property
    def turned(self) -> str:
        """Both verdicts, where they are not the same; else nothing."""
        before, now = self.verdicts
        return f"{before and verdict_word(before)} -> {verdict_word(now)}" if before != now else ""

    @property
    def remark(self) -> str:
        """`turned` as it is added to a reason that weighs more."""
        return f" ({self.turned})" if self.turned else ""

    @cached_property
    def measured(self) -> Measured:
        """The differences; they are worked out when a rule first asks for them, as claims that are not alike have none."""
        try:
            return Measured(self.measure())
        except (MechcheckError, NonFiniteError) as error:
            return Measured(problem=str(error))


class Ruling(NamedTuple):
    """What a rule decides of a claim."""

    status: Status | Literal["unmentioned", "by differences"]
    """Its status. "unmentioned": the comparison has no word of it. "by differences": they decide between same, drifted and unsure,
    once their p-values have been adjusted over all claims."""
    reason: str = ""
    differences: Sequence[Difference] = ()
    """Those to be shown with it."""


Rule = Callable[[Pair], Ruling | None]
"""None where the rule does not apply. A rule may rely on it that those before it did not apply."""


def measured_in_neither(pair: Pair) -> Ruling | None:
    """Skipped now, and no more than that before: there is nothing to say."""
    return Ruling("unmentioned") if pair.claim["verdict"] == "skipped" and not pair.earlier else None


def skipped_now(pair: Pair) -> Ruling | None:
    """Skipped now, and measured before: missing, though it was collected."""
    return Ruling("missing", f"skipped in this run: {pair.claim['reason']}") if pair.claim["verdict"] == "skipped" else None


def not_in_the_baseline(pair: Pair) -> Ruling | None:
    """Measured now for the first time: new."""
    return None if pair.earlier else Ruling("new", "the baseline has no such measurement")


def another_version(pair: Pair) -> Ruling | None:
    """Its own version, or its task's, was raised, which says that it is not what it was: incomparable, whatever came out."""
    for key, what in (("version", "the claim"), ("task_version", f"task {pair.claim['task']}")):
        old, new = (side.get(key, 1) for side in (pair.earlier, pair.claim))
        if old != new and None not in (old, new):
            return Ruling("incomparable", f"version {old} of {what} -> version {new}{pair.remark}")
    return None


def errored_in_both(pair: Pair) -> Ruling | None:
    """Two errors, which may be two different ones: incomparable."""
    return Ruling("incomparable", "errored in both runs: nothing was measured") if pair.verdicts == ("errored", "errored") else None


def errored_in_one(pair: Pair) -> Ruling | None:
    """A claim that could be decided in one of the runs only: flipped, even if it was rewritten in between."""
    return Ruling("flipped", pair.turned) if "errored" in pair.verdicts else None


def another_claim(pair: Pair) -> Ruling | None:
    """It says or demands something else: incomparable, and another verdict is no flip."""
    other = _otherwise(pair.earlier, pair.claim)
    return Ruling("incomparable", f"it is another claim now: {other}{pair.remark}") if other else None


def turned_but_not_paired(pair: Pair) -> Ruling | None:
    """Another verdict on the same prompts, whose values are lost or not comparable: flipped all the same."""
    if pair.measured.problem and pair.turned and _on_the_same_prompts(pair.earlier, pair.claim):
        return Ruling("flipped", f"{pair.turned}; {pair.measured.problem}")
    return None


def not_paired(pair: Pair) -> Ruling | None:
    """Other prompts, or values that are lost or not comparable: incomparable, and another verdict may come from the prompts."""
    return Ruling("incomparable", f"{pair.measured.problem}{pair.remark}") if pair.measured.problem else None


def turned(pair: Pair) -> Ruling | None:
    """Another verdict than before: flipped, whatever the differences say; they are told beside it."""
    return Ruling("flipped", pair.turned, pair.measured.differences) if pair.turned else None


def turned_in_a_cell(pair: Pair) -> Ruling | None:
    """The same verdict of a claim over a grid of methods, and another one in some of its cells: flipped."""
    cells = [{cell["text"]: cell["verdict"] for cell in side["grid"]["cells"]} for side in (pair.earlier, pair.claim) if "grid" in side]
    if len(cells) < 2:
        return None
    before, now = cells
    told = [f"[{text}]: {verdict_word(before[text])} -> {verdict_word(now[text])}" for text in before if before[text] != now[text]]
    return Ruling("flipped", ", ".join(told), pair.measured.differences) if told else None


def same_verdict(pair: Pair) -> Ruling | None:
    """The same verdict on prompts in common: the differences decide."""
    return Ruling("by differences", "", pair.measured.differences)


RULES: tuple[Rule, ...] = (
    measured_in_neither,
    skipped_now,
    not_in_the_baseline,
    another_version,
    errored_in_both,
    errored_in_one,
    another_claim,
    turned_but_not_paired,
    not_paired,
    turned,
    turned_in_a_cell,
    same_verdict,
)


def ruling(pair: Pair) -> Ruling:
    """What the first rule that applies decides; the last one always does."""
    return next(found for rule in RULES if (found := rule(pair)) is not None)


_UNKNOWN = [None, None]
"""The region of a rate that schema 1 did not say the side of: nobody can tell that it was another."""


def _otherwise(earlier: Json, claim: Json) -> str:
    """What the claim says or demands otherwise than it did, or nothing."""
    if earlier["statement"] != claim["statement"]:
        return f"it said {earlier['statement']!r}"
    old, new = earlier["expectations"], claim["expectations"]
    if len(old) != len(new):
        return f"{len(old)} checks -> {len(new)}"
    for a, b in zip(old, new, strict=True):
        for key in ("label", "kind", "role", "threshold", "region", "margin"):
            if a[key] != b[key] and not (key == "region" and _UNKNOWN in (a[key], b[key])):
                return f"{key} {a[key]} -> {b[key]}"
    return ""


def _on_the_same_prompts(earlier: Json, claim: Json) -> bool:
    prompts = [side["prompts"] and side["prompts"]["ids_sha256"] for side in (earlier, claim)]
    return prompts[0] is not None and prompts[0] == prompts[1]
