"""The pages as the tests see them: their code blocks, links, headings and inline code."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

ROOT = Path(__file__).parents[2]
PAGES = sorted(
    [ROOT / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md", "SECURITY.md")]
    + list((ROOT / "docs").glob("*.md"))
)

PROTOCOL = ROOT / "docs" / "protocol.md"
REFERENCE = ROOT / "docs" / "reference.md"
HOW_TO = ROOT / "docs" / "how-to.md"
RECIPES = ROOT / "docs" / "recipes.md"
ARCHITECTURE = ROOT / "docs" / "architecture.md"

_FENCE = re.compile(r"^( *)```([^\n]*)\n(.*?)^\1```$", re.MULTILINE | re.DOTALL)
_LINK = re.compile(r"(?<!!)\[[^\]]*\]\(([^)\s]+)\)")
_HEADING = re.compile(r"^#+ (.+)$", re.MULTILINE)
_INLINE = re.compile(r"`([^`\n]+)`")


class Block(NamedTuple):
    """A fenced block: the page and line it begins at, its info string, its text."""

    page: Path
    line: int
    info: str
    text: str

    @property
    def where(self) -> str:
        return f"{self.page.relative_to(ROOT)}:{self.line}"


def blocks(page: Path) -> list[Block]:
    text = page.read_text(encoding="utf-8")
    return [
        Block(page, text.count("\n", 0, each.start()) + 1, each[2].strip(), each[3])
        for each in _FENCE.finditer(text)
    ]


def programs_by_heading(page: Path) -> dict[str, str]:
    """The first Python program under each heading of the second level that has one."""
    programs: dict[str, str] = {}
    for section in page.read_text(encoding="utf-8").split("\n## ")[1:]:
        heading = section.splitlines()[0]
        found = [each[3] for each in _FENCE.finditer(section) if each[2].strip() == "python"]
        if found:
            programs[heading] = found[0]
    return programs


def every_block(*infos: str) -> list[Block]:
    return [block for page in PAGES for block in blocks(page) if block.info in infos]


def prose(page: Path) -> str:
    """The page without its code blocks."""
    return _FENCE.sub("", page.read_text(encoding="utf-8"))


def links(page: Path) -> list[str]:
    return _LINK.findall(prose(page))


def inline_code(page: Path) -> list[str]:
    return _INLINE.findall(prose(page))


def anchors(page: Path) -> set[str]:
    """The anchors that GitHub makes of the headings."""
    found = set()
    for heading in _HEADING.findall(prose(page)):
        words = re.sub(r"[^\w\- ]", "", heading.strip().lower())
        found.add(words.replace(" ", "-"))
    return found


def json_values(text: str) -> Iterator[Any]:
    """The JSON values that follow one another in `text`, each with any line breaks."""
    for start, end in _spans(text):
        yield json.loads(text[start:end])


def json_texts(text: str) -> list[bytes]:
    """The same values as they are written, encoded."""
    return [text[start:end].encode() for start, end in _spans(text)]


def _spans(text: str) -> Iterator[tuple[int, int]]:
    decoder = json.JSONDecoder()
    at = 0
    while at < len(text):
        if text[at].isspace():
            at += 1
            continue
        _, end = decoder.raw_decode(text, at)
        yield at, end
        at = end


def commands(block: Block) -> list[str]:
    """The command lines of a `sh` or `console` block, continued lines joined."""
    lines = block.text.replace("\\\n", " ").splitlines()
    if block.info == "console":
        return [line.strip()[2:] for line in lines if line.strip().startswith("$ ")]
    return [line.strip() for line in lines]


def table_rows(page: Path, heading: str) -> list[list[str]]:
    """The cells of the first table under a heading, its head and ruler left out."""
    text = page.read_text(encoding="utf-8")
    section = text.split(f"\n{heading}\n", 1)[1]
    rows: list[list[str]] = []
    for line in section.splitlines():
        if line.startswith("|"):
            rows.append([cell.strip() for cell in line.strip("|").split("|")])
        elif rows:
            break
    return rows[2:]


def codes(cell: str) -> list[str]:
    return re.findall(r"`([^`]+)`", cell)


def page_id(page: object) -> str:
    return str(page.relative_to(ROOT)) if isinstance(page, Path) else str(page)


def block_id(block: object) -> str:
    return block.where if isinstance(block, Block) else str(block)
