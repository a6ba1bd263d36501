"""The shipped claims as they say what they are, and some of them as they are written."""

import ast
import inspect
import subprocess
import sys
from collections.abc import Callable, Iterator
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType
from typing import Any

from mechcheck.verdicts.claim import MARK, ClaimSpec

ROOT = Path(__file__).parents[1]


def gallery(folder: str) -> str:
    """A line for each claim of a folder of claims/: statement, place, kind, source."""
    lines = ["| claim | kind | from |", "| --- | --- | --- |"]
    for path in sorted((ROOT / "claims" / folder).glob("test_*.py")):
        where = path.relative_to(ROOT).as_posix()
        for test, spec in _claims(_imported(path)):
            link = f"[{spec.statement}](../{where}#L{inspect.getsourcelines(test)[1]})"
            lines.append(f"| {link} | {spec.kind or ''} | {spec.source or ''} |".replace("\n", " "))
    return "\n".join(lines)


def folders() -> list[str]:
    """Those of claims/ that have claims."""
    return sorted(
        {
            path.parent.relative_to(ROOT / "claims").as_posix()
            for path in (ROOT / "claims").rglob("test_*.py")
        }
    )


def source_of(where: str) -> str:
    """A claim, `claims/ioi/test_x.py::test_y`, below what it needs of its file."""
    path, _, name = where.partition("::")
    text = (ROOT / path).read_text(encoding="utf-8")
    body = ast.parse(text).body
    test = next(node for node in body if isinstance(node, ast.FunctionDef) and node.name == name)
    used, given = _names(test), []
    for node in reversed(body):  # what is given may itself be made of what was given before
        if isinstance(node, ast.Assign) and _names(node.targets[0]) & used:
            used |= _names(node)
            given.append(ast.get_source_segment(text, node) or "")
    imported = []
    for node in body:
        if isinstance(node, ast.ImportFrom | ast.Import):
            node.names = [alias for alias in node.names if (alias.asname or alias.name) in used]
            imported += [ast.unparse(node)] if node.names else []
    first = min([test.lineno, *(by.lineno for by in test.decorator_list)])
    own = "\n".join(text.splitlines()[first - 1 : test.end_lineno])
    top = "\n".join(imported) + "\n\n" * bool(given) + "\n".join(reversed(given))
    code = _fitting(f"{top}\n\n\n{own}\n")
    return f"```python\n{code}```"


def _fitting(code: str) -> str:
    """Laid out for the width of a page, as ruff has it for docs/."""
    ruff = [
        sys.executable,
        "-m",
        "ruff",
        "format",
        "--stdin-filename",
        str(ROOT / "docs/claim.py"),
        "-",
    ]
    return subprocess.run(ruff, input=code, capture_output=True, text=True, check=True).stdout


def _names(node: ast.AST) -> set[str]:
    return {one.id for one in ast.walk(node) if isinstance(one, ast.Name)}


def _imported(path: Path) -> ModuleType:
    """The file as a module, as pytest would import it: with its folder on the path."""
    spec = spec_from_file_location(f"gallery_of_{path.stem}", path)
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    sys.path.insert(0, str(path.parent))
    try:
        spec.loader.exec_module(module)
    finally:
        sys.path.remove(str(path.parent))
    return module


def _claims(module: ModuleType) -> Iterator[tuple[Callable[..., Any], ClaimSpec]]:
    for name, test in vars(module).items():
        marks = getattr(test, "pytestmark", ()) if name.startswith("test_") else ()
        yield from ((test, mark.args[0]) for mark in marks if mark.name == MARK)
