"""What `finegrid explain` does: finds finished cells and has a process of its own explain texts by them.

The work is that of `jobs.explaining`, which imports torch; nothing here does.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.text import Text

from grid.escape import visible
from grid.finished_cells import finished_cells
from grid.work_process import ask
from jobs.errors import UserError
from jobs.explaining.messages import METHODS, Answer, Request
from jobs.storage import cache_root

MODULE = "jobs.explaining"
FOLDER = "explanations"
"""Beside the cells of a results folder, which stay as they are."""


@dataclass(frozen=True, kw_only=True)
class Question:
    """What was asked on the command line."""

    cells: tuple[str, ...]
    """First characters of cell ids, or words of titles."""
    method: str
    texts: Path | None
    rows: int
    labels: tuple[str, ...]
    steps: int
    top_k: int
    out: Path | None
    """None: `explanations` in the results folder."""


@dataclass(frozen=True, kw_only=True)
class Explanations:
    """What was written."""

    answer: Answer
    titles: dict[str, str]
    """Cell id -> title."""

    def to_json(self) -> dict[str, Any]:
        """The report as plain JSON values."""
        return {"exit_code": 0} | asdict(self.answer)

    def render(self, console: Console) -> None:
        """Print the report for people."""
        found = self.answer
        for pair in found.pairs:
            first, second = (visible(self.titles[cell_id]) for cell_id in (pair.first, pair.second))
            ranks, overlap = _number(pair.rank_correlation), _number(pair.top_k_overlap)
            line = f"{first} | {second}: rank correlation {ranks}, overlap of the largest {overlap}"
            console.print(Text(f"{line} ({pair.num_compared} compared)"), soft_wrap=True)
        if found.largest_gap is not None:
            console.print(Text(f"largest gap between a sum of values and its logit: {found.largest_gap:.2g}"))
        line = f"{visible(found.folder)}: {found.num_explained} explanations of {found.num_texts} texts"
        console.print(Text(line), soft_wrap=True)


def explain_cells(root: Path, question: Question, people: Console) -> Explanations:
    """Explain texts by finished cells.

    Args:
        root: a results folder.
        question: which cells and texts, and how.
        people: where progress goes.
    Raises:
        UserError: no such store or cell, a cell that is not done or kept no weights, an unknown method or label.
        EnvironmentProblem: something is missing on this machine.
    Side effects:
        starts a process; writes one folder under `explanations`.
    """
    if question.method not in METHODS:
        raise UserError(f"--method {question.method}: one of {', '.join(METHODS)} is expected")
    for name, value in (("--rows", question.rows), ("--steps", question.steps), ("--top-k", question.top_k)):
        if value < 1:
            raise UserError(f"{name} {value}: at least 1 is expected")
    if not question.cells:
        raise UserError("--cells names no cell; `finegrid export` lists them")
    cells = finished_cells(root, question.cells)
    if len({cell.cell_id for cell in cells}) < len(cells):
        raise UserError("--cells names a cell twice")
    request = Request(
        cells=cells,
        method=question.method,
        texts_file=None if question.texts is None else str(question.texts.absolute()),
        rows=question.rows,
        labels=question.labels,
        steps=question.steps,
        top_k=question.top_k,
        out=str((question.out or root / FOLDER).absolute()),
        cache=str(cache_root()),
    )
    answer = ask(MODULE, request, Answer, lambda line: people.print(Text(visible(line)), soft_wrap=True))
    return Explanations(answer=answer, titles={cell.cell_id: cell.title for cell in cells})


def _number(value: float | None) -> str:
    return "undefined" if value is None else f"{value:.2f}"
