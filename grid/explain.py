"""What `finegrid explain` does: finds finished cells and has a process of its own explain texts by them.

The work is that of `jobs.explaining`, which imports torch; nothing here does.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path, PurePosixPath
from typing import IO, Any

import sqlalchemy as sa
from rich.console import Console
from rich.text import Text

from grid.cell_logs import find_cell
from grid.escape import visible
from grid.resolve import hash_model_folder
from grid.store import schema
from grid.store.problems import explained
from grid.store.reading import read_states
from grid.store.rows import CellRow
from jobs.errors import BugError, EnvironmentProblem, FineGridError, TransientProblem, UserError, one_line
from jobs.explaining.messages import METHODS, Answer, ExplainedCell, Progress, Request
from jobs.redaction import redact
from jobs.spec import CellState, FailureKind, dumps, from_json
from jobs.storage import Layout, cache_root, read_result

COMMAND = (sys.executable, "-m", "jobs.explaining")
FOLDER = "explanations"
"""Beside the cells of a results folder, which stay as they are."""
_ERRORS: dict[FailureKind, type[FineGridError]] = {
    FailureKind.USER: UserError,
    FailureKind.ENVIRONMENT: EnvironmentProblem,
    FailureKind.OUT_OF_MEMORY: EnvironmentProblem,
    FailureKind.TRANSIENT: TransientProblem,
}


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
        return {"exit_code": 0} | {k: v for k, v in asdict(self.answer).items() if k not in ("kind", "error")}

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
    cells = _finished_cells(root, question.cells)
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
    answer = _ask(request, lambda line: people.print(Text(visible(line)), soft_wrap=True))
    if answer.error is not None:
        raise _ERRORS.get(answer.kind or FailureKind.BUG, BugError)(answer.error)
    return Explanations(answer=answer, titles={cell.cell_id: cell.title for cell in cells})


def _finished_cells(root: Path, queries: Sequence[str]) -> tuple[ExplainedCell, ...]:
    layout = Layout(root)
    engine = schema.open_read_only(root)
    try:
        with explained(layout.index), engine.connect() as connection, connection.begin():
            rows = list(read_states(connection).values())
            chosen = [find_cell(rows, query) for query in queries]
            results = schema.results
            folders = dict(connection.execute(sa.select(results.c.cell_id, results.c.folder)).tuples().all())
    finally:
        engine.dispose()
    if not chosen:
        raise UserError("--cells names no cell; `finegrid export` lists them")
    if len({cell.cell_id for cell in chosen}) < len(chosen):
        raise UserError("--cells names a cell twice")
    return tuple(_finished_cell(layout, cell, folders) for cell in chosen)


def _finished_cell(layout: Layout, cell: CellRow, folders: dict[str, str]) -> ExplainedCell:
    if cell.state is not CellState.DONE:
        raise UserError(
            f"cell {cell.cell_id} ({cell.title}) is {cell.state}, not done: there is nothing to explain yet"
        )
    folder = layout.cell(cell.cell_id) / PurePosixPath(folders[cell.cell_id]).name
    model = read_result(folder).cell.model
    if model is not None and model.source == "folder" and Path(model.location).is_dir():
        if hash_model_folder(Path(model.location)) != model.revision:
            raise UserError(f"cell {cell.cell_id}: {model.location} is no longer the model that it was trained on")
    return ExplainedCell(cell_id=cell.cell_id, title=cell.title, folder=str(folder.absolute()))


def _ask(request: Request, on_progress: Callable[[str], object]) -> Answer:
    with tempfile.TemporaryFile() as errors:
        process = subprocess.Popen(  # noqa: S603 - fixed arguments, no shell
            list(COMMAND),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
            encoding="utf-8",
            errors="surrogatepass",
        )
        try:
            answer = _listen(process, request, on_progress)
        finally:
            process.kill()  # after an interruption; else it has ended
            process.wait()
        if answer is None or answer.kind is FailureKind.BUG:
            raise BugError(f"the explaining process ended with code {process.returncode}: {_last_words(errors)}")
    return answer


def _listen(process: subprocess.Popen[str], request: Request, on_progress: Callable[[str], object]) -> Answer | None:
    if process.stdin is None or process.stdout is None:
        raise BugError("the explaining process has no pipes")
    with process.stdin as stdin:
        stdin.write(dumps(request))
    answer = None
    with process.stdout as lines:
        for line in lines:
            said = json.loads(line)
            if "progress" in said:
                on_progress(from_json(Progress, said).progress)
            else:
                answer = from_json(Answer, said)
    process.wait()
    return answer


def _last_words(errors: IO[bytes]) -> str:
    errors.seek(0)
    lines = errors.read().decode("utf-8", errors="replace").strip().splitlines()
    return one_line(redact(lines[-1])) if lines else "it said nothing"


def _number(value: float | None) -> str:
    return "undefined" if value is None else f"{value:.2f}"
