"""The fuzzer: what it saved, and some of its inputs again."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SAVED = json.loads((ROOT / "benchmarks" / "results" / "fuzz.json").read_text(encoding="utf-8"))


def test_the_saved_run():
    assert SAVED["inputs"] >= 100_000
    assert (SAVED["crashes"], SAVED["hangs"], SAVED["finds"]) == (0, 0, [])
    assert sum(row["inputs"] for row in SAVED["rooms"].values()) == SAVED["inputs"]
    for room, row in SAVED["rooms"].items():  # inputs that are all refused at the door try nothing behind it
        assert row["refused"] < row["inputs"] or room == "arguments", room


def test_what_the_guide_says_of_it():
    guide = (ROOT / "docs" / "guides" / "safety.md").read_text(encoding="utf-8")
    for room, row in SAVED["rooms"].items():
        assert f"| `{room}` | " in guide
        assert f" | {row['inputs']:,} | {row['refused']:,} | 0 | 0 |" in guide


def test_every_file_that_the_guide_names_is_there():
    import re

    guide = (ROOT / "docs" / "guides" / "safety.md").read_text(encoding="utf-8")
    named = re.findall(r"`((?:tests|benchmarks|requirements)/[\w/.]+)`", guide)
    assert len(named) > 8
    assert [path for path in named if not (ROOT / path).is_file()] == []


@pytest.mark.parametrize("room", ["sites", "tokens", "claims", "circuit", "graph", "report", "compare", "dictionary_dir"])
def test_some_inputs_again(room, monkeypatch, tmp_path):
    """In this process, where a crash shows its traceback."""
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    import fuzz

    monkeypatch.setattr(fuzz.tempfile, "tempdir", str(tmp_path))
    monkeypatch.setattr(fuzz, "watch", lambda seconds: None)  # pytest has its own, and the signals are its
    found = [fuzz.one(room, seed=1, number=number) for number in range(25)]
    assert [one for one in found if not isinstance(one, str)] == []


def test_a_crash_a_hang_and_a_dead_process_are_found(tmp_path):
    """A fuzzer that cannot find anything would say the same."""
    (tmp_path / "sick.py").write_text(
        "import sys, os, time\n"
        f"sys.path[:0] = [{str(ROOT / 'benchmarks')!r}, {str(ROOT)!r}]\n"
        "import fuzz\n"
        "fuzz.LIMIT, fuzz.__file__ = 0.3, __file__\n"
        "def sick(rng, folder):\n"
        "    n = rng.randrange(4)\n"
        "    [lambda: None, lambda: 1 / 0, lambda: time.sleep(5), lambda: os._exit(3)][n]()\n"
        "fuzz.rooms = lambda: {'sites': sick}\n"
        "fuzz.prepare = lambda room: None\n"
        "if __name__ == '__main__':\n"
        "    sys.exit(fuzz.main())\n",
        encoding="utf-8",
    )
    done = subprocess.run(
        [sys.executable, str(tmp_path / "sick.py"), "--inputs", "40", "--room", "sites"], capture_output=True, text=True, timeout=120,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    assert done.returncode == 1, done.stderr
    assert "ZeroDivisionError at " in done.stdout
    assert "Hang at " in done.stdout
    assert "the process died (3)" in done.stdout
