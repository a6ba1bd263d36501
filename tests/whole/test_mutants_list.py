"""The list of deliberate bugs fits the code and its tests, and what makes them touches a copy alone."""

import runpy
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


def test_a_bug_is_made_in_a_copy_and_is_what_tests_import(tmp_path):
    """Also by processes that the tests start, and by modules that were compiled before."""
    mutant = next(one for one in MUTANTS if one.file == "base/text.py" or one.file == "models/fingerprint.py")
    before = (ROOT / "mechcheck" / mutant.file).read_text(encoding="utf-8")
    with BENCHMARK["copied"](mutant) as folder:
        (folder / "test_it.py").write_text(
            "import inspect, subprocess, sys\n"
            f"from mechcheck.{mutant.file.removesuffix('.py').replace('/', '.')} import __file__ as here\n"
            "def test_it():\n"
            f"    assert {mutant.new!r} in open(here).read()\n"
            "    code = 'import mechcheck; print(mechcheck.__file__)'\n"
            "    other = subprocess.run([sys.executable, '-c', code], capture_output=True, text=True, cwd='/').stdout\n"
            "    assert here.startswith(other.strip().removesuffix('__init__.py'))\n"
        )
        assert BENCHMARK["run_tests"](folder, ["test_it.py"]).passed
        (folder / "test_it.py").write_text("def test_one(): pass\ndef test_two(): assert False\ndef test_three(): assert False\n")
        failed = BENCHMARK["run_tests"](folder, ["test_it.py"])
        assert (failed.passed, failed.failed_test) == (False, "test_it.py::test_two")
        (folder / "test_it.py").write_text("import nothing_of_this_name\n")
        with pytest.raises(RuntimeError, match="ended with 2"):
            BENCHMARK["run_tests"](folder, ["test_it.py"])
    assert not folder.exists()
    assert (ROOT / "mechcheck" / mutant.file).read_text(encoding="utf-8") == before
