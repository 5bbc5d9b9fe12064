"""The story of a prediction: a finished cell, texts, logits, probabilities, labels, a table.

Shapes: n texts, C labels.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq

from jobs.data.tokens import tokenise
from jobs.durable import disk_problem
from jobs.errors import UserError
from jobs.evaluation.decisions import Decisions
from jobs.evaluation.files import read_decisions
from jobs.finished_cells import FinishedCell, Shelf, finished_cell
from jobs.predicting.messages import AUTO, Answer, Request
from jobs.predicting.texts import prepared, read_texts
from jobs.spreadsheets import inert

DECISIONS_FILE = "decisions.json"
_CHUNK_TEXTS = 512

Say = Callable[[str], None]


def answer(request: Request, say: Say = lambda _: None) -> Answer:
    """Predict the texts of a file and write a table of them.

    Args:
        request: what was asked.
        say: takes lines of progress.
    Returns:
        what was written.
    Raises:
        UserError: a cell without weights, texts that cannot be read, a calibration that was not fitted.
        EnvironmentProblem: the base is not on this machine, or the disk refused.
    """
    cell = finished_cell(request.cell)
    raw = read_texts(Path(request.file), request.text_column, cell.result.cell.data)
    texts = prepared(raw, cell.result.cell.data)
    rows = [row for row, text in enumerate(texts) if text is not None]
    if not rows:
        raise UserError(f"{request.file}: no text in any of {len(raw)} rows")
    decisions = read_decisions(Path(request.cell.folder) / DECISIONS_FILE)
    logits_nC, num_truncated = _logits(cell, [text for text in texts if text is not None], Path(request.cache), say)
    calibration, thresholds = _chosen(request, decisions)
    probabilities_nC = _asked(lambda: decisions.probabilities(logits_nC, method=calibration))
    says_nC = _asked(lambda: decisions.decide(logits_nC, thresholds=thresholds))
    said = [[name for name, is_said in zip(decisions.label_names, row, strict=True) if is_said] for row in says_nC]
    _write(Path(request.out), raw, rows, said, probabilities_nC, decisions.label_names)
    return Answer(
        file=request.out,
        num_rows=len(raw),
        num_blank=len(raw) - len(rows),
        num_truncated=num_truncated,
        labels=tuple(Counter(name for names in said for name in names).most_common()),
        calibration=calibration or "none",
        thresholds=thresholds if decisions.task == "multi_label" else "",
    )


def _logits(cell: FinishedCell, texts: Sequence[str], cache: Path, say: Say) -> tuple[np.ndarray, int]:
    shelf, recipe = Shelf(cache), cell.result.cell.recipe
    tokens = tokenise(
        shelf.tokenizer_of(cell),
        str(cell.model.revision),
        texts,
        max_length=recipe.max_length,
        cache=None,
        side=recipe.truncation,
    )
    # Texts of like length share a pass: little of it is padding.
    order = np.argsort([len(ids) for ids in tokens.ids], kind="stable")
    logits_nC = np.empty((len(texts), len(cell.result.label_names)), dtype=np.float64)
    with shelf.predictor_of(cell) as predict:
        for first in range(0, len(order), _CHUNK_TEXTS):
            chunk = order[first : first + _CHUNK_TEXTS]
            logits_nC[chunk] = predict([tokens.ids[row].tolist() for row in chunk])
            say(f"{min(first + _CHUNK_TEXTS, len(order)):,} of {len(order):,} texts")
    return logits_nC, tokens.num_truncated


def _chosen(request: Request, decisions: Decisions) -> tuple[str | None, str]:
    fitted = [calibrator.method for calibrator in decisions.calibrators]
    calibration = request.calibration
    if calibration == AUTO:
        calibration = "temperature" if "temperature" in fitted else "none"
    thresholds = request.thresholds
    if thresholds == AUTO:
        thresholds = "default" if decisions.thresholds is None else "label"
    return None if calibration == "none" else calibration, thresholds


def _asked(work: Callable[[], np.ndarray]) -> np.ndarray:
    try:
        return work()
    except ValueError as error:  # what was asked for was not fitted; the message says what was
        raise UserError(str(error)) from error


def _write(
    out: Path,
    texts: Sequence[str],
    rows: Sequence[int],
    said: Sequence[Sequence[str]],
    probabilities_nC: np.ndarray,
    names: Sequence[str],
) -> None:
    """One row a row of the file: number, text, labels joined by bars, and the probability of every label.

    In CSV, texts and labels that a spreadsheet would compute begin with an apostrophe.
    """
    is_csv = out.suffix == ".csv"
    written = inert if is_csv else str
    labels: list[str | None] = [None] * len(texts)
    values: list[list[float | None]] = [[None] * len(texts) for _ in names]
    for place, row in enumerate(rows):
        labels[row] = written("|".join(said[place]))
        for label in range(len(names)):
            values[label][row] = float(probabilities_nC[place, label])
    columns = {"row": pa.array(range(1, len(texts) + 1)), "text": pa.array(map(written, texts), pa.string())}
    columns["predicted"] = pa.array(labels, pa.string())
    columns |= {f"p: {name}": pa.array(column, pa.float64()) for name, column in zip(names, values, strict=True)}
    temporary = out.with_name(f".{out.name}.tmp")
    try:
        if not is_csv:
            pq.write_table(pa.table(columns), temporary, compression="zstd")
        else:
            pyarrow.csv.write_csv(pa.table(columns), temporary)
        temporary.replace(out)
    except OSError as error:
        raise disk_problem(out, error) from error
    finally:
        temporary.unlink(missing_ok=True)
