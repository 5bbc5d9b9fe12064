"""docs/published.md, read: the small run of each section, and what makes each published table and figure."""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass
from pathlib import Path

PAGE = Path(__file__).parents[2] / "docs" / "published.md"
RESULTS = "RESULTS"


@dataclass(frozen=True, kw_only=True)
class Made:
    """One row of a table."""

    published: str
    command: tuple[str, ...]
    file: str
    """Inside the results folder; a star stands for anything."""


@dataclass(frozen=True, kw_only=True)
class Run:
    """A small run of a shipped config."""

    words: tuple[str, ...]

    @property
    def config(self) -> str:
        """The shipped config that is run."""
        return self.words[3]

    @property
    def overrides(self) -> list[str]:
        """The value of each --set."""
        return [self.words[place + 1] for place, word in enumerate(self.words) if word == "--set"]


@dataclass(frozen=True, kw_only=True)
class Section:
    """One heading with a run and a table."""

    title: str
    run: Run
    made: tuple[Made, ...]


def runs() -> list[Run]:
    """All runs of the page."""
    return _runs(PAGE.read_text("utf-8"))


def sections() -> dict[str, Section]:
    """All sections with a table, by title."""
    parts = re.split(r"^##+ (.+)$", PAGE.read_text("utf-8"), flags=re.MULTILINE)[1:]
    found = [_section(title, text) for title, text in zip(parts[::2], parts[1::2], strict=True) if "|-|" in text]
    return {section.title: section for section in found}


def _runs(text: str) -> list[Run]:
    blocks = re.findall(r"^```sh\n(.+?)^```", text, flags=re.MULTILINE | re.DOTALL)
    return [Run(words=tuple(shlex.split(block.replace("\\\n", " ")))) for block in blocks]


def _section(title: str, text: str) -> Section:
    (run,) = _runs(text)
    rows = [line.strip("| ").split(" | ") for line in text.splitlines() if line.startswith("| ")]
    return Section(
        title=title,
        run=run,
        made=tuple(
            Made(published=published, command=tuple(shlex.split(command.strip("`"))), file=file.strip("`"))
            for published, command, file in rows[1:]
        ),
    )
