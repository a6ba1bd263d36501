"""The public names as Markdown: signatures as they are written, sections of docstrings as lists."""

import ast
import inspect
import re
import textwrap
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from types import ModuleType

import mechcheck

_SECTION = re.compile(r"^(Args|Raises|Returns|Yields|Example|Examples|Attributes):\s*(.*)$")
_ENTRY = re.compile(r"^([*\w][\w*., ]*?)(?: \(.*?\))?: (.*)$")
_TITLES = {"Args": "Arguments", "Attributes": "Fields"}


def named(name: str, module: str) -> str:
    """A public name that this module defines, or hands on from another."""
    return _entry(name, import_module(module))


def module_names(name: str) -> str:
    """The public names of a module that is imported by itself, and what it is."""
    module = import_module(name)
    public = [one for one in module.__all__ if not inspect.ismodule(getattr(module, one))]
    return "\n\n".join(
        [
            _markdown(inspect.cleandoc(module.__doc__ or "")),
            *(_entry(one, module) for one in public),
        ]
    )


def _entry(name: str, module: ModuleType) -> str:
    stub = Path(str(module.__file__)).with_suffix(".pyi")
    body = ast.parse(
        inspect.getsource(module) + (stub.read_text(encoding="utf-8") if stub.exists() else "")
    ).body
    for node, after in zip(body, [*body[1:], None], strict=True):
        if isinstance(node, ast.FunctionDef | ast.ClassDef) and node.name == name:
            return (
                _class(_whole(node, module)) if isinstance(node, ast.ClassDef) else _function(node)
            )
        if name in _targets(node):
            return f"### `{name}`\n\n{_markdown(_text(after))}".rstrip()
        if isinstance(node, ast.ImportFrom) and name in (
            alias.asname or alias.name for alias in node.names
        ):
            return _entry(
                name, import_module("." * node.level + (node.module or ""), module.__name__)
            )
    raise LookupError(f"{name} is not defined in {module.__name__}")


def _whole(node: ast.ClassDef, module: ModuleType) -> ast.ClassDef:
    """A class with what it has from private bases of ours."""
    own = getattr(module, node.name)
    for base in own.__mro__[1:]:
        if base.__module__.startswith("mechcheck.") and not hasattr(mechcheck, base.__name__):
            found = ast.parse(inspect.getsource(base)).body[0]
            assert isinstance(found, ast.ClassDef)
            known = {one.name for one in node.body if isinstance(one, ast.FunctionDef)}
            node.body += [
                one
                for one in found.body
                if isinstance(one, ast.FunctionDef) and one.name not in known
            ]
    return node


def _targets(node: ast.stmt) -> list[str]:
    found = (
        node.targets
        if isinstance(node, ast.Assign)
        else [node.target]
        if isinstance(node, ast.AnnAssign)
        else []
    )
    inner = [
        one
        for target in found
        for one in (target.elts if isinstance(target, ast.Tuple) else [target])
    ]
    return [one.id for one in inner if isinstance(one, ast.Name)]


def _text(node: ast.stmt | None) -> str:
    """The string that stands by itself after an assignment."""
    if (
        isinstance(node, ast.Expr)
        and isinstance(node.value, ast.Constant)
        and isinstance(node.value.value, str)
    ):
        return inspect.cleandoc(node.value.value)
    return ""


def _function(node: ast.FunctionDef, within: str = "") -> str:
    level = "####" if within else "###"
    doc = _markdown(ast.get_docstring(node) or "")
    return f"{level} `{within}{node.name}`\n\n```text\n{_signature(node)}\n```\n\n{doc}".rstrip()


def _signature(node: ast.FunctionDef) -> str:
    """As it is written, a line for each argument where one line does not hold them."""
    parts = [part for part in _arguments(node.args) if part not in ("self", "cls")]
    back = f" -> {ast.unparse(node.returns)}" if node.returns else ""
    line = f"{node.name}({', '.join(parts)}){back}"
    if len(line) > 110:
        line = "\n".join([f"{node.name}(", *(f"    {part}," for part in parts), f"){back}"])
    return line.replace("'", '"')


def _arguments(given: ast.arguments) -> Iterator[str]:
    """Each argument with its type and default; "*" before those that are named."""
    plain = [*given.posonlyargs, *given.args]
    defaults = [*[None] * (len(plain) - len(given.defaults)), *given.defaults]
    for one, default in zip(plain, defaults, strict=True):
        yield _argument(one, default)
    if given.vararg or given.kwonlyargs:
        yield f"*{ast.unparse(given.vararg)}" if given.vararg else "*"
    for one, default in zip(given.kwonlyargs, given.kw_defaults, strict=True):
        yield _argument(one, default)
    if given.kwarg:
        yield f"**{ast.unparse(given.kwarg)}"


def _argument(one: ast.arg, default: ast.expr | None) -> str:
    value = (
        ""
        if default is None
        else f" = {ast.unparse(default)}"
        if one.annotation
        else f"={ast.unparse(default)}"
    )
    return ast.unparse(one) + value


def _class(node: ast.ClassDef) -> str:
    """Its docstring, its fields and what can be read of it, its methods."""
    parts = [f"### `{node.name}`\n\n{_markdown(ast.get_docstring(node) or '')}".rstrip()]
    fields = []
    for one, after in zip(node.body, [*node.body[1:], None], strict=True):
        if (
            isinstance(one, ast.AnnAssign)
            and isinstance(one.target, ast.Name)
            and not one.target.id.startswith("_")
        ):
            about = " ".join(_text(after).split())
            fields.append(
                f"- `{one.target.id}: {ast.unparse(one.annotation)}`"
                + (f": {about}" if about else "")
            )
        if isinstance(one, ast.FunctionDef) and not one.name.startswith("_"):
            if any(isinstance(by, ast.Name) and "property" in by.id for by in one.decorator_list):
                about = " ".join((ast.get_docstring(one) or "").split())
                fields.append(f"- `{one.name}`" + (f": {about}" if about else ""))
            else:
                parts.append(_function(one, f"{node.name}."))
    return "\n\n".join(
        [parts[0], *(["\n".join(fields).replace("'", '"')] if fields else []), *parts[1:]]
    )


def _markdown(doc: str) -> str:
    """A docstring whose sections of arguments and errors become lists."""
    lines, inside = [], False
    for line in doc.splitlines():
        if found := _SECTION.match(line):
            inside = True
            lines += ["", f"{_TITLES.get(found[1], found[1])}:", ""]
        elif inside and line.startswith("    ") and not line.startswith("     "):
            entry = _ENTRY.match(line.strip())
            lines.append(f"- `{entry[1]}`: {entry[2]}" if entry else f"- {line.strip()}")
        elif inside and line.strip() and line.startswith(" "):
            lines.append(f"  {line.strip()}")
        else:
            inside = inside and not line.strip()
            lines.append(line)
    text = re.sub(r"\n{3,}", "\n\n", "\n".join(lines)).strip()
    return re.sub(r"(?<=\n\n)(?:^ {4}.*\n?(?:\n(?= {4}))*)+", _fenced, text, flags=re.MULTILINE)


def _fenced(found: re.Match[str]) -> str:
    """Indented code, of which a page says what it is."""
    return f"```text\n{textwrap.dedent(found[0]).strip()}\n```\n"
