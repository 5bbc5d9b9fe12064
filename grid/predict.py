"""What `finegrid predict` does: finds a finished cell and has a process of its own label new texts by it."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.text import Text

from grid.amounts import counted
from grid.escape import visible
from grid.finished_cells import finished_cells
from grid.work_process import ask
from jobs.errors import UserError
from jobs.predicting.messages import CALIBRATIONS, THRESHOLDS, Answer, Request
from jobs.storage import cache_root

MODULE = "jobs.predicting"
_SUFFIXES = (".csv", ".parquet")
_MOST_LABELS = 12


@dataclass(frozen=True, kw_only=True)
class Predictions:
    """What was written."""

    cell_id: str
    title: str
    answer: Answer

    def to_json(self) -> dict[str, Any]:
        """The report as plain JSON values."""
        plain = asdict(self.answer) | {"labels": dict(self.answer.labels)}
        return {"exit_code": 0, "cell_id": self.cell_id, "title": self.title} | plain

    def render(self, console: Console) -> None:
        """Print the report for people."""
        found = self.answer
        how = f"calibration {found.calibration}" + (f", thresholds {found.thresholds}" if found.thresholds else "")
        console.print(Text(f"{self.cell_id}  {visible(self.title)}: {how}"), soft_wrap=True)
        counts = ", ".join(f"{visible(name)} {rows:,}" for name, rows in found.labels[:_MOST_LABELS])
        console.print(Text(f"{counts}{', ...' if len(found.labels) > _MOST_LABELS else ''}"), soft_wrap=True)
        for number, what in (
            (found.num_blank, "without a text got no label"),
            (found.num_truncated, "cut to the length that the cell was trained with"),
        ):
            if number:
                console.print(Text(f"{counted(number, 'row')} {what}", "yellow"), soft_wrap=True)
        console.print(Text(f"{visible(found.file)}: {counted(found.num_rows, 'row')}"), soft_wrap=True)


def predict_texts(
    root: Path,
    query: str,
    file: Path,
    *,
    out: Path | None,
    text_column: str | None,
    calibration: str,
    thresholds: str,
    people: Console,
) -> Predictions:
    """Label the texts of a file by a finished cell.

    Args:
        root: a results folder.
        query: first characters of a cell id, or words of a title.
        file: .csv, .tsv, .jsonl, .parquet or .txt.
        out: .csv or .parquet; None: `<file>-predicted.csv` beside it.
        text_column: of the texts; None: the cell's own, else the one that looks like texts.
        calibration: one of CALIBRATIONS.
        thresholds: one of THRESHOLDS.
        people: where progress goes.
    Raises:
        UserError: no such cell, one without weights, texts that cannot be read, an option without such a value.
        EnvironmentProblem: something is missing on this machine.
    Side effects:
        starts a process; replaces `out`.
    """
    for option, value, legal in (
        ("--calibration", calibration, CALIBRATIONS),
        ("--thresholds", thresholds, THRESHOLDS),
    ):
        if value not in legal:
            raise UserError(f"{option} {value}: one of {', '.join(legal)} is expected")
    out = out or file.with_name(f"{file.stem}-predicted.csv")
    if out.suffix not in _SUFFIXES:
        raise UserError(f"--out {out}: predictions are written as {' or '.join(_SUFFIXES)}")
    if not out.absolute().parent.is_dir():
        raise UserError(f"--out {out}: there is no folder {out.absolute().parent}")
    if out.absolute() == file.absolute():
        raise UserError(f"--out {out}: is the file of the texts")
    (cell,) = finished_cells(root, [query])
    request = Request(
        cell=cell,
        file=str(file.absolute()),
        text_column=text_column,
        calibration=calibration,
        thresholds=thresholds,
        out=str(out.absolute()),
        cache=str(cache_root()),
    )
    answer = ask(MODULE, request, Answer, lambda line: people.print(Text(visible(line)), soft_wrap=True))
    return Predictions(cell_id=cell.cell_id, title=cell.title, answer=answer)
