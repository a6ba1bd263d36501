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
import os
import re
import shlex
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import NamedTuple

import pytest
import test_ci_recipes
import test_installed
import yaml
from hub import serve
from markdown_it import MarkdownIt

import mechcheck
from mechcheck.base.paths import data_dir
from mechcheck.tasks import shipped as _tasks

ROOT = Path(__file__).resolve().parents[2]
BINARIES = Path(sys.executable).parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
LANGUAGES = {"python", "console", "sh", "toml", "yaml", "json", "text"}
DIRECTIVES = {"{toctree}", "{literalinclude}"}
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
    "mechcheck verify": Instead("mechcheck verify --collect-only -q", _MINUTES),
    "pytest claims -n auto --mech-device cuda": Instead("pytest claims -n 0 --collect-only -q", "it needs a GPU"),
    "pytest claims --mech-report baselines/cpu": Instead(f"pytest {_FEW} --mech-report baselines/cpu", _MINUTES),
    f"pytest claims {_FAIL_ON}": Instead(f"pytest {_FEW} {_FAIL_ON}", _MINUTES),
    f"pytest test_answers.py -n 2 {_TWO_PROCESSES}": Instead(
        f"pytest test_answers.py -n 0 {_TWO_PROCESSES}", "each process imports torch; tests/plugin/test_plugin_distribution.py has them"
    ),
}


class Block(NamedTuple):
    """A fenced block of a page."""

    page: Path
    language: str
    text: str
    first: int
    last: int
    """Line numbers of its fences, from 1."""

    @property
    def where(self) -> str:
        return f"{name_of(self.page)}:{self.first}"


def name_of(page: Path) -> str:
    return page.relative_to(ROOT).as_posix()


def blocks_of(page: Path) -> list[Block]:
    """The fenced blocks of a page, without the directives that lay it out."""
    tokens = MarkdownIt().parse(page.read_text(encoding="utf-8"))
    unfenced = [token.map[0] + 1 for token in tokens if token.type == "code_block"]
    assert not unfenced, f"{name_of(page)}: indented code in line {unfenced[0]}; fence it, so that its language is known"
    found = [Block(page, token.info.strip(), token.content, token.map[0] + 1, token.map[1]) for token in tokens if token.type == "fence"]
    return [block for block in found if block.language.split(" ")[0] not in DIRECTIVES]


def file_name(block: Block) -> str | None:
    """The file that a block is, as its first line says."""
    found = re.match(r"# ([\w./-]+\.(py|toml|ya?ml))$", block.text.splitlines()[0])
    return found[1] if found else None


NUMBER = r"[-+]?\d+\.\d+"


def as_pattern(part: str) -> str:
    if part == "...":
        return ".*"
    if part.isspace():
        return r"\s+"
    return f"({NUMBER})" if re.fullmatch(NUMBER, part) else re.escape(part)


def same_line(expected: str, printed: str) -> bool:
    parts = re.split(rf"(\.\.\.|{NUMBER}|\s+)", expected.strip())
    found = re.fullmatch("".join(map(as_pattern, parts)), printed.strip())
    numbers = [float(part) for part in parts if re.fullmatch(NUMBER, part)]
    return bool(found) and all(abs(float(a) - b) <= 0.02 * max(1.0, abs(b)) for a, b in zip(found.groups(), numbers, strict=True))


def same_lines(expected: list[str], printed: list[str]) -> bool:
    if not expected:
        return not any(line.strip() for line in printed)
    if expected[0].strip() == "...":
        return any(same_lines(expected[1:], printed[i:]) for i in range(len(printed) + 1))
    if not printed:
        return False
    return same_line(expected[0], printed[0]) and same_lines(expected[1:], printed[1:])


def shown(text: str) -> list[str]:
    return [line for line in text.splitlines() if line.strip()]


def check_printed(where: str, expected: str, printed: str) -> None:
    assert same_lines(shown(expected), shown(printed)), f"{where}: the page says\n{expected}\nbut this was printed:\n{printed}"


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


class Shell:
    """Runs command lines in a directory, with the environment of a user who has mechcheck installed and a hub on loopback."""

    def __init__(self, scratch: Path, hub_url: str):
        self.output = scratch / "output.txt"
        clean = {name: value for name, value in os.environ.items() if not name.startswith(("PYTEST", "COV", "HF_", "MECH"))}
        self.environment = clean | {
            "PATH": f"{BINARIES}{os.pathsep}{clean['PATH']}",
            "PYTEST_ADDOPTS": "-p no:randomly -p no:cacheprovider -W ignore::pytest.PytestAssertRewriteWarning",
            "PYTEST_XDIST_AUTO_NUM_WORKERS": "1",
            "HF_ENDPOINT": hub_url,
            "HF_HOME": str(scratch / "hub"),
            "HF_HUB_DISABLE_XET": "1",
            "HF_HUB_DISABLE_PROGRESS_BARS": "1",
            "PIP_NO_INDEX": "1",
            "COLUMNS": "120",
            "OMP_NUM_THREADS": "1",
        }
        self.warm = subprocess.Popen(
            [sys.executable, ROOT / "tests" / "warm.py"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=self.environment
        )

    def run(self, line: str, directory: Path) -> tuple[int, str]:
        """Exit status and output of a command line."""
        words = shlex.split(line, comments=True)
        if words[0] in ("pytest", "mechcheck", "python") and words[1:2] != ["-m"] and not re.search(r"[|&;<>$]", line):
            request = {"words": words, "directory": str(directory), "output": str(self.output)}
            self.warm.stdin.write(json.dumps(request) + "\n")
            self.warm.stdin.flush()
            status = int(self.warm.stdout.readline())
        else:
            with self.output.open("w") as output:
                status = subprocess.run(
                    ["bash", "-eo", "pipefail", "-c", line], cwd=directory, env=self.environment, stdout=output, stderr=subprocess.STDOUT
                ).returncode
        return status, self.output.read_text(encoding="utf-8")

    def close(self) -> None:
        self.warm.stdin.close()
        self.warm.wait(timeout=60)
        self.warm.stdout.close()


@pytest.fixture(scope="module")
def shell(tmp_path_factory):
    with serve() as hub:
        for name, served in HUB_MODELS.items():
            name, _, revision = name.partition("@")
            hub.add(name, data_dir("fixtures") / "models" / served, *([revision] if revision else []))
        running = Shell(tmp_path_factory.mktemp("shell"), hub.url)
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
    before = dict(_tasks.GENERATORS)  # importing _tasks registered the shipped ones
    yield tmp_path
    _tasks.GENERATORS.clear()
    _tasks.GENERATORS.update(before)


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


def sessions(block: Block) -> list[tuple[str, str]]:
    """Each command of a console block, and what is shown below it."""
    first, *parts = re.split(r"^\$ ", block.text, flags=re.MULTILINE)
    assert not first.strip(), f"{block.where}: a console block begins with a command"
    pairs = [re.match(r"((?:.*\\\n)*.*)\n?", part) for part in parts]
    return [(found[1].replace("\\\n", " "), part[found.end() :]) for found, part in zip(pairs, parts, strict=True)]


def command_lines(text: str) -> list[str]:
    joined = text.replace("\\\n", " ")
    return [line for line in joined.splitlines() if line.strip() and not line.lstrip().startswith("#")]


def command(block: Block, line: str, expected: str, shell: Shell, directory: Path) -> None:
    """Run a command line and compare what it prints."""
    instead = INSTEAD.get(shlex.join(shlex.split(line, comments=True)))
    status, printed = shell.run(instead.command if instead else line, directory)
    if expected.strip():
        check_printed(f"{block.where}: {line}", expected, printed)
    else:
        assert status == 0, f"{block.where}: {line}\nends with {status}:\n{printed}"


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
