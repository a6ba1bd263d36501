"""The house is as its page says: drawn from today's code, small enough to find one's way in, held by the linter."""

import re
import runpy
from collections import Counter
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "house.md").read_text(encoding="utf-8")
CODE = [
    path for folder in ("mechcheck", "tests", "claims", "benchmarks", "fixtures/recipes", "docs") for path in (ROOT / folder).rglob("*.py")
]


@pytest.fixture(scope="module")
def drawn():
    """What docs/house.py knows."""
    return runpy.run_path(str(ROOT / "docs" / "house.py"))


def test_the_picture_is_of_this_code(drawn):
    """If this fails: python docs/house.py."""
    rooms, imports = drawn["rooms"](), drawn["imports"]()
    assert drawn["PICTURE"].read_text() == drawn["draw"](rooms, imports)
    floor = {room.name: room.floor for room in rooms}
    assert ("engine", "notation") in imports
    assert all(floor[one] < floor[other] for one, other in imports)


def test_the_page_says_where_everything_goes(drawn):
    named = set(re.findall(r"`(\w+)/`", PAGE)) | set(re.findall(r"`(\w+)\.py`", PAGE))
    assert {room.name for room in drawn["rooms"]()} <= named


def test_every_file_that_the_page_names_is_there():
    files = re.findall(r"`(\w+/\w+\.py)`", PAGE)
    assert len(files) > 10
    assert [file for file in files if not (ROOT / "mechcheck" / file).is_file()] == []


def test_every_file_of_ours_that_any_page_names_is_there():
    pages = [ROOT / "README.md", *(ROOT / "docs").rglob("*.md"), *(ROOT / "benchmarks").glob("*.md")]
    named = {
        (page.name, file)
        for page in pages
        for file in re.findall(r"\b((?:tests|mechcheck|benchmarks|fixtures)/[\w/.-]+\.\w+)", page.read_text())
    }
    assert len(named) > 10
    assert {(page, file) for page, file in named if not (ROOT / file).exists()} == set()


def test_no_folder_is_crowded_and_no_file_is_long():
    crowds = Counter(path.parent for path in CODE if path.is_relative_to(ROOT / "mechcheck"))
    assert {folder.name: n for folder, n in crowds.items() if n > 25} == {}
    lengths = {path.relative_to(ROOT).as_posix(): len(path.read_text(encoding="utf-8").splitlines()) for path in CODE}
    assert {path: n for path, n in lengths.items() if n > 300} == {}


def test_what_runs_before_a_commit_is_what_the_linter_runs():
    (repository,) = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())["repos"]
    recipe = re.search(r"^lint:.*\n((?:\t.*\n)+)", (ROOT / "Makefile").read_text(), flags=re.MULTILINE)[1]
    linters = [line.strip().replace("$(BIN)/", "") for line in recipe.splitlines()]
    assert [hook["entry"].replace(".venv/bin/", "") for hook in repository["hooks"]] == linters
