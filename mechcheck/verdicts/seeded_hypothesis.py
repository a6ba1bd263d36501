"""Hypothesis, driven by a seed alone: the same examples in every run, process and order of tests; nothing printed, nothing on disk."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any
from unittest import mock

from mechcheck.base.errors import ClaimError
from mechcheck.base.outgoing import error_text
from mechcheck.verdicts.drawn_examples import shown

if TYPE_CHECKING:
    from hypothesis.errors import HypothesisException
    from hypothesis.strategies import SearchStrategy

_LONGEST = 300


class Broken(Exception):
    """An example breaks the claim: to be shrunk, to the simplest on which this is raised too."""


class _Drawn:
    """An example as Hypothesis is to write it, which writes out every tensor of a PromptSet otherwise."""

    def __init__(self, example: Any):
        self.example = example

    def __repr__(self) -> str:
        return shown(self.example)


def drive(examples: "SearchStrategy[Any]", meet: Callable[[Any], None], *, most: int, seed: int, shrink: bool) -> bool:
    """Hand examples of a strategy to `meet`; returns whether it met all that there are.

    Any other exception than `Broken` that is to end the search must be a BaseException: Hypothesis lets these through, and would
    shrink the rest. Shrinking itself ends after five minutes (a limit of Hypothesis).

    Args:
        examples: the strategy.
        meet: raises `Broken` for an example to be shrunk; the last one that it met then is the simplest.
        most: draws, of which some may give the same example.
        seed: of the draws.
        shrink: whether to look for simpler examples.

    Raises:
        Broken: as `meet` did.
        ClaimError: the strategy is refused by Hypothesis, or fails to draw.
    """
    __tracebackhide__ = True
    from hypothesis import HealthCheck, Phase, Verbosity, given, settings
    from hypothesis import seed as seeded
    from hypothesis.errors import HypothesisException
    from hypothesis.statistics import collector

    # Every setting that a profile of the user's could change is given here: the verdict must not depend on it.
    rules = settings(
        max_examples=most,
        phases=(Phase.generate, Phase.shrink) if shrink else (Phase.generate,),
        database=None,
        deadline=None,
        derandomize=False,  # it would seed the draws with the source of the function below
        verbosity=Verbosity.quiet,
        report_multiple_bugs=False,
        print_blob=False,
        suppress_health_check=[HealthCheck.too_slow],  # the others depend on the strategy alone, this one on the machine
    )

    @seeded(seed)
    @rules
    @given(examples.map(_Drawn))
    def tried(drawn: _Drawn) -> None:
        meet(drawn.example)

    statistics: list[Any] = []
    try:
        with collector.with_value(statistics.append), _no_constants_of_the_source():  # type: ignore[arg-type]
            tried()
    except Broken:
        raise
    except HypothesisException as error:
        raise ClaimError(_advice(error)) from error
    except Exception as error:
        raise ClaimError(f"the strategy could not draw an example: {error_text(error)}") from error
    return any(found.get("stopped-because") == "nothing left to do" for found in statistics)


@contextmanager
def _no_constants_of_the_source() -> Iterator[None]:
    """Keep Hypothesis from drawing numbers and texts that it finds in the modules imported so far.

    It does so in one draw of twenty, and keeps what it found in a folder of its own: the same seed would draw other examples in
    another order of tests.
    """
    try:
        from hypothesis.internal.conjecture.providers import HypothesisProvider as Provider
    except ImportError:  # versions that have no such constants
        yield
        return
    name = "_maybe_draw_constant"
    with mock.patch.object(Provider, name, _no_constant) if hasattr(Provider, name) else ExitStack():
        yield


def _no_constant(*_: Any, **__: Any) -> None:
    """As if Hypothesis had not chosen to draw one."""


def _advice(error: "HypothesisException") -> str:
    """What a refusal of Hypothesis means for the claim, and what to do."""
    from hypothesis.errors import FailedHealthCheck, Flaky, InvalidArgument, Unsatisfiable

    said = " ".join(str(error).partition("\n\n")[0].split())[:_LONGEST] or type(error).__name__
    if isinstance(error, Unsatisfiable):
        return "the strategy gives no example that can be tried: its filters, or assume(), refuse all. Build examples that fit"
    if isinstance(error, FailedHealthCheck):
        return f"Hypothesis refuses the strategy: {said} Build examples that fit, rather than filter those that do not"
    if isinstance(error, Flaky):
        return f"the same example was judged, or drawn, once this way and once that way: seed whatever is drawn at random ({said})"
    if isinstance(error, InvalidArgument):
        return f"the strategy is not valid: {said}"
    return f"Hypothesis gave up: {type(error).__name__}: {said}"
