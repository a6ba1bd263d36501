"""The accessibility checker axe-core, from the package registry, and what it says of a page."""

import shutil
import subprocess
from pathlib import Path

import pytest
from browser import Browser


def axe_script(folder: Path) -> str:
    """Its script; the test is skipped where the registry cannot be reached."""
    npm = shutil.which("npm")
    if npm is None:
        pytest.skip("no npm on this machine")
    try:
        done = subprocess.run([npm, "pack", "axe-core@4", "--silent"], cwd=folder, capture_output=True, text=True, timeout=60, check=False)
    except subprocess.TimeoutExpired:
        pytest.skip("the package registry does not answer")
    if done.returncode:
        pytest.skip("the package registry cannot be reached")
    shutil.unpack_archive(next(folder.glob("*.tgz")), folder)
    return (folder / "package" / "axe.min.js").read_text(encoding="utf-8")


def violations(browser: Browser, where: str, *, dark: bool) -> list:
    """What it finds below a selector, on a page that it was put into."""
    # Cells whose lightness is turned round by a filter are beyond what the checker can compute.
    skipped = "[['.grid'], ['.ramp']]" if dark else "[]"
    return browser.evaluate(
        f"""axe.run({{include: [['{where}']], exclude: {skipped}}}).then((result) => result.violations.map((v) =>
          [v.id, v.impact, v.nodes.slice(0, 3).map((n) => n.html.slice(0, 160) + n.failureSummary)]))"""
    )
