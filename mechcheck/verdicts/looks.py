"""A claim looked at part of its prompts after part: its body is run again on more of them until that has decided it."""

from collections.abc import Callable, Iterator
from dataclasses import replace

from mechcheck.base.errors import PromptError
from mechcheck.verdicts.outcome import Outcome, decide_claim
from mechcheck.verdicts.sampling import Draw
from mechcheck.verdicts.trial import Trial


def looks(trial: Trial, draw: Draw, body: Callable[..., object], too_few: bool) -> Iterator[tuple[Trial, Outcome]]:
    """The claim's outcome at each look, and the trial that it was: the first has been run, the others are run here.

    Prompts that are too few for the body (a `PromptError`) are no end of it, as long as there are more to draw.

    Args:
        trial: as the claim was run at the first look.
        draw: what it draws from.
        body: the test, which is run again for each look with prompts and check in place of those it had.
        too_few: whether the prompts of the first look were.
    """
    __tracebackhide__ = True
    while True:
        if too_few:
            draw.pass_over(trial.arguments["prompts"])
        else:
            check = trial.arguments.get("check")
            if check is not None:
                draw.hold_ranks(check)
            outcome = decide_claim(check, trial.case.expect)
            sampling = draw.look(outcome.verdict, outcome.expectations, trial.arguments["prompts"])
            yield trial, replace(outcome, sampling=sampling)
            if sampling.stopped is not None:
                return
        draw.number += 1
        trial = _with_more(trial, draw)
        too_few = not _has_enough(trial, draw, body)


def _has_enough(trial: Trial, draw: Draw, body: Callable[..., object]) -> bool:
    """Run the body; false where it says that its prompts are too few, and there are more."""
    __tracebackhide__ = True
    try:
        with trial.guard.untouched(trial.arguments):
            body(**trial.arguments)
    except PromptError:
        if draw.is_last:
            raise
        return False
    return True


def _with_more(trial: Trial, draw: Draw) -> Trial:
    """The same with the prompts of the next look, and a check that knows of none yet."""
    assert trial.prompts_for is not None
    arguments = dict(trial.arguments)
    arguments["prompts"] = trial.prompts_for(arguments["model"])
    arguments["check"] = trial.case.check(arguments["model"], arguments.get("circuit"), confidence=draw.at_look)
    return replace(trial, arguments=arguments)
