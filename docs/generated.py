"""Reference text made from the code when the site is built, so that it cannot drift from it.

A page asks for it by a line `<!-- generated: NAME ARGUMENT -->`; see `GENERATORS`.
"""

import argparse
import ast
import inspect
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

import yaml
from sphinx.pycode import ModuleAnalyzer

import mechcheck
from mechcheck.cli import make_parser
from mechcheck.evidence.store import schema
from mechcheck.plugin.settings import pytest_addoption
from mechcheck.verdicts.case import PROFILES
from mechcheck.verdicts.collected import Collected


class _Options:
    """Stands in for pytest's parser, and keeps what the plugin adds to it."""

    def __init__(self) -> None:
        self.found: list[tuple[str, dict[str, Any]]] = []

    def getgroup(self, name: str, description: str = "") -> "_Options":
        return self

    def addoption(self, name: str, **about: Any) -> None:
        self.found.append((name, about))


def plugin_options() -> str:
    """A table of the options that the plugin adds to pytest."""
    options = _Options()
    pytest_addoption(options)
    return _table(
        ("option", "meaning"),
        ((_code(_called(name, about)), about["help"]) for name, about in options.found),
    )


def profiles() -> str:
    """A table of the profiles."""
    rows = ((_code(name), *map(str, numbers)) for name, numbers in PROFILES.items())
    return _table(
        (
            "`--mech-profile`",
            "prompts of a claim",
            "decoys of a claim, at most",
        ),
        rows,
    )


def action_inputs() -> str:
    """A table of the inputs of action.yml."""
    action = yaml.safe_load((Path(__file__).parents[1] / "action.yml").read_text(encoding="utf-8"))
    rows = (
        (_code(name), about["description"], _code(about["default"]) if about["default"] else "")
        for name, about in action["inputs"].items()
    )
    return _table(("input", "meaning", "default"), rows)


def commands() -> str:
    """A section for each sub-command of `mechcheck`, with its usage and arguments."""
    return "\n\n".join(_commands(make_parser()))


def _commands(parser: argparse.ArgumentParser, before: str = "") -> Iterator[str]:
    """Those of a parser, and of each its own."""
    for sub in parser._actions:
        if isinstance(sub, argparse._SubParsersAction):
            about = {choice.dest: choice.help for choice in sub._choices_actions}
            for name, one in sub.choices.items():
                called = f"{before}{name}"
                inner = list(_commands(one, f"{called} "))
                yield from inner or [_command(called, one, about[name] or "")]


def _command(name: str, parser: argparse.ArgumentParser, about: str) -> str:
    usage = re.sub(r"\s+", " ", parser.format_usage().removeprefix("usage: "))
    rows = [
        (_code(_argument(action)), (action.help or "") % vars(action))
        for action in parser._actions
        if action.dest != "help"
    ]
    table = f"\n\n{_table(('argument', 'meaning'), rows)}" if rows else ""
    return (
        f"## `mechcheck {name}`\n\n{about[0].upper()}{about[1:]}.\n\n```text\n{usage}\n```{table}"
    )


def _argument(action: argparse.Action) -> str:
    if not action.option_strings:
        return action.metavar if isinstance(action.metavar, str) else action.dest
    value = "" if action.nargs == 0 else f" {action.metavar or action.dest.upper()}"
    return ", ".join(action.option_strings) + value


def _called(name: str, about: Mapping[str, Any]) -> str:
    if about.get("action") in ("store_true", "store_false"):
        return name
    return f"{name} {about.get('metavar') or '|'.join(about.get('choices', ('VALUE',)))}"


def evidence_fields() -> str:
    """A table for each kind of object in the evidence, from the JSON Schema in the package."""
    found = schema()
    parts = {"evidence": found, **found["$defs"]}
    return "\n\n".join(
        _object(name, part) for name, part in parts.items() if "properties" in _resolved(part)
    )


def _resolved(part: Mapping[str, Any]) -> Mapping[str, Any]:
    """The object itself, where it is written as "this or null"."""
    return next((one for one in part.get("oneOf", ()) if "properties" in one), part)


def _object(name: str, part: Mapping[str, Any]) -> str:
    part = _resolved(part)
    about = (
        f"{part['description'][0].upper()}{part['description'][1:]}.\n\n"
        if "description" in part
        else ""
    )
    rows = (
        (_code(field), _type(of), of.get("description", ""))
        for field, of in part["properties"].items()
    )
    return f"### {name}\n\n{about}{_table(('field', 'type', 'meaning'), rows)}"


def _type(of: Mapping[str, Any]) -> str:
    """A JSON Schema's type in words, with links to the objects."""
    if "$ref" in of:
        name = of["$ref"].rpartition("/")[2]
        target = schema()["$defs"][name]
        return f"[{name}](#{name})" if "properties" in _resolved(target) else _type(target)
    if "oneOf" in of:
        return " or ".join(_type(one) for one in of["oneOf"])
    if "const" in of:
        return _code(of["const"])
    if "enum" in of:
        return ", ".join(_code("null" if value is None else value) for value in of["enum"])
    kinds = of.get("type", "any")
    if kinds == "array":
        return f"list of {_type(of['items'])}" if isinstance(of.get("items"), dict) else "list"
    if kinds == "object" and isinstance(of.get("additionalProperties"), dict):
        return f"mapping to {_type(of['additionalProperties'])}"
    return kinds if isinstance(kinds, str) else " or ".join(kinds)


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


def soak() -> str:
    """What `benchmarks/soak.py` found, by fault."""
    found = json.loads(
        (Path(__file__).parents[1] / "benchmarks/results/soak.json").read_text(encoding="utf-8")
    )
    columns = (
        "runs",
        "claims_shown",
        "recovered",
        "lost",
        "wrong_complete",
        "unreadable",
        "litter",
        "wrong_exit",
    )
    rows = [*found["by_fault"].items(), ("**all runs**", found["all"])]
    table = _table(
        ("fault", *(name.replace("_", " ") for name in columns)),
        (
            [name.replace("_", " "), *(str(counts[column]) for column in columns)]
            for name, counts in rows
        ),
    )
    return f"{found['all']['faults']} planned faults in {found['all']['runs']} runs:\n\n{table}"


def _table(head: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    head = tuple(head)
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(_cell(text) for text in line)} |" for line in lines)


def _cell(text: str) -> str:
    return re.sub(r"\s+", " ", text).replace("|", "\\|")


def _code(text: str) -> str:
    return f"`{text}`"


GENERATORS = {
    "plugin_options": plugin_options,
    "profiles": profiles,
    "action_inputs": action_inputs,
    "commands": commands,
    "evidence_fields": evidence_fields,
    "api": api,
    "public_module": public_module,
    "soak": soak,
}
