"""Options of pytest, and arguments of the command."""

import contextlib
import io
import sys
from pathlib import Path

from fuzzing.files import command
from fuzzing.mutate import WORDS, Rng, odd_path

_OPTIONS = (
    "model",
    "circuits",
    "device",
    "dtype",
    "seed",
    "profile",
    "budget",
    "report",
    "decoys",
    "baseline",
    "margin",
    "fdr",
    "fail-on",
    "threads",
)


def options(rng: Rng, folder: Path) -> str | None:
    """Options of pytest, on a file with nothing but a test that is no claim."""
    import pytest

    (folder / "test_nothing.py").write_text("def test_nothing():\n    pass\n", encoding="utf-8")
    given = []
    for name in rng.sample(_OPTIONS, rng.choice((1, 1, 2))):
        word = rng.choice(
            (rng.choice(WORDS), str(rng.randrange(-3, 5)), "cuda:9", "float32,", "0.5", "drifted", "refuted,x", "gpt3", "../x", str(folder))
        )
        path = odd_path(folder, rng) if name in ("circuits", "report", "baseline") and rng.random() < 0.5 else word
        given.append(f"--mech-{name}={str(path)[:3000]}".replace("\x00", ""))
    report_at = [] if any("report" in one for one in given) else [f"--mech-report={folder / 'r'}"]
    out, known = io.StringIO(), set(sys.modules)
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(out), contextlib.chdir(folder):
        status = pytest.main(["-p", "no:cacheprovider", "-p", "no:randomly", "-p", "no:faulthandler", f"--rootdir={folder}", "-q",
            *report_at, *given,
                              "test_nothing.py"])  # fmt: skip
    for name in set(sys.modules) - known:
        if name.startswith("test_nothing"):
            del sys.modules[name]
    said = out.getvalue()
    if status not in (0, 4) or "INTERNALERROR" in said or "Traceback (most recent call last)" in said:
        raise AssertionError(f"pytest ended with {status}: {said[-1500:]}")


def arguments(rng: Rng, folder: Path) -> str | None:
    """Arguments of the command, of which the paths are odd."""

    def word() -> str:
        path = str(odd_path(folder, rng))
        return rng.choice((rng.choice(WORDS), "x", "1", "ioi", "names-gpt2-seed0", path)).replace("\x00", "")

    chosen = rng.choice(
        (
            ("report", word()), ("summary", word(), word()), ("compare", word(), word(), "--margin", word()), ("accept", word(), "--why",
            word()),
            ("circuit", "show", word()), ("circuit", "show", word(), "--model", word()), ("circuit", "diff", word(), word()),
            ("circuit", "eval", word(), "--model", word(), "--task", word()), ("discover", word(), word(), "--method", "eap", "--size",
            word()),
            ("discover", "ioi", word(), "--set", word()), ("calibrate", "--claims", "1", word()), ("report", word(), "-o", word()),
            (word(),), (word(), word()),
            ("prefetch", word()), ("prefetch", "--revision", word()), ("compare", word(), word(), "--rename", word(), "--fail-on", word()),
        )
    )  # fmt: skip
    with contextlib.chdir(folder):
        return command(*chosen)
