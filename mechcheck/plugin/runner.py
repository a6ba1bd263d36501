"""Running a claim: its body, its verdict, its contrasts, and the one record that is written from them."""

import functools
import time
from collections.abc import Generator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Any

import pytest

from mechcheck.evidence.caveats.known import failing_caveats
from mechcheck.evidence.counterexample_text import counterexample_lines
from mechcheck.evidence.parts import State
from mechcheck.evidence.record import NOT_MEASURED, Record, describe_arguments, describe_others, record_of
from mechcheck.plugin.cases import case_of
from mechcheck.plugin.dictionaries import noticing, worth
from mechcheck.plugin.drawing import draw_of
from mechcheck.plugin.fixtures import CIRCUIT_FOR, PROMPTS_FOR
from mechcheck.plugin.instrument import examine
from mechcheck.plugin.properties import attach
from mechcheck.plugin.settings import SETTINGS
from mechcheck.verdicts.case import Case
from mechcheck.verdicts.grids.grid import where_of
from mechcheck.verdicts.outcome import Outcome, skipped
from mechcheck.verdicts.supplies import CircuitFor, PromptsFor, circuit_of, prepare
from mechcheck.verdicts.words import check_lines, deciding_first, verdict_word

if TYPE_CHECKING:
    from mechcheck.evidence.caveats.found import About
    from mechcheck.evidence.used import Used
    from mechcheck.verdicts.guard import Guard
    from mechcheck.verdicts.trial import Trial

OUTCOME = pytest.StashKey[Outcome]()
"""What became of a claim, for whoever makes its report."""

CAVEATS = pytest.StashKey[bool]()
"""Whether its caveats fail it, whatever its verdict."""

_INTERRUPTIONS = (KeyboardInterrupt, pytest.exit.Exception)
"""What ends the run, so that the claim it met was not decided."""

_SUBTESTS = pytest.StashKey[list[str]]()
"""What failed in a claim's subtests, which catch it before it reaches the claim."""


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """Leave a record at once, so that a killed process does not make the claim disappear."""
    case = case_of(item)
    if case is not None:
        item.config.stash[SETTINGS].parts.save_record(record_of(case, Outcome()), "started")
        if case.spec.over is not None and isinstance(item, pytest.Function):
            item.funcargs.update(case.spec.over.cells[0].arguments)


@pytest.hookimpl(wrapper=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> Generator[None, object, object]:
    """Run the body of a claim, decide it, and let pytest know how it ended."""
    __tracebackhide__ = True
    case = case_of(pyfuncitem)
    if case is None:
        return (yield)
    from mechcheck.base.errors import AbsentRoleError, PromptError
    from mechcheck.evidence.costs.spent import Spent
    from mechcheck.evidence.used import Used
    from mechcheck.verdicts.cells.contrasts import contrast_cells
    from mechcheck.verdicts.cells.running import first_cell, other_cells, sharing_runs
    from mechcheck.verdicts.contrast import contrast
    from mechcheck.verdicts.looks import looks
    from mechcheck.verdicts.outcome import decide_claim
    from mechcheck.verdicts.trial import Trial

    arguments: dict[str, Any] = {name: pyfuncitem.funcargs[name] for name in pyfuncitem._fixtureinfo.argnames}
    trial = Trial(case, _plain(pyfuncitem.obj), arguments, _guard(pyfuncitem, case), *map(_plain, _makers(pyfuncitem, case)))
    trials = [trial]
    subject, outcome, draw, started, used = NOT_MEASURED, Outcome(), draw_of(pyfuncitem), time.perf_counter(), Used()
    spent = Spent(case.conditions.device)
    state: State = "decided"
    try:
        subject = describe_arguments(arguments)
        prepare(case.conditions)
        examine(pyfuncitem.config, arguments)
        trial = trial if case.spec.over is None else first_cell(trial)
        trials = [trial]
        result, too_few = None, False
        try:
            with used.watching(), noticing() as seen, sharing_runs(case):
                with _there(trial), trial.guard.untouched(arguments):
                    result = yield
                for another in () if trial.cell is None else other_cells(trial, pyfuncitem.obj):
                    trials.append(another)
        except PromptError:
            if draw is None or draw.is_last:
                raise
            too_few = True
        if draw is None:
            outcome = decide_claim(arguments.get("check"), case.expect)
        else:
            with used.watching():
                for look in looks(trial, draw, pyfuncitem.obj, too_few):
                    trial, outcome = look
                    trials, subject = [trial], describe_arguments(trial.arguments)
        subject = subject | worth(pyfuncitem.config, seen, trial.arguments)
        if failed := pyfuncitem.stash.get(_SUBTESTS, None):
            raise AssertionError(f"{len(failed)} of its subtests failed: {failed[0]}")
        used.look_behind(_about(trials, outcome))
        if outcome.met and outcome.verdict != "not_applicable":  # what decided nothing needs no contrast
            one = outcome.grid is None
            found = contrast(trial, outcome.expectations, outcome.samples) if one else contrast_cells(trials, outcome)
            outcome = outcome.against(found)
    except pytest.skip.Exception as skip:
        outcome = skipped(f"{where_of(skip)}{skip.msg}")
        raise
    except AbsentRoleError as absent:
        outcome = skipped(f"{where_of(absent)}{absent}")
        pytest.skip(outcome.reason)
    except BaseException as error:  # pytest.fail, pytest.xfail and an interruption are no Exception
        outcome = outcome.errored(error)
        if isinstance(error, _INTERRUPTIONS):
            state = "interrupted"
        raise
    finally:
        subject = (
            subject
            | _texts(pyfuncitem, subject, trial.arguments, used, outcome)
            | _used(pyfuncitem, used, trials, outcome, subject["model"])
            | spent.record()
        )
        record = _finish(pyfuncitem, case, outcome, subject, time.perf_counter() - started, state)
    conclude(record)
    return result


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """A claim that did not get as far as its body is recorded too: errored, or skipped with the reason."""
    report = yield
    if report.when == "call" and report.failed and OUTCOME not in item.stash:  # of a subtest, as the body has not ended
        item.stash.setdefault(_SUBTESTS, []).append(call.excinfo.exconly() if call.excinfo else "no message")
    if report.when != "setup" or report.passed:
        return report
    case = case_of(item)
    if case is not None:
        if report.skipped:
            reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
            outcome = skipped(reason.removeprefix("Skipped: "))
        else:
            outcome = Outcome().errored(call.excinfo.value if call.excinfo else None)
        _finish(item, case, outcome)
        report.user_properties = list(item.user_properties)
    return report


def _finish(
    item: pytest.Item, case: Case, outcome: Outcome, subject: Record = NOT_MEASURED, duration: float = 0.0, state: State = "decided"
) -> Record:
    """Keep what became of a claim: on disk, on the item for whoever makes its report, and on the report."""
    parts = item.config.stash[SETTINGS].parts
    record = record_of(case, outcome, subject, duration)
    item.stash[CAVEATS] = len(failing_caveats(record)) > 0
    item.stash[OUTCOME] = Outcome(outcome.verdict, outcome.met, outcome.reason)  # pytest keeps items: what was measured is not for long
    if outcome.samples:
        beside = [] if outcome.contrast is None else outcome.contrast.beside([e.label for e in outcome.expectations])
        parts.save_samples(record["id"], outcome.samples, beside)
    try:
        parts.save_record(record, state)
    except (ValueError, TypeError, MemoryError) as error:  # an object of the user's can have anything in it
        parts.save_record(record_of(case, Outcome().errored(error)))
        raise
    attach(item, record)
    return record


def _there(trial: "Trial") -> AbstractContextManager[None]:
    """What is raised here says in which cell of a grid it was, where there is one."""
    return nullcontext() if trial.cell is None else trial.cell.telling()


def _texts(item: pytest.Item, subject: Record, arguments: Mapping[str, Any], used: "Used", outcome: Outcome) -> Record:
    """By which hashes the texts of the prompts behind a claim's checks are found, once they are kept; those behind a search are many."""
    from mechcheck.evidence.samples.texts import sets_behind

    settings = item.config.stash[SETTINGS]
    pairs = zip(outcome.expectations, outcome.samples, strict=True)
    ids = () if settings.prompts == "none" else {name for e, measured in pairs if e.kind != "for_all" for name in measured.ids}
    own = arguments["prompts"] if subject["prompts"] else None
    return {"texts": [settings.parts.save_texts(some) for some in sets_behind(ids, own, used.sets)]} if ids else {}


def _about(trials: "Sequence[Trial]", outcome: Outcome) -> "About":
    """What a claim's caveats are told from."""
    from mechcheck.evidence.caveats.found import About

    arguments = [trial.arguments for trial in trials]
    return About.of(trials[0].case.spec.kind, arguments, outcome.expectations, outcome.samples)


def _used(item: pytest.Item, used: "Used", trials: "Sequence[Trial]", outcome: Outcome, own: Record | None) -> Record:
    """What the claim's body changed, and in which models besides its own, and the caveats of that: which of them fail the claim, as the
    run is strict, and which it accepts."""
    from mechcheck.evidence.caveats.known import judged

    case, found = trials[0].case, used.record(_about(trials, outcome))
    found |= describe_others(own, used.models)
    strict = item.config.stash[SETTINGS].strict if outcome.verdict not in ("skipped", "errored") else frozenset()
    return found | {"caveats": judged(found["caveats"], case.spec.accepts, strict)}


def _guard(item: pytest.Function, case: Case) -> "Guard":
    """What watches over all that other tests get too: not over the values of fixtures that are made for this test alone."""
    from mechcheck.verdicts.guard import Guard

    fixtures = {name: found[-1] for name, found in item._fixtureinfo.name2fixturedefs.items() if found}
    params = item.callspec.params if hasattr(item, "callspec") else {}
    own = {name for name, found in fixtures.items() if found.scope == "function" and name not in params and name != "circuit"}
    return Guard(case.id, case.seed, own, patched="monkeypatch" in item.fixturenames)


def _makers(item: pytest.Item, case: Case) -> tuple[PromptsFor | None, CircuitFor | None]:
    """What makes prompts and circuit for another model: as the item's fixtures did, else the circuit as it is recorded."""
    recorded = None if case.spec.task is None else functools.partial(circuit_of, case)
    return item.stash.get(PROMPTS_FOR, None), item.stash.get(CIRCUIT_FOR, recorded)


def _plain(function: Any) -> Any:
    """The function in terms of those who know no pytest."""
    from mechcheck.verdicts.trial import BodySkipped

    if function is None:
        return None

    @functools.wraps(function)
    def call(*arguments: Any, **named: Any) -> object:
        __tracebackhide__ = True
        try:
            return function(*arguments, **named)
        except pytest.fail.Exception as failed:
            raise AssertionError(failed.msg) from failed
        except pytest.skip.Exception as skip:
            raise BodySkipped(skip.msg) from skip

    return call


def conclude(record: Record) -> None:
    """Pass, fail or xfail the test of a decided claim."""
    __tracebackhide__ = True
    caveats = failing_caveats(record)
    if record["met"] and not caveats:
        return
    first = deciding_first(record["expectations"], record["deciding"])
    message = f"{verdict_word(record['verdict'])}: {record['statement']}\n" + "\n".join(_line(place, record) for place in first)
    message += f"\n  {record['sampling']['text']}" if record["sampling"] else ""
    message += f"\n  {record['grid']['text']}" if "grid" in record else ""
    if record["verdict"] in ("inconclusive", "not_applicable") and not caveats:
        raise pytest.xfail.Exception(message)
    if record["verdict"] == "vacuous":
        message += f"\n  {record['reason']}"
    elif record["expect"] != record["verdict"]:
        message += f"\n  expected: {verdict_word(record['expect'])}"
    message += "".join(f"\n  caveat {text}" for text in caveats)
    if caveats:
        about = caveats[0].partition(":")[0]
        message += f'\n  (--mech-strict fails claims that have these; to accept one: @claim(..., accepts={{"{about}": "why"}}))'
    pytest.fail(message, pytrace=False)


def _line(place: int, record: Record) -> str:
    lines = check_lines(record["expectations"], place)
    label = record["expectations"][place]["label"]
    found = [line for c in record["counterexamples"] if c["expectation"] == label for line in counterexample_lines(c)]
    return "\n".join([*lines, *(f"    {line}" for line in found), *([f"    again: {record['command']}"] if found else [])])
