"""What pytest itself shows of a claim: tracebacks, reasons, what was printed; nothing in it commands a terminal or is secret."""

from collections.abc import Generator

import pytest

from mechcheck.base.outgoing import printable, without_secrets
from mechcheck.plugin.cases import case_of


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Clean a claim's report, from which the terminal, JUnit XML and pytest-html are written; other tests' are left alone.

    What a test prints keeps its colours, as pytest shows it only between lines of its own.
    """
    report = yield
    if case_of(item) is None:
        return report
    shown = report.longrepr
    if isinstance(shown, tuple):
        report.longrepr = (_clean(shown[0]), shown[1], _clean(shown[2]))
    elif isinstance(shown, str):
        report.longrepr = _clean(shown)
    elif shown is not None:
        crash = getattr(shown, "reprcrash", None)
        if crash is not None:
            crash.message = _clean(crash.message)
        text = report.longreprtext
        if _clean(text) != text:  # it is made of lines of source and values, in many parts
            report.longrepr = _clean(text)
    if hasattr(report, "wasxfail"):
        report.wasxfail = _clean(report.wasxfail)
    report.sections = [(name, without_secrets(text, home=True)) for name, text in report.sections]
    return report


def _clean(text: str) -> str:
    return without_secrets(printable(text), home=True)  # a traceback names files, as those of other tests do
