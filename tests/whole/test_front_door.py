"""The public names, as a reader of the stub, a type checker and Python see them: all three the same."""

import inspect
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import mechcheck

ROOT = Path(__file__).parents[2]
PUBLIC = {name: getattr(mechcheck, name) for name in mechcheck.__all__}


@pytest.fixture(scope="module")
def seen(tmp_path_factory) -> list[str]:
    """What mypy says of a file that asks about every public name, by line, and then misspells two."""
    from mypy import api

    file = tmp_path_factory.mktemp("typed") / "asks.py"
    asked = [f"reveal_type(mechcheck.{name})" for name in PUBLIC]
    file.write_text("\n".join(["import mechcheck", *asked, "mechcheck.lgoit_diff", "from mechcheck import haeds", ""]))
    # The cache is the linter's, so that torch is not read anew.
    said, errors, _ = api.run(["--config-file", str(ROOT / "pyproject.toml"), "--cache-dir", str(ROOT / ".mypy_cache"), str(file)])
    assert not errors, errors
    return [re.sub(r"^.*?asks\.py:", "", line) for line in said.splitlines()]


def test_a_type_checker_sees_what_is_there(seen):
    notes = dict(re.findall(r'^(\d+): note: Revealed type is "(.*)"$', "\n".join(seen), flags=re.MULTILINE))
    found = {name: notes[str(line)] for line, name in enumerate(PUBLIC, start=2)}
    assert {name: typed for name, typed in found.items() if not agrees(typed, PUBLIC[name])} == {}


def agrees(typed: str, value: object) -> bool:
    """Whether what mypy revealed is this value's class, its signature, or its type."""
    if inspect.isclass(value):  # mypy shows how it is made, and a NamedTuple as a tuple that falls back on it
        return re.search(rf"(-> |fallback=){value.__module__}\.{value.__qualname__}\b", typed) is not None
    if inspect.isfunction(value):
        return typed.startswith(("def ", "Overload(")) and all(f"{name}: " in typed for name in inspect.signature(value).parameters)
    return typed.startswith(f"{type(value).__module__}.{type(value).__qualname__}".removeprefix("builtins."))


def test_a_type_checker_refuses_misspelt_names(seen):
    (attribute,), (imported,) = ([line for line in seen if ": error: " in line and name in line] for name in ("lgoit_diff", "haeds"))
    assert 'maybe "logit_diff"?' in attribute
    assert 'maybe "heads"?' in imported


def test_nothing_else_is_public():
    assert dir(mechcheck) == sorted(PUBLIC)
    assert not {"Any", "import_module", "lazy_loader", "TYPE_CHECKING"} & set(vars(mechcheck))
    with pytest.raises(AttributeError, match="lgoit_diff"):
        mechcheck.lgoit_diff  # noqa: B018


@pytest.mark.parametrize(("eager", "torch"), [("", False), ("1", True)])
def test_names_are_imported_when_they_are_used(eager, torch):
    """Or all at once, which shows that each is there."""
    code = f"import mechcheck, sys; assert ('torch' in sys.modules) is {torch}; assert {torch} is ('run' in vars(mechcheck))"
    done = subprocess.run([sys.executable, "-c", code], env=os.environ | {"EAGER_IMPORT": eager}, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
