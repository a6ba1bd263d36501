"""`check.for_all`: Hypothesis searches a strategy for an example that breaks a claim, and shrinks the one it finds.

What a search shows. A counterexample refutes a claim about all examples, whatever it was found by. That none was found is weaker:
Hypothesis tries small examples first, never the same one twice, and varies what it has tried, so its examples are no sample, and no
rate and no interval follow from them. What is recorded is what was done: how many distinct examples were tried, or that all were.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from mechcheck.base.errors import ClaimError, NonFiniteError
from mechcheck.base.outgoing import error_text
from mechcheck.prompts.prompt_set import PromptSet
from mechcheck.stats.estimates import Estimate
from mechcheck.stats.measurement import Measurement
from mechcheck.verdicts.drawn_examples import key_of, prompts_in, sample_of, shown
from mechcheck.verdicts.seeded_hypothesis import Broken, drive

if TYPE_CHECKING:
    from hypothesis.strategies import SearchStrategy

# Strategies may draw what they drew before, in another way: distinct examples are what counts.
DRAWS_PER_EXAMPLE = 4
# A counterexample is 0, anything else 1; decided as every other estimate is.
THRESHOLD = 0.5


@dataclass(frozen=True)
class Counterexample:
    """An example that breaks the claim, the simplest that was found."""

    label: str
    """The expectation's."""
    example: str
    """The example as text."""
    prompts: PromptSet | None
    """Those prompts of the example that break the claim; None where it holds none."""
    values: tuple[float, ...]
    """What was measured where the claim is broken, prompt by prompt; empty where the predicate said no more than no."""
    measured: str
    """What the values are."""
    unit: str
    tried: int
    """Distinct examples up to the first that broke the claim."""
    shrunk: bool
    """Whether simpler ones were looked for then."""


@dataclass(frozen=True)
class Search:
    """What a search came to."""

    label: str
    tried: Measurement
    """1 for each distinct example, none of which breaks the claim; or 0 for the one that does."""
    estimate: Estimate
    """1 where no counterexample was found and 0 where one was, known exactly for what was tried; [0, 1] where too little was."""
    counterexample: Counterexample | None


def search(
    examples: "SearchStrategy[Any]",
    holds: Callable[[Any], bool | Measurement],
    *,
    n: int,
    seed: int,
    shrink: bool = True,
    label: str | None = None,
) -> Search:
    """Look for an example on which `holds` is not true, among `n` distinct ones or all that the strategy has.

    The draws depend on the seed alone. Nothing is written to disk and nothing printed. Every example is run with plain hooks: a
    prompt that is met once is not worth a fast sweep, which checks itself.

    Args:
        examples: a Hypothesis strategy; where it draws a `PromptSet`, or a tuple with one, the counterexample is shown token by token.
        holds: example -> bool, or a `Measurement` of 1 and 0 (`run(...) > 0`) that must be 1 on every prompt.
        n: distinct examples to try.
        seed: of the draws.
        shrink: whether to look for a simpler counterexample once one is found.
        label: what the report calls it.

    Raises:
        ClaimError: no strategy, a predicate that crashes or answers neither yes nor no, a strategy that Hypothesis refuses.
        NonFiniteError: NaN, on which nothing is broken and nothing holds.
    """
    __tracebackhide__ = True
    from hypothesis.strategies import SearchStrategy

    from mechcheck.engine.run import plain_hooks

    if not isinstance(examples, SearchStrategy):
        raise ClaimError(
            f"for_all takes a Hypothesis strategy, got {type(examples).__name__}; for a list use hypothesis.strategies.sampled_from, "
            "for a PromptSet mechcheck.strategies.prompts_from"
        )
    if not callable(holds):
        raise ClaimError(f"for_all needs a function of an example that says whether the claim holds, got {type(holds).__name__}")
    if n < 1:
        raise ClaimError(f"for_all(n={n}): at least one example must be tried")
    hunt, exhausted = _Hunt(holds, n, shrink), False
    try:
        with plain_hooks():
            exhausted = drive(examples, hunt.meet, most=DRAWS_PER_EXAMPLE * n, seed=seed, shrink=shrink)
    except (Broken, _Enough):
        pass
    except _Crash as crash:
        raise crash.error from crash.error.__cause__
    return hunt.result(label, exhausted)


class _Enough(BaseException):
    """As many examples were tried as were asked for, or one broke the claim that is not to be shrunk."""


class _Crash(BaseException):
    """An example could not be judged."""

    def __init__(self, error: Exception):
        super().__init__(error)
        self.error = error


@dataclass(frozen=True)
class _Answer:
    """What the predicate said of an example."""

    holds: bool
    name: str = ""
    rows: tuple[int, ...] | None = None
    """The prompts that break the claim, where it measured prompts."""
    ids: tuple[str, ...] = ()
    """Of all prompts that it measured."""
    values: tuple[float, ...] = ()
    """What was measured in those rows."""
    measured: str = ""
    unit: str = ""


@dataclass
class _Hunt:
    """What was met so far."""

    holds: Callable[[Any], Any]
    n: int
    shrink: bool
    tried: dict[str, tuple[str, str]] = field(default_factory=dict)
    """Distinct examples up to the first that broke the claim -> id, template."""
    name: str = ""
    broken: tuple[Any, _Answer] | None = None
    """The example that broke the claim last, which is the simplest in the end."""

    def meet(self, example: Any) -> None:
        """Judge an example; raise where the hunt turns or ends."""
        try:
            key, sample = key_of(example), sample_of(example)
        except ClaimError as error:
            raise _Crash(error) from None
        answer = self._ask(example)
        self.name = self.name or answer.name
        if self.broken is None:
            self.tried.setdefault(key, sample)
        if not answer.holds:
            self.broken = (example, answer)
            raise Broken if self.shrink else _Enough
        if self.broken is None and len(self.tried) >= self.n:
            raise _Enough

    def result(self, label: str | None, exhausted: bool) -> Search:
        """What it came to."""
        named = label or f"for all: {self.name or _name_of(self.holds)}"
        if self.broken is not None:
            example, answer = self.broken
            found = _counterexample(named, example, answer, len(self.tried), self.shrink)
            return Search(named, _measurement(named, [sample_of(example)], 0.0), self._estimate(0.0, found.tried, True), found)
        count = len(self.tried)
        enough = exhausted or count >= self.n
        return Search(named, _measurement(named, list(self.tried.values()), 1.0), self._estimate(1.0, count, enough, exhausted), None)

    def _estimate(self, value: float, n: int, enough: bool, exhausted: bool = False) -> Estimate:
        if not value:
            method = f"counterexample: the {_ordinal(n)} distinct example that was tried"
        elif exhausted:
            method = f"no counterexample: all {n} examples were tried"
        else:
            method = f"no counterexample among {n} distinct examples" + ("" if enough else f", of {self.n} that were asked for")
        low, high = (value, value) if enough else (0.0, 1.0)
        return Estimate(value, low, high, 1.0, n, n, method)

    def _ask(self, example: Any) -> _Answer:
        from hypothesis.errors import HypothesisException

        try:
            return _read(self.holds(example))
        except HypothesisException:  # assume() in the predicate: the example does not count
            raise
        except Exception as error:
            raise _Crash(_told(error, example)) from None


def _measurement(label: str, samples: list[tuple[str, str]], value: float) -> Measurement:
    ids, templates = zip(*samples, strict=True)
    return Measurement(np.full(len(ids), value), ids, templates, label)


def _read(answer: Any) -> _Answer:
    """The predicate's answer, which must be yes or no."""
    if isinstance(answer, bool | np.bool_):
        return _Answer(bool(answer))
    if not isinstance(answer, Measurement):
        raise ClaimError(
            f"the predicate of for_all must return True or False, or a Measurement of yes and no such as run(...) > 0, "
            f"not {type(answer).__name__}{' (is a return missing?)' if answer is None else ''}"
        )
    name = answer.name or "the measurement"
    bad = [prompt for prompt, value in zip(answer.ids, answer.values, strict=True) if not np.isfinite(value)]
    if bad:
        raise NonFiniteError(f"{name} is not finite on {len(bad)} of {len(answer)} prompts ({', '.join(bad[:3])})")
    if answer.denominator is not None or not len(answer) or not np.isin(answer.values, (0.0, 1.0)).all():
        raise ClaimError(f"{name} says neither yes (1) nor no (0) of a prompt; compare it with a threshold, as in run(...) > 0")
    rows = tuple(np.flatnonzero(answer.values == 0).tolist())
    below = answer.compared
    if below is None or below.ids != answer.ids:
        return _Answer(not rows, answer.name, rows, answer.ids)
    return _Answer(not rows, answer.name, rows, answer.ids, tuple(below.values[list(rows)].tolist()), below.name, below.unit)


def _counterexample(label: str, example: Any, answer: _Answer, tried: int, shrunk: bool) -> Counterexample:
    prompts, whole = prompts_in(example), example
    if prompts is not None and answer.rows is not None and answer.ids == prompts.ids:
        prompts = prompts[list(answer.rows)]
        whole = prompts if isinstance(example, PromptSet) else example
    return Counterexample(label, shown(whole), prompts, answer.values, answer.measured, answer.unit, tried, shrunk)


def _told(error: Exception, example: Any) -> Exception:
    """What went wrong, and on which example."""
    kind, text = ClaimError, f"the predicate raised {error_text(error)}"
    if isinstance(error, NonFiniteError | ClaimError):
        kind, text = type(error), str(error)  # type: ignore[assignment]
    elif isinstance(error, AssertionError):
        text += " (return the condition instead of asserting it)"
    told = kind(f"{text}; the example: {shown(example)}")
    told.__cause__ = error
    return told


def _name_of(holds: Callable[..., Any]) -> str:
    name = getattr(holds, "__name__", "")
    return "it holds" if name in ("", "<lambda>") else name.strip("_").replace("_", " ")


def _ordinal(n: int) -> str:
    last = {1: "st", 2: "nd", 3: "rd"}.get(n % 10, "th") if n % 100 not in (11, 12, 13) else "th"
    return f"{n}{last}"
