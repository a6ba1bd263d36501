"""The recipes for CI: valid by their schemas, and every command in them runs."""

import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import pytest
import yaml
from warm import Shell

ROOT = Path(__file__).resolve().parents[2]
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
ACTION = yaml.safe_load((ROOT / "action.yml").read_text(encoding="utf-8"))
GITLAB = yaml.safe_load((ROOT / "docs" / "gitlab-ci.yml").read_text(encoding="utf-8"))
BINARIES = Path(sys.executable).parent
CLAIM = """
from mechcheck import claim, correct, run

@claim("The model answers with the indirect object", task="ioi", kind="behaviour")
def test_answers(model, prompts, check):
    check.rate(run(model, prompts, metric=correct), above=0.9)
"""


@pytest.mark.parametrize(
    ("schema", "file"),
    [
        *(("vendor.github-workflows", file) for file in WORKFLOWS),
        ("vendor.github-actions", ROOT / "action.yml"),
        ("vendor.gitlab-ci", ROOT / "docs" / "gitlab-ci.yml"),
    ],
    ids=lambda value: value.name if isinstance(value, Path) else value,
)
def test_schema(schema, file):
    done = subprocess.run([BINARIES / "check-jsonschema", "--builtin-schema", schema, file], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout


@pytest.fixture
def project(shell, tmp_path):
    """A user's repository with one claim, and an environment in which `python`, `pytest` and `mechcheck` are this one's."""
    (tmp_path / "claims").mkdir()
    (tmp_path / "claims" / "test_answers.py").write_text(CLAIM)
    return Project(tmp_path, shell)


class Project(NamedTuple):
    folder: Path
    shell: Shell

    def bash(self, command: str, **variables: str) -> subprocess.CompletedProcess:
        """Run a step as the runner does."""
        return self.shell.run(command, self.folder, GITHUB_STEP_SUMMARY=str(self.folder / "summary.md"), **variables)


def inputs(**changed: str) -> dict[str, str]:
    return {name: str(described["default"]) for name, described in ACTION["inputs"].items()} | changed


def variables_of(step: dict, given: dict[str, str]) -> dict[str, str]:
    """A step's environment with the action's inputs put in."""
    found = {}
    for name, value in step.get("env", {}).items():
        for key, text in given.items():
            value = value.replace("${{ inputs." + key + " }}", text)
        assert "${{" not in value, f"{name} uses what no input gives"
        found[name] = value
    return found


def test_the_action_runs_claims_and_keeps_the_evidence(project):
    given = inputs(models="names-gpt2-seed4", profile="smoke", processes="0")
    for step in (step for step in ACTION["runs"]["steps"] if "run" in step):
        done = project.bash(step["run"], **variables_of(step, given))
        assert done.returncode == 0, f"{step['name']}: {done.stdout}"
    assert (project.folder / "reports" / "evidence.json").is_file()
    assert (project.folder / "reports" / "junit.xml").is_file()
    assert "The model answers with the indirect object" in (project.folder / "summary.md").read_text()
    again = inputs(models="names-gpt2-seed4", profile="smoke", processes="0", report="later", baseline="reports/evidence.json")
    step = next(step for step in ACTION["runs"]["steps"] if step["name"] == "Run the claims")
    done = project.bash(step["run"], **variables_of(step, again | {"fail-on": "drifted,flipped,missing"}))
    assert done.returncode == 0, done.stdout


def test_the_action_fails_where_a_claim_does(project):
    (project.folder / "claims" / "test_answers.py").write_text(CLAIM.replace("above=0.9", "below=0.5"))
    step = next(step for step in ACTION["runs"]["steps"] if step["name"] == "Run the claims")
    done = project.bash(step["run"], **variables_of(step, inputs(models="names-gpt2-seed4", profile="smoke", processes="0")))
    assert done.returncode == 1


def test_every_input_of_the_action_is_used():
    text = (ROOT / "action.yml").read_text()
    assert [name for name in ACTION["inputs"] if "${{ inputs." + name + " }}" not in text] == []


def test_the_gitlab_recipe_runs(project):
    shared = GITLAB[".claims"]
    variables = shared["variables"] | {"PYTEST_XDIST_AUTO_NUM_WORKERS": "1"}
    variables["MECH_ARGUMENTS"] = "--mech-model names-gpt2-seed4 --mech-profile smoke"
    for command in (*shared["before_script"], *GITLAB["claims-cpu"]["script"], *shared["after_script"]):
        done = project.bash(command, **variables)
        assert done.returncode == 0, f"{command}: {done.stdout}"
    assert "indirect object" in (project.folder / "reports" / "summary.md").read_text()
    on_gpu = GITLAB["claims-gpu"]["variables"] | {"MECH_DEVICE": "cpu", "MECH_MODEL": "names-gpt2-seed4"}
    for command in GITLAB["claims-gpu"]["script"]:
        done = project.bash(command, **variables | on_gpu | {"MECH_ARGUMENTS": "--mech-profile smoke"})
        assert done.returncode == 0, f"{command}: {done.stdout}"


def test_our_own_workflows_call_what_there_is(project):
    """`make` targets exist, the summary is written, and the GPU job asks the action for inputs that it has."""
    steps = [step for file in WORKFLOWS for job in yaml.safe_load(file.read_text())["jobs"].values() for step in job["steps"]]
    makefile = (ROOT / "Makefile").read_text()
    for command in (step["run"] for step in steps if "run" in step):
        if command.startswith("make "):
            assert f"\n{command.removeprefix('make ')}: " in makefile
        elif command.startswith(".venv/bin/pytest "):
            assert [path for path in command.split()[1:] if path.startswith(("tests", "claims")) and not (ROOT / path).is_dir()] == []
        else:
            assert project.bash(command).returncode == 0  # where a run left no evidence there is nothing to write
    used = [step for step in steps if step.get("uses") == "./"]
    assert used
    assert all(set(step["with"]) <= set(ACTION["inputs"]) for step in used)
