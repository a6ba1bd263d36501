"""Running a claim: body, sentinels, verdict, contrast, record."""

import time
from collections.abc import Generator, Mapping
from typing import TYPE_CHECKING, Any

import pytest

from mechcheck.plugin.records import (
    Record,
    attach,
    describe_arguments,
    describe_contrast,
    describe_counterexample,
    describe_expectation,
    new_record,
    save_record,
    save_samples,
)
from mechcheck.plugin.selection import claim_spec
from mechcheck.plugin.settings import SETTINGS
from mechcheck.plugin.untouched import left_untouched
from mechcheck.verdicts.claim import ClaimSpec
from mechcheck.verdicts.counterexample_text import counterexample_lines

if TYPE_CHECKING:
    from mechcheck.conformance.sentinels import Sentinel
    from mechcheck.verdicts.check import Check

RECORD = pytest.StashKey[Record]()
_SENTINELS = pytest.StashKey[dict[tuple[str, ...], "list[Sentinel]"]]()


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """Leave a record at once, so that a killed process does not make the claim disappear."""
    spec = claim_spec(item)
    if spec is not None:
        record = item.stash[RECORD] = new_record(item, spec)
        save_record(item, record)


@pytest.hookimpl(wrapper=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> Generator[None, object, object]:
    """Run the body of a claim, decide it, and let pytest know how it ended."""
    __tracebackhide__ = True
    spec = claim_spec(pyfuncitem)
    if spec is None:
        return (yield)
    record, started = pyfuncitem.stash[RECORD], time.perf_counter()
    arguments = {name: pyfuncitem.funcargs[name] for name in pyfuncitem._fixtureinfo.argnames}
    try:
        record |= describe_arguments(arguments)
        _examine(pyfuncitem, arguments)
        with left_untouched(pyfuncitem, arguments.get("model")):
            result = yield
        _decide(pyfuncitem, spec, record, arguments)
    except pytest.skip.Exception as skipped:
        record |= {"verdict": "skipped", "met": None, "reason": str(skipped.msg)}
        raise
    except BaseException as error:  # pytest.fail, pytest.xfail and an interruption are no Exception
        record |= {"verdict": "errored", "met": False, "reason": f"{type(error).__name__}: {error}"}
        raise
    finally:
        record["duration_s"] = round(time.perf_counter() - started, 4)
        save_record(pyfuncitem, record)
        attach(pyfuncitem, record)
    _conclude(record)
    return result


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """A claim that did not get as far as its body is recorded too: errored, or skipped with the reason."""
    report = yield
    record = item.stash.get(RECORD, None)
    if record is None and report.when == "setup" and claim_spec(item) is not None:
        # Skipped by a mark, before our own setup ran.
        record = new_record(item, claim_spec(item))  # type: ignore[arg-type]
    if record is not None and report.when == "setup" and not report.passed:
        if report.skipped:
            reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
            record |= {"verdict": "skipped", "met": None, "reason": reason.removeprefix("Skipped: ")}
        else:
            error = call.excinfo.value if call.excinfo else None
            record["reason"] = f"{type(error).__name__}: {error}"
        save_record(item, record)
        attach(item, record)
        report.user_properties = list(item.user_properties)
    return report


def _examine(item: pytest.Function, arguments: Mapping[str, Any]) -> None:
    """Sentinels once per model, process and run."""
    if "model" not in arguments:
        return
    from mechcheck.base.errors import HookError
    from mechcheck.conformance.sentinels import sentinels
    from mechcheck.models.loading import provenance
    from mechcheck.prompts.prompt_set import PromptSet

    model, prompts = arguments["model"], arguments.get("prompts")
    if not isinstance(prompts, PromptSet):
        return
    source, known = provenance(model), item.config.stash.setdefault(_SENTINELS, {})
    key = (source.name, source.weights_sha256, source.dtype, source.device)
    if key not in known:
        known[key] = sentinels(model, prompts)
        _save_sentinels(item, known[key])
    failed = [s for s in known[key] if not s.passed]
    if failed:
        raise HookError(f"the instrument does not work on this model: {'; '.join(f'{s.name} ({s.detail})' for s in failed)}")


def _save_sentinels(item: pytest.Item, found: "list[Sentinel]") -> None:
    import os
    from dataclasses import asdict

    from mechcheck.evidence.store import slug, write_json

    parts = item.config.stash[SETTINGS].parts
    write_json(parts / "sentinels" / f"{slug(found[0].model)}-{os.getpid()}.json", [asdict(s) for s in found])


def _decide(item: pytest.Function, spec: ClaimSpec, record: Record, arguments: Mapping[str, Any]) -> None:
    __tracebackhide__ = True
    from mechcheck.base.errors import ClaimError
    from mechcheck.plugin.contrast import contrast
    from mechcheck.verdicts.verdict import combine

    check: Check | None = arguments.get("check")
    if check is None or not check.expectations:
        raise ClaimError("this claim checked nothing: use the `check` fixture, for example check.above(measurement, 0.0)")
    outcome = combine(e.verdict for e in check.expectations)
    record |= {
        "verdict": outcome,
        "met": outcome == record["expect"],
        "reason": "; ".join(f"{e.label}: {e.verdict}" for e in check.expectations),
        "expectations": [describe_expectation(e) for e in check.expectations],
        "counterexamples": [describe_counterexample(found) for found in check.counterexamples],
        "figures": [figure.data() for figure in check.figures],
    }
    save_samples(item, record, check)
    if record["met"]:
        found = contrast(item, spec, arguments, record["expect"])
        record["decoys"] = describe_contrast(found)
        if found.vacuous:
            record |= {"verdict": "vacuous", "met": False, "reason": found.vacuous}


def _conclude(record: Record) -> None:
    """Pass, fail or xfail the test."""
    __tracebackhide__ = True
    if record["met"]:
        return
    message = f"{record['verdict']}: {record['statement']}\n" + "\n".join(_line(e, record) for e in record["expectations"])
    if record["verdict"] == "inconclusive":
        raise pytest.xfail.Exception(message)
    if record["verdict"] == "vacuous":
        message += f"\n  {record['reason']}"
    elif record["expect"] != record["verdict"]:
        message += f"\n  expected: {record['expect']}"
    pytest.fail(message, pytrace=False)


def _line(expectation: Record, record: Record) -> str:
    e = expectation["estimate"]
    if expectation["kind"] == "for_all":
        found = [line for c in record["counterexamples"] if c["expectation"] == expectation["label"] for line in counterexample_lines(c)]
        again = f"\n    again: {record['command']}" if found else ""
        return f"  {expectation['verdict']}: {expectation['label']}\n    {e['method']}" + "".join(f"\n    {line}" for line in found) + again
    return (
        f"  {expectation['verdict']}: {expectation['label']}\n"
        f"    measured {e['value']:.4g}, {e['level']:.0%} interval [{e['low']:.4g}, {e['high']:.4g}], n={e['n']} ({e['method']})"
    )
