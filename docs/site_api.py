"""The public names as Sphinx makes them from their docstrings, linked to each other."""

import ast
import inspect
from importlib import import_module
from pathlib import Path

from sphinx.pycode import ModuleAnalyzer

import mechcheck
from mechcheck.verdicts.collected import Collected


def export_groups() -> dict[str, list[tuple[str, str]]]:
    """Group -> (public name, module), as the comments in mechcheck/__init__.pyi have them."""
    stub = Path(mechcheck.__file__).with_suffix(".pyi").read_text(encoding="utf-8")
    lines = enumerate(stub.splitlines(), start=1)
    titles = {number: line.removeprefix("# ") for number, line in lines if line.startswith("# ")}
    groups: dict[str, list[tuple[str, str]]] = {title: [] for title in titles.values()}
    for node in ast.parse(stub).body:
        if isinstance(node, ast.ImportFrom):
            group = titles[max(line for line in titles if line < node.lineno)]
            groups[group] += [(alias.name, str(node.module)) for alias in node.names]
    return groups


def api(group: str) -> str:
    """The public names of a group, from their docstrings."""
    entries = (_entry(name, f"mechcheck.{module}") for name, module in export_groups()[group])
    return _rst(".. py:currentmodule:: mechcheck\n\n" + "\n\n".join(entries))


def public_module(name: str) -> str:
    """The public names of a module that is imported by itself."""
    return _rst(f".. automodule:: {name}\n   :members:")


def _rst(text: str) -> str:
    return f"```{{eval-rst}}\n{text}\n```"


def _entry(name: str, module: str) -> str:
    value = getattr(mechcheck, name)
    if inspect.isclass(value) and issubclass(value, Collected):  # what its mixins add is its own
        return f".. autoclass:: {name}\n   :members:\n   :inherited-members: Collected"
    if inspect.isclass(value):
        return f".. autoclass:: {name}\n   :members:"
    if inspect.isfunction(value):
        return f".. autofunction:: {name}"
    # autodoc looks for the string under an assignment in the module it is asked about alone.
    import_module(module)
    doc = ModuleAnalyzer.for_module(module).find_attr_docs()[("", name)]
    return "\n".join(
        [f".. py:data:: {name}", "", *(f"   {line}".replace("*", "\\*") for line in doc)]
    )
