"""Claims by the tests that make them, in files and folders."""

from types import ModuleType

from page_reader import Page

from mechcheck.report import anchor, render
from mechcheck.report._groups import folders


def of(make: ModuleType, place: str, model: str = "m", method: str = "zero", **changes: object) -> dict:
    """A claim of the test at `place`, on a model and with a method."""
    given = {"params": {"method": method}, "model": make.model(model)} | changes
    return make.claim(f"{place}[{method}-{model}]", nodeid=f"{place}[{method}-{model}]", **given)


def test_what_did_not_come_out_as_claimed_stands_first(make: ModuleType) -> None:
    unmet = {"verdict": "inconclusive", "met": False}
    claims = [
        of(make, "a/test_a.py::test_1"),
        of(make, "b/deep/test_b.py::test_1"),
        of(make, "b/deep/test_b.py::TestOf::test_2", **unmet),
        of(make, "c/test_c.py::test_1", verdict="errored", met=False, expectations=[]),
        of(make, "c/test_d.py::test_1"),
        of(make, "test_e.py::test_1"),
    ]
    found = folders(claims)
    assert [(folder.path, [file.name for file in folder.files]) for folder in found] == [
        ("c/", ["test_c.py", "test_d.py"]),
        ("b/deep/", ["test_b.py"]),
        ("a/", ["test_a.py"]),
        ("", ["test_e.py"]),
    ]
    (file,) = found[1].files
    assert [group.name for group in file.tests] == ["TestOf::test_2", "test_1"]
    assert file.came.text == "1 of 2 as claimed, 1 inconclusive"


def test_a_test_has_the_verdicts_of_its_claims_by_model_and_arguments(make: ModuleType) -> None:
    test = "t/test_t.py::test_1"
    claims = [of(make, test, "m1", "zero"), of(make, test, "m2", "zero", verdict="refuted", met=False), of(make, test, "m1", "mean")]
    (group,) = folders(claims)[0].files[0].tests
    assert group.statement == claims[0]["statement"]
    assert [claim["id"] for claim in group.claims] == [claims[i]["id"] for i in (1, 0, 2)]
    assert group.grid is not None
    assert group.grid.columns == ["zero", "mean"]
    html = render(make.evidence(claims))
    matrix = html[html.index('<table class="marks">') : html.index("</table>", html.index('<table class="marks">'))]
    assert Page(matrix).text.replace(" ", "") == "zeromeanm1✓✓m2✗"
    assert [link["href"] for link in Page(matrix).all("a")] == [f"#{anchor(claims[i]['id'])}" for i in (0, 2, 1)]
    assert "2 of 3 as claimed, 1 refuted" in Page(html).text


def test_claims_that_no_grid_tells_apart_are_all_marked(make: ModuleType) -> None:
    test = "t/test_t.py::test_1"
    claims = [make.claim(f"c{i}", nodeid=f"{test}[{i}]", statement=f"Statement {i}") for i in range(3)]
    (group,) = folders(claims)[0].files[0].tests
    assert group.grid is None
    assert group.statement == ""
    html = render(make.evidence(claims))
    marks = html[html.index('<p class="marks">') : html.index("</p>", html.index('<p class="marks">'))]
    assert [link["href"] for link in Page(marks).all("a")] == ["#claim-c0", "#claim-c1", "#claim-c2"]
    assert "test_1 3 of 3 as claimed" in Page(html).text


def test_a_test_with_one_claim_is_that_claim(make: ModuleType) -> None:
    page = Page(render(make.evidence([of(make, "t/test_t.py::test_1")])))
    assert [a["class"] for a in page.all("div", "test")] == ["test"]
    assert not list(page.all("details", "lines"))


def test_many_claims_wait_behind_the_verdicts_of_their_tests(make: ModuleType) -> None:
    def lines(n: int) -> list[dict]:
        claims = [of(make, f"t/test_t.py::test_{i // 2}", f"m{i % 2}") for i in range(n)]
        return list(Page(render(make.evidence(claims))).all("details", "lines"))

    assert all("open" in one for one in lines(60))
    assert [one for one in lines(62) if "open" in one] == []
