"""The pytest-html adapter, in a run of its own with a stand-in for the plugin that attaches the records."""

import json
import re
from html.parser import HTMLParser
from pathlib import Path
from types import SimpleNamespace

import pytest

from mechcheck.plugin.html import HtmlAdapter, relative_link
from mechcheck.report import anchor

pytest_plugins = ["pytester"]
pytest.importorskip("pytest_html")

CONFTEST = """
import json, pathlib
from mechcheck.plugin.html import HtmlAdapter

records = json.loads(pathlib.Path(__file__).with_name("records.json").read_text())

def pytest_configure(config):
    config.pluginmanager.register(HtmlAdapter(config.rootpath / "reports" / "index.html"), "html-adapter")

def pytest_runtest_setup(item):
    if item.name in records:
        item.user_properties.append(("mechcheck", json.dumps(records[item.name])))
"""
TESTS = """
import pytest

@pytest.mark.parametrize("i", range(5))
def test_claim(i):
    if i == 1:
        pytest.xfail("inconclusive")
    assert i != 2

def test_plain(): pass

@pytest.mark.skip
def test_skipped(): pass
"""


class Blob(HTMLParser):
    """The data that a pytest-html report carries, and its column heads."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tests: dict[str, dict] = {}
        self.columns: list[str] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = dict(attrs)
        if found.get("data-jsonblob"):
            for nodeid, (test,) in json.loads(found["data-jsonblob"] or "")["tests"].items():
                self.tests[nodeid.split("::")[-1]] = test
        if tag == "th" and found.get("data-column-type"):
            self.columns.append(found["data-column-type"] or "")


def records(make: SimpleNamespace) -> dict[str, dict]:
    """Records of five claims: effects that sort otherwise as text, one level of its own, one without any number."""

    def one(i: int, value: float, **changes: object) -> dict:
        return make.claim(f"ioi/claim[{i}]", expectations=[make.expectation(value, value - 0.5, value + 0.5)], **changes)

    result = [
        one(0, -10.0),
        one(1, 9.0, verdict="inconclusive", met=False),
        one(2, -2.0, verdict="refuted", met=False),
        make.claim("ioi/<b>", verdict="errored", met=False, expectations=[]),
        one(4, 10.0, expect="refuted", verdict="refuted"),
    ]
    result[4]["expectations"][0]["estimate"] |= {"level": 0.9, "n": 7, "clusters": 7}
    del result[0]["figures"]  # the record may come without
    make.evidence([c | {"figures": []} for c in result])
    return {f"test_claim[{i}]": c for i, c in enumerate(result)}


@pytest.fixture
def run(pytester: pytest.Pytester, make: SimpleNamespace, monkeypatch: pytest.MonkeyPatch, warm: None):
    """Run the sample tests with the adapter alone, and read pytest-html's report."""

    def runner(*args: str) -> Blob:
        # Other installed plugins, mechcheck's own among them, stay out of it.
        monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
        monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[2]))
        pytester.makeconftest(CONFTEST)
        pytester.makepyfile(TESTS)
        pytester.path.joinpath("records.json").write_text(json.dumps(records(make)))
        plugins = ["-p", "pytest_metadata.plugin", "-p", "pytest_html.plugin", "-p", "xdist.plugin"]
        result = pytester.runpytest_subprocess(*plugins, "--html=out/html/report.html", *args)
        result.assert_outcomes(passed=4, failed=1, xfailed=1, skipped=1)
        return Blob(pytester.path.joinpath("out", "html", "report.html").read_text(encoding="utf-8"))

    return runner


def shown(cell: str) -> str:
    """What a reader sees of a cell."""
    return re.sub(r"<span hidden>.*?</span>|<[^>]*>", "", cell)


@pytest.mark.parametrize("args", [(), ("-n2",), ("--self-contained-html",)], ids=["alone", "xdist", "self-contained"])
def test_columns_and_links(run, args: tuple[str, ...]) -> None:
    report = run(*args)
    assert report.columns == ["result", "testId", "verdict", "effect", "interval", "n", "duration"]
    rows = {name: [shown(c) for c in test["resultsTableRow"]][2:6] for name, test in report.tests.items()}
    assert rows == {
        "test_claim[0]": ["supported", "-10.00 logits", "[-10.50, -9.50]", "400 (20)"],
        "test_claim[1]": ["inconclusive", "9.00 logits", "[8.50, 9.50]", "400 (20)"],
        "test_claim[2]": ["refuted", "-2.00 logits", "[-2.50, -1.50]", "400 (20)"],
        "test_claim[3]": ["errored", "–", "–", "–"],
        "test_claim[4]": ["refuted, as expected", "10.00 logits", "[9.50, 10.50] (90%)", "7"],
        "test_plain": [""] * 4,
        "test_skipped": [""] * 4,
    }
    link = report.tests["test_claim[3]"]["resultsTableRow"][-1]
    assert f'href="../../reports/index.html#{anchor("ioi/<b>")}"' in link
    assert "evidence" not in report.tests["test_plain"]["resultsTableRow"][-1]


def test_the_result_cell_stays_as_it_was(run) -> None:
    results = {name: test["resultsTableRow"][0] for name, test in run().tests.items()}
    assert results["test_claim[0]"] == '<td class="col-result">Passed</td>'
    assert results["test_claim[1]"] == '<td class="col-result">XFailed</td>'
    assert results["test_claim[2]"] == '<td class="col-result">Failed</td>'


def test_pytest_html_sorts_the_columns_by_number(run) -> None:
    tests = run().tests

    def order(column: str) -> list[str]:
        claims = [(test[column], name) for name, test in tests.items() if name.startswith("test_claim")]
        return [name.removeprefix("test_claim")[1:-1] for _, name in sorted(claims, key=lambda c: c[0])]

    assert order("effect") == ["0", "2", "1", "4", "3"]
    assert order("interval") == ["0", "2", "1", "4", "3"]
    assert order("n")[0] == "4"
    assert order("n")[-1] == "3"
    assert order("verdict") == ["3", "2", "1", "4", "0"]


def test_the_head_names_the_level() -> None:
    cells = ["<th>Result</th>", "<th>Test</th>", "<th>Duration</th>", "<th>Links</th>"]
    HtmlAdapter(Path("index.html"), level=0.9).pytest_html_results_table_header(cells)
    assert len(cells) == 8
    assert '<th class="sortable" data-column-type="interval">90% CI</th>' in cells


def test_a_dropped_row_stays_dropped_and_a_collection_report_has_no_claim() -> None:
    adapter = HtmlAdapter(Path("index.html"))
    cells: list[str] = []
    adapter.pytest_html_results_table_row(SimpleNamespace(user_properties=[]), cells)
    assert cells == []
    cells = ["<td>Error</td>", "<td>x</td>", "<td></td>", '<td class="col-links"></td>']
    adapter.pytest_html_results_table_row(SimpleNamespace(), cells)
    assert cells[2:6] == [f'<td class="col-{n}"></td>' for n in ("verdict", "effect", "interval", "n")]


def test_links_are_relative_and_quoted() -> None:
    assert relative_link(Path("/a/reports/index.html"), Path("/a/report.html")) == "reports/index.html"
    assert relative_link(Path("/a/my reports#1/index.html"), Path("/a/b/report.html")) == "../my%20reports%231/index.html"


def test_without_pytest_html_the_adapter_does_no_harm(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[2]))
    pytester.makeconftest(CONFTEST)
    pytester.path.joinpath("records.json").write_text("{}")
    pytester.makepyfile("def test_it(): pass")
    pytester.runpytest_subprocess().assert_outcomes(passed=1)
