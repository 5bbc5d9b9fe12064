"""The texts of a file, every row kept in its place, prepared as the rows that a cell was trained on."""

from __future__ import annotations

import csv
import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from jobs.data.columns import find_text_column
from jobs.data.readers import delimiter_of, file_lines
from jobs.data.shaping import CLEANERS
from jobs.data.texts import checked_text
from jobs.errors import DataError, UserError
from jobs.spec import DataSpec

DELIMITERS = {".csv": ",", ".tsv": "\t"}
_JSON_LINES = (".jsonl", ".ndjson")


def read_texts(path: Path, column: str | None, data: DataSpec) -> list[str]:
    """Read one text a row.

    Args:
        path: .csv and .tsv with a header line, .jsonl, .parquet, or .txt with one text a line.
        column: of the texts; None: the cell's own column, else the one that looks like texts.
        data: of the cell.
    Returns:
        the texts as they stand there, one a row.
    Raises:
        UserError: another suffix, no such column, or a row without a text.
        DataError: unreadable.
    """
    suffix = path.suffix.lower()
    if suffix == ".txt":
        if column is not None:
            raise UserError(f"--text-column {column}: {path} has no columns, every line is a text")
        return list(file_lines(path))
    if suffix in DELIMITERS:
        rows = _delimited(path, DELIMITERS[suffix])
    elif suffix in _JSON_LINES:
        rows = _json_lines(path)
    elif suffix == ".parquet":
        rows = _parquet(path)
    else:
        raise UserError(f"{path}: texts are read from .csv, .tsv, .jsonl, .parquet and .txt")
    names = list(dict.fromkeys(name for row in rows for name in row))
    chosen = column or (data.text_column if data.text_column in names else find_text_column(rows))
    if chosen not in names:
        has = ", ".join(map(repr, names[:20])) or "none"
        raise UserError(f"{path}: no column {chosen or data.text_column!r}; columns are {has}; say --text-column")
    return [_text(path, number, row.get(chosen), chosen) for number, row in enumerate(rows, start=1)]


def prepared(texts: Sequence[str], data: DataSpec) -> list[str | None]:
    """Clean and check texts as the cell's own rows were; None where nothing visible is left."""
    return [_prepared(text, data) for text in texts]


def _prepared(text: str, data: DataSpec) -> str | None:
    checked = checked_text(text, Counter())
    if checked is None:
        return None
    for name, cleaner in CLEANERS.items():
        checked = cleaner(checked) if name in data.clean else checked
    return checked if checked.strip() else None


def _text(path: Path, number: int, value: Any, column: str) -> str:
    if value is None:
        return ""
    if not isinstance(value, str):
        raise UserError(f"{path}: row {number}: {column!r} holds a {type(value).__name__}, not a text")
    return value


def _delimited(path: Path, delimiter: str) -> list[dict[str, Any]]:
    lines = file_lines(path)
    reader = csv.reader((line + "\n" for line in lines), delimiter=delimiter_of(lines, delimiter), strict=True)
    try:
        records = [record for record in reader if record]
    except csv.Error as error:
        raise DataError(f"{path}:{reader.line_num}: quotes or line ends are wrong ({error})") from error
    if not records:
        raise DataError(f"{path}:1: no header line; the file is empty")
    header = [name.strip() for name in records[0]]
    for number, record in enumerate(records[1:], start=1):
        if len(record) != len(header):
            raise DataError(f"{path}: row {number} has {len(record)} columns where {len(header)} are expected")
    return [dict(zip(header, record, strict=True)) for record in records[1:]]


def _json_lines(path: Path) -> list[dict[str, Any]]:
    rows = []
    for number, line in enumerate(file_lines(path), start=1):
        if not line.strip():
            continue
        try:
            item = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise DataError(f"{path}:{number}: not valid JSON ({error})") from error
        if not isinstance(item, dict):
            raise DataError(f"{path}:{number}: expected a JSON object")
        rows.append(item)
    return rows


def _parquet(path: Path) -> list[dict[str, Any]]:
    import pyarrow
    import pyarrow.parquet

    try:
        rows: list[dict[str, Any]] = pyarrow.parquet.read_table(path).to_pylist()
    except (OSError, pyarrow.ArrowException) as error:
        raise DataError(f"{path}: cannot be read as Parquet ({error})") from error
    return rows
