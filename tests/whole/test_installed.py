"""A user's view: only the wheel is installed, and the README's text is run as it stands, in an empty directory."""

import json
import os
import re
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import jsonschema
import pytest

ROOT = Path(__file__).resolve().parents[2]
BLOCKS = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(encoding="utf-8"), flags=re.DOTALL)


def run(*command, cwd, env=None):
    return subprocess.run(command, cwd=cwd, env=env, capture_output=True, text=True, check=False, timeout=300)


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """A folder with nothing but the wheel unpacked, as pip does it."""
    folder = tmp_path_factory.mktemp("wheel")
    built = run(sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", folder, ROOT, cwd=folder)
    assert built.returncode == 0, built.stdout + built.stderr
    (wheel,) = folder.glob("*.whl")
    target = folder / "site"
    installed = run(sys.executable, "-m", "pip", "install", "--no-deps", "--no-index", "--target", target, wheel, cwd=folder)
    assert installed.returncode == 0, installed.stderr
    return target


@pytest.fixture
def user(site, tmp_path):
    """Run a command as a user of the wheel, in an empty directory."""
    env = {k: v for k, v in os.environ.items() if not k.startswith(("PYTEST", "COV"))} | {"PYTHONPATH": str(site)}

    def command(*words):
        return run(sys.executable, "-m", *words, cwd=tmp_path, env=env)

    return command


def test_the_wheel_holds_the_package_and_no_more(site):
    def files(folder, suffixes):
        return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file() and path.suffix in suffixes}

    def all_but(folder, *, skip):
        code = files(folder, {".py", ".pyi", ".typed", ".json", ".j2", ".css", ".js", ".safetensors", ".toml", ".md"})
        return {name for name in code if not name.startswith(skip) and "__pycache__" not in name}

    package = site / "mechcheck"
    assert all_but(package, skip=("fixtures/", "claims/")) == all_but(ROOT / "mechcheck", skip=("-",))
    assert {"py.typed", "__init__.pyi", "evidence.schema.json", "report/page.css"} <= all_but(package, skip=("-",))
    assert all_but(package / "claims", skip=("-",)) == all_but(ROOT / "claims", skip=("-",))
    assert all_but(package / "fixtures", skip=("-",)) == all_but(ROOT / "fixtures", skip=("recipes/", "README"))
    assert {path.name for path in site.iterdir()} == {"mechcheck", f"mechcheck-{metadata.version('mechcheck')}.dist-info", "bin"}


def test_the_wheel_is_what_runs(user, site):
    where = user("mechcheck.cli", "models").stdout
    assert str(site) in where
    assert "names-gpt2-seed4" in where
    assert "circuits: induction, ioi" in where


def test_the_readmes_claim_gives_a_report(user, site, tmp_path):
    (tmp_path / "test_my_claim.py").write_text(BLOCKS[0], encoding="utf-8")
    ran = user("pytest", "--mech-profile=smoke", "-p", "no:cacheprovider")
    assert ran.returncode == 0, ran.stdout + ran.stderr
    evidence = json.loads((tmp_path / "reports/evidence.json").read_text(encoding="utf-8"))
    jsonschema.validate(evidence, json.loads((site / "mechcheck/evidence.schema.json").read_text(encoding="utf-8")))
    verdicts = {claim["model"]["name"]: claim["verdict"] for claim in evidence["claims"]}
    assert verdicts.pop("names-gpt2-seed0") == "refuted"
    assert verdicts == dict.fromkeys(["names-gpt2-seed1", "names-gpt2-seed4", "names-gpt2-seed6", "names-neox-seed2"], "supported")
    assert all(claim["met"] for claim in evidence["claims"])
    page = (tmp_path / "reports/index.html").read_text(encoding="utf-8")
    assert "goes through the S-inhibition heads" in page


def test_the_readmes_own_words_claim(user, tmp_path):
    (tmp_path / "test_own.py").write_text(BLOCKS[1], encoding="utf-8")
    ran = user("pytest", "--mech-profile=smoke", "-p", "no:cacheprovider")
    assert "1 passed" in ran.stdout, ran.stdout + ran.stderr


def test_the_readmes_script(user, tmp_path):
    (tmp_path / "script.py").write_text(BLOCKS[2], encoding="utf-8")
    ran = user("script")
    assert ran.returncode == 0, ran.stderr
    ablated, patched = map(float, ran.stdout.split("\n")[-2].split())
    assert abs(ablated) < 2 < -patched, "ablation gives indifference, patching flips"


def test_every_python_block_of_the_readme_is_run():
    assert len(BLOCKS) == 3
