"""The documentation: every code block of README.md and docs/ does what its page says.

How a block is run:

- `python`, `toml`, `yaml` whose first line is a comment with a file name (`# test_first.py`): written into the page's directory;
- other `python`: executed, with the names of the blocks before it on the page. A `text` block directly below is its output;
- `console`: each line behind `$ ` is run in the page's directory and must print the lines below it;
- `sh`: each line is run, and must succeed;
- `toml`, `yaml`, `json`: parsed. `text` is for readers.

In what is printed, `...` stands for any text, or, on a line of its own, for any lines; a number with decimals may differ by 0.02, or by
2% (another processor rounds otherwise). A command that prints nothing of note must succeed.
"""

import contextlib
import io
import itertools
import json
import shlex
import shutil
import tomllib
from pathlib import Path
from typing import NamedTuple

import pytest
import test_ci_recipes
import test_installed
import yaml
from blocks import PAGES, ROOT, Block, blocks_of, check_printed, command_lines, file_name, name_of, same_lines, sessions, shown
from hub import serve
from warm import Shell

import mechcheck
from mechcheck.base.paths import data_dir
from mechcheck.tasks import shipped as _shipped

LANGUAGES = {"python", "console", "sh", "toml", "yaml", "json", "text"}
SHARED = ("Makefile", "benchmarks", "claims", "docs", "fixtures", "mechcheck", "pyproject.toml", "README.md", "LICENSE", "requirements")
"""What of a clone there is, as links, where a page speaks of one; other pages begin with an empty directory."""
IN_A_CLONE = {"README.md", "docs/install.md"}
HUB_MODELS = {"gpt2@607a30d": "names-gpt2-seed4"}
"""Hub names on the pages, and the embedded model that the hub on loopback serves under them."""


class Instead(NamedTuple):
    """What is run in the place of a line that a test cannot run."""

    command: str
    because: str


_MINUTES = "every claim takes minutes"
_FEW = "claims/ioi/test_behaviour.py --mech-profile smoke --mech-model names-gpt2-seed4"
_FAIL_ON = "--mech-baseline baselines/cpu --mech-fail-on refuted,vacuous,errored,drifted,flipped,missing"
_TWO_PROCESSES = "--mech-model names-gpt2-seed4 --mech-model names-gpt2-seed6 --mech-profile smoke -q"
INSTEAD = {
    "make verify": Instead("make -n verify", _MINUTES),
    "make test": Instead("make -n test", "it runs this test"),
    "make docs": Instead("make -n docs", "tests/whole/test_docs_site.py builds the site"),
    "pip install .": Instead("pip install --dry-run --no-deps --no-build-isolation .", "tests/whole/test_installed.py installs the wheel"),
    "pip wheel --no-deps --wheel-dir dist .": Instead("pip wheel --help", "tests/whole/test_installed.py builds the wheel"),
    "pip install torch --index-url https://download.pytorch.org/whl/cpu": Instead("pip install --dry-run torch", "it needs the network"),
    "pytest claims --mech-cluster slurm --mech-workers 8 --mech-resources num_gpus=1,slurm_partition=gpu,timeout_min=240": Instead(
        "pytest test_answers.py --mech-cluster slurm --mech-workers 8 --mech-resources num_gpus=1,timeout_min=240 --collect-only -q",
        "it needs Slurm; tests/cluster/test_slurm.py has submitit start workers here",
    ),
    "mechcheck discover ioi my-model --method prune --n 48 --cluster ray --workers 8 --device cuda --resources num_gpus=.5": Instead(
        "mechcheck discover --help",
        "it needs GPUs; tests/circuits/test_shared_searches.py searches on two processes",
    ),
    "mechcheck calibrate --cluster local --workers 3": Instead(
        "mechcheck calibrate names-gpt2-seed4 --profile smoke --claims 200 --population 480 --cluster local --workers 1 -o calibrated",
        _MINUTES,
    ),
    "pytest claims --mech-cluster ray --mech-device cuda --mech-resources gpu_gb=80": Instead(
        "pytest test_answers.py --mech-cluster ray --mech-resources gpu_gb=80 --collect-only -q",
        "it needs GPUs; tests/cluster/test_ray.py runs claims on three nodes of Ray",
    ),
    "pytest claims --mech-cluster local --mech-resume": Instead(
        "pytest test_answers.py --mech-cluster local --mech-workers 1 --mech-resume --mech-model names-gpt2-seed4 --mech-profile smoke -q",
        _MINUTES,
    ),
    "pytest claims": Instead("pytest claims --collect-only -q", _MINUTES),
    "pytest claims --mech-model ./my-hf-directory": Instead(
        "pytest claims/ioi/test_behaviour.py --mech-profile smoke --mech-model ./my-hf-directory", _MINUTES
    ),
    "pytest claims/ioi --mech-model gpt2@607a30d": Instead(
        "pytest claims/ioi --mech-model gpt2@607a30d --collect-only -q", "the model on the hub of this test is not GPT-2"
    ),
    "pytest claims/ioi --mech-model ./my-hf-directory --mech-circuits circuits": Instead(
        "pytest claims/ioi/test_s_inhibition.py -k attend --mech-model ./my-hf-directory --mech-circuits circuits --mech-profile smoke",
        _MINUTES,
    ),
    "pip install 'mechcheck[explore]'": Instead("pip install --dry-run --no-deps starlette uvicorn", "mechcheck is on no index"),
    "mechcheck explore names-gpt2-seed4 --task ioi": Instead("mechcheck explore --help", "it serves until it is stopped"),
    "mechcheck verify": Instead("mechcheck verify --collect-only -q", _MINUTES),
    "pytest claims -n auto --mech-device cuda": Instead("pytest claims -n 0 --collect-only -q", "it needs a GPU"),
    "pytest claims --mech-report baselines/cpu": Instead(f"pytest {_FEW} --mech-report baselines/cpu", _MINUTES),
    f"pytest claims {_FAIL_ON}": Instead(f"pytest {_FEW} {_FAIL_ON}", _MINUTES),
    f"pytest test_answers.py -n 2 {_TWO_PROCESSES}": Instead(
        f"pytest test_answers.py -n 0 {_TWO_PROCESSES}", "each process imports torch; tests/plugin/test_plugin_distribution.py has them"
    ),
}


@pytest.mark.parametrize(
    ("expected", "printed", "same"),
    [
        ("a 1.00 b", "a   1.01 b", True),
        ("a 1.00 b", "a 1.03 b", False),
        ("a 200.0", "a 203.9", True),
        ("3 passed", "4 passed", False),
        ("a 1.0", "a -1.0", False),
        ("...\nlast", "first\n\nlast", True),
        ("...\nlast", "last\nmore", False),
        ("a ... c\n...", "a b c", True),
        ("a", "a\nb", False),
        ("a.b", "axb", False),
    ],
)
def test_what_counts_as_the_same(expected, printed, same):
    assert same_lines(shown(expected), shown(printed)) == same


@pytest.fixture(scope="module")
def shell(tmp_path_factory):
    """A user's shell, with a hub on loopback."""
    with serve() as hub:
        for name, served in HUB_MODELS.items():
            name, _, revision = name.partition("@")
            hub.add(name, data_dir("fixtures") / "models" / served, *([revision] if revision else []))
        folder = tmp_path_factory.mktemp("shell")
        running = Shell(
            folder, HF_ENDPOINT=hub.url, HF_HOME=str(folder / "hub"), HF_HUB_DISABLE_XET="1", HF_HUB_DISABLE_PROGRESS_BARS="1",
            PYTEST_ADDOPTS="-p no:randomly -p no:cacheprovider",
            PYTEST_XDIST_AUTO_NUM_WORKERS="1", COLUMNS="120",
        )  # fmt: skip
        yield running
        running.close()


@pytest.fixture
def directory(page, tmp_path, monkeypatch):
    """Where the page's blocks are run; tasks that they register are forgotten again."""
    if name_of(page) in IN_A_CLONE:
        for name in SHARED:
            (tmp_path / name).symlink_to(ROOT / name)
        shutil.copytree(data_dir("fixtures") / "models" / "names-gpt2-seed6", tmp_path / "my-hf-directory")
    monkeypatch.chdir(tmp_path)
    before = dict(_shipped.GENERATORS)  # importing _shipped registered the shipped ones
    yield tmp_path
    _shipped.GENERATORS.clear()
    _shipped.GENERATORS.update(before)


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_every_block_does_what_the_page_says(page, shell, directory):
    namespace = {"__name__": "__docs__"}
    blocks = blocks_of(page)
    for block, below in itertools.pairwise([*blocks, None]):
        assert block.language in LANGUAGES, f"{block.where}: a block is one of {', '.join(sorted(LANGUAGES))}, not {block.language!r}"
        if (name := file_name(block)) is not None:
            (directory / name).parent.mkdir(parents=True, exist_ok=True)
            (directory / name).write_text(block.text, encoding="utf-8")
        match block.language:
            case "python" if page.name == "README.md":
                assert block.text in test_installed.BLOCKS, f"{block.where}: tests/whole/test_installed.py does not run it"
            case "python" if name is None:
                output = below.text if below and below.language == "text" and below.first <= block.last + 2 else None
                execute(block, namespace, output)
            case "console":
                for line, expected in sessions(block):
                    command(block, line, expected, shell, directory)
            case "sh":
                for line in command_lines(block.text):
                    command(block, line, "", shell, directory)
            case "toml":
                tomllib.loads(block.text)
            case "json":
                json.loads(block.text)
            case "yaml":
                check_workflow(yaml.safe_load(block.text))


def execute(block: Block, namespace: dict, expected: str | None) -> None:
    printed = io.StringIO()
    code = compile("\n" * block.first + block.text, str(block.page), "exec")
    with contextlib.redirect_stdout(printed):
        try:
            exec(code, namespace)
        except mechcheck.MechcheckError as error:
            if expected is None:
                raise
            print(f"{type(error).__name__}: {error}")
    if expected is not None:
        check_printed(block.where, expected, printed.getvalue())


def command(block: Block, line: str, expected: str, shell: Shell, directory: Path) -> None:
    """Run a command line and compare what it prints."""
    instead = INSTEAD.get(shlex.join(shlex.split(line, comments=True)))
    done = shell.run(instead.command if instead else line, directory)
    if expected.strip():
        check_printed(f"{block.where}: {line}", expected, done.stdout)
    else:
        assert done.returncode == 0, f"{block.where}: {line}\nends with {done.returncode}:\n{done.stdout}"


def check_workflow(workflow: dict) -> None:
    """Steps that use mechcheck's action ask for inputs that it has."""
    steps = [step for job in workflow["jobs"].values() for step in job["steps"] if "/mechcheck@" in step.get("uses", "")]
    assert steps
    assert all(set(step["with"]) <= set(test_ci_recipes.ACTION["inputs"]) for step in steps)


def test_nothing_is_replaced_in_vain():
    """Every entry of the tables is used by a page."""
    lines = {
        shlex.join(shlex.split(line, comments=True))
        for page in PAGES
        for block in blocks_of(page)
        if block.language in ("sh", "console")
        for line in (command_lines(block.text) if block.language == "sh" else [line for line, _ in sessions(block)])
    }
    assert set(INSTEAD) <= lines
    assert all(any(name in line for line in lines) for name in HUB_MODELS)
