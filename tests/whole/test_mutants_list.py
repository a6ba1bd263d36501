"""The list of deliberate bugs (`python benchmarks/mutants.py`) fits the code and its tests, and what makes them touches a copy alone."""

import json
import runpy
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
BENCHMARK = runpy.run_path(str(ROOT / "benchmarks" / "mutants.py"))
MUTANTS = BENCHMARK["mutants"]()
ROOMS = {"prompts", "tasks", "notation", "engine", "measures", "stats", "verdicts", "circuits", "models", "evidence", "plugin"}


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_a_bug_can_still_be_made(mutant):
    """If this fails, the code has changed: write the bug into the code as it is now, in benchmarks/mutants.toml."""
    source = (ROOT / "mechcheck" / mutant.file).read_text(encoding="utf-8")
    made = mutant.made(source)
    assert made != source
    compile(made, mutant.file, "exec")
    assert mutant.tests
    assert [test for test in mutant.tests if not (ROOT / test.partition("::")[0]).exists()] == []


def test_there_are_bugs_of_every_room():
    assert len(MUTANTS) >= 40
    assert Counter(mutant.name for mutant in MUTANTS).most_common(1)[0][1] == 1
    rooms = Counter(Path(mutant.file).parts[0] for mutant in MUTANTS)
    assert {room for room in ROOMS if rooms[room] < 2} == set()


def test_a_bug_that_does_not_fit_is_an_error():
    (mutant, *_) = MUTANTS
    for source, n in (("", 0), (mutant.old * 2, 2)):
        with pytest.raises(ValueError, match=f"stands {n} times in mechcheck/{mutant.file}, and must stand there once"):
            mutant.made(source)


def test_the_recorded_run_caught_them_all():
    """If this fails: python benchmarks/mutants.py."""
    recorded = json.loads((ROOT / "benchmarks" / "results" / "mutants.json").read_text(encoding="utf-8"))
    assert [row["name"] for row in recorded["rows"]] == [mutant.name for mutant in MUTANTS]
    assert recorded["mutants"] == recorded["caught"] == len(MUTANTS)
    assert [row["name"] for row in recorded["rows"] if not (row["caught"] and row["failed_test"])] == []


TESTS = """
import subprocess, sys
from mechcheck.models.fingerprint import __file__ as here

def test_passes():
    assert NEW in open(here).read()
    code = "import mechcheck; print(mechcheck.__file__)"
    other = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd="/").stdout
    assert here.startswith(other.strip().removesuffix("__init__.py"))

def test_fails():
    assert False

def test_comes_too_late():
    assert False
"""
BROKEN = "import nothing_of_this_name"
SCRIPT = """
import json, runpy, sys
made = runpy.run_path(sys.argv[1])
mutant = next(one for one in made["mutants"]() if one.file == "models/fingerprint.py")
files = {"good": sys.argv[2].replace("NEW", repr(mutant.new)).partition("def test_fails")[0], "bad": sys.argv[2].replace("NEW", "''"),
         "broken": sys.argv[3]}
honest, seen = made["copied"], []

def copied(mutant=None):
    folder = honest(mutant)
    seen.append(folder)
    for name, text in files.items():
        (folder / f"test_{name}.py").write_text(text)
    return folder

made["Run"].__post_init__.__globals__["copied"] = copied
found = {}
for one, ran in made["run_all"]([(["test_good.py"], mutant), (["test_bad.py"], None)], 2):
    found["good" if one else "bad"] = [ran.passed, ran.failed_test]
try:
    list(made["run_all"]([(["test_broken.py"], None)], 1))
except made["NotRun"] as error:
    found["broken"] = str(error).splitlines()[0]
print(json.dumps(found | {"left": [str(folder) for folder in seen if folder.exists()]}))
"""


def test_a_bug_is_made_in_a_copy_and_is_what_tests_import():
    """Also in processes that the tests start; what is not a failed test is no catch; nothing is left behind."""
    file = ROOT / "mechcheck" / "models" / "fingerprint.py"
    before = file.read_text(encoding="utf-8")
    arguments = [sys.executable, "-c", SCRIPT, str(ROOT / "benchmarks" / "mutants.py"), TESTS, BROKEN]
    done = subprocess.run(arguments, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout.splitlines()[-1]) == {
        "good": [True, None], "bad": [False, "test_bad.py::test_fails"], "broken": "pytest test_broken.py ended with 2:", "left": [],
    }  # fmt: skip
    assert file.read_text(encoding="utf-8") == before
