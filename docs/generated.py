"""Reference text made from the code, so that it cannot drift from it.

`python docs/generated.py` writes it into the pages, between `<!-- generated: NAME ARGUMENT -->` and
`<!-- end -->`; see `GENERATORS`. The site puts in its own where it can do more than
Markdown; see `SITE`.
"""

import argparse
import json
import re
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

sys.path.insert(0, str(Path(__file__).parent))

from gallery import gallery, source_of
from markdown_api import module_names, named
from site_api import api, export_groups, public_module

from mechcheck.cli import make_parser
from mechcheck.evidence.store import schema
from mechcheck.plugin.settings import pytest_addoption
from mechcheck.verdicts.case import PROFILES

DOCS = Path(__file__).parent
ROOT = DOCS.parent


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
    action = yaml.safe_load((ROOT / "action.yml").read_text(encoding="utf-8"))
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
    usage = re.sub(r"\s+", " ", parser.format_usage().removeprefix("usage: ")).strip()
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


def soak() -> str:
    """What `benchmarks/soak.py` found, by fault."""
    found = json.loads((ROOT / "benchmarks/results/soak.json").read_text(encoding="utf-8"))
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


def api_text(group: str) -> str:
    """The public names of a group, as Markdown."""
    return "\n\n".join(
        named(name, f"mechcheck.{module}") for name, module in export_groups()[group]
    )


GENERATORS: dict[str, Callable[..., str]] = {
    "plugin_options": plugin_options,
    "profiles": profiles,
    "action_inputs": action_inputs,
    "commands": commands,
    "evidence_fields": evidence_fields,
    "api": api_text,
    "public_module": module_names,
    "soak": soak,
    "gallery": gallery,
    "source_of": source_of,
}
SITE = GENERATORS | {"api": api, "public_module": public_module}
"""Where Sphinx links names to each other."""

_PLACE = re.compile(
    r"^<!-- generated: (\w+)(?: (.+?))? -->$(?:\n(?:(?!<!-- generated: ).*\n)*?<!-- end -->$)?",
    re.MULTILINE,
)


def filled(page: str, generators: Mapping[str, Callable[..., str]] = GENERATORS) -> str:
    """A page with what is generated made anew."""

    def made(found: re.Match[str]) -> str:
        name, argument = found.groups()
        text = generators[name](*([argument] if argument else []))
        return f"{found[0].splitlines()[0]}\n\n{text}\n\n<!-- end -->"

    return _PLACE.sub(made, page)


def stale() -> list[Path]:
    """Pages in which something generated is not what the code says."""
    return [
        page
        for page in sorted(DOCS.rglob("*.md"))
        if filled(text := page.read_text(encoding="utf-8")) != text
    ]


def main() -> None:
    for page in stale():
        page.write_text(filled(page.read_text(encoding="utf-8")), encoding="utf-8")
        print(page.relative_to(DOCS.parent))


if __name__ == "__main__":
    sys.exit(main())
