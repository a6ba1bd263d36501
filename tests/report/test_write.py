"""Writing the page, and what it costs to import."""

import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from mechcheck.report import write_report


def test_half_a_surrogate_pair_is_shown_and_can_be_written(make: SimpleNamespace, tmp_path: Path) -> None:
    evidence = make.evidence([make.claim(statement="broken \ud83d token")])
    write_report(evidence, tmp_path / "index.html")
    assert "broken \\ud83d token" in (tmp_path / "index.html").read_text(encoding="utf-8")


def test_a_failed_write_leaves_the_old_page_and_no_litter(make: SimpleNamespace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "new" / "index.html"
    write_report(make.evidence([make.claim()]), path)
    before = path.read_bytes()
    assert before.startswith(b"<!DOCTYPE html>")

    def fail(*_: object) -> None:
        raise OSError("disk full")

    monkeypatch.setattr(os, "replace", fail)
    with pytest.raises(OSError, match="disk full"):
        write_report(make.evidence([]), path)
    assert path.read_bytes() == before
    assert list(path.parent.iterdir()) == [path]


def test_the_report_imports_nothing_heavy() -> None:
    # The package itself is stood in for: what it imports is not the report's doing.
    package = Path(__file__).parents[2] / "mechcheck"
    code = (
        "import sys, types; m = types.ModuleType('mechcheck'); m.__path__ = [sys.argv[1]]; sys.modules['mechcheck'] = m; "
        "import mechcheck.report; print({'torch', 'numpy', 'pytest', 'scipy'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code, str(package)], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
