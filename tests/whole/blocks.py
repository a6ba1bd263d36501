"""The code blocks of README.md and docs/: what they are, what commands are in them, and whether what was printed is what they show."""

import re
from pathlib import Path
from typing import NamedTuple

from markdown_it import MarkdownIt

ROOT = Path(__file__).resolve().parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
DIRECTIVES = {"{toctree}", "{literalinclude}"}


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


def sessions(block: Block) -> list[tuple[str, str]]:
    """Each command of a console block, and what is shown below it."""
    first, *parts = re.split(r"^\$ ", block.text, flags=re.MULTILINE)
    assert not first.strip(), f"{block.where}: a console block begins with a command"
    pairs = [re.match(r"((?:.*\\\n)*.*)\n?", part) for part in parts]
    return [(found[1].replace("\\\n", " "), part[found.end() :]) for found, part in zip(pairs, parts, strict=True)]


def command_lines(text: str) -> list[str]:
    joined = text.replace("\\\n", " ")
    return [line for line in joined.splitlines() if line.strip() and not line.lstrip().startswith("#")]
