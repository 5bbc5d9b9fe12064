"""Which columns of a file hold the texts and the labels: a guess from names and values, for `finegrid init`."""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from jobs.data.readers import delimiter_of, file_lines
from jobs.errors import DataError

_SAMPLE_ROWS: Final = 2000
_TEXT_NAMES: Final = ("text", "sentence", "review", "comment", "content", "body", "message", "tweet", "utterance")
_LABEL_NAMES: Final = ("label", "labels", "class", "category", "target", "sentiment", "emotion", "emotions", "intent")
_ID_NAMES: Final = ("id", "index", "idx", "row_id", "uuid")
_DELIMITERS: Final = {"csv": ",", "tsv": "\t"}
_ONE_OR_ZERO: Final = {"0", "1", "0.0", "1.0", "true", "false"}
_SEVERAL: Final = re.compile("[,|]")

Rows = Sequence[Mapping[str, Any]]


@dataclass(frozen=True, kw_only=True)
class FoundColumns:
    """Where texts and labels stand."""

    text: str
    label: str | None
    """None: the labels are columns of 0 and 1."""
    one_hot: tuple[str, ...]
    several_labels: bool
    """A row may have more than one label."""


def find_columns(path: Path, format_name: str, *, text: str | None, label: str | None) -> FoundColumns:
    """Look at the first rows of a file with named columns.

    Args:
        path: of the file.
        format_name: csv | tsv | jsonl | parquet.
        text: the text column, where it is known already.
        label: the label column, where it is known already.
    Returns:
        the columns.
    Raises:
        DataError: unreadable, empty, or nothing there looks like a text or a label; names the columns there are.
    """
    rows = _sample(path, format_name)
    names = list(dict.fromkeys(name for row in rows for name in row))
    if not rows or not names:
        raise DataError(f"{path}: no rows")
    for option, name in (("--text-column", text), ("--label-column", label)):
        if name is not None and name not in names:
            raise DataError(f"{option} {name!r}: {path} has the columns {', '.join(map(repr, names[:20]))}")
    text = text or _text_column(rows, [name for name in names if name != label])
    if text is None:
        raise DataError(f"{path}: no column looks like texts ({', '.join(map(repr, names[:20]))}); say --text-column")
    others = [name for name in names if name != text and name.lower() not in _ID_NAMES]
    label = label or _by_name(others, _LABEL_NAMES)
    one_hot = () if label is not None else tuple(name for name in others if _is_one_hot(rows, name))
    if label is None and len(one_hot) < 2:
        one_hot, label = (), _label_column(rows, others)
    if label is None and not one_hot:
        raise DataError(f"{path}: no column looks like labels ({', '.join(map(repr, names[:20]))}); say --label-column")
    several = _has_several(rows, one_hot) if label is None else _is_several(rows, label)
    return FoundColumns(text=text, label=label, one_hot=one_hot, several_labels=several)


def find_text_column(rows: Rows) -> str | None:
    """The column that looks like texts, by name or by its words; None: none does."""
    return _text_column(rows, list(dict.fromkeys(name for row in rows for name in row)))


def _sample(path: Path, format_name: str) -> list[dict[str, Any]]:
    if format_name == "parquet":
        import pyarrow
        import pyarrow.parquet

        try:
            with pyarrow.parquet.ParquetFile(path) as file:
                batch = next(file.iter_batches(batch_size=_SAMPLE_ROWS), None)
        except (OSError, pyarrow.ArrowException) as error:
            raise DataError(f"{path}: cannot be read as Parquet ({error})") from error
        return [] if batch is None else list(batch.to_pylist())
    lines = file_lines(path)[:_SAMPLE_ROWS]
    if format_name == "jsonl":
        return [item for line in lines if line.strip() and isinstance(item := _json(line), dict)]
    delimiter = delimiter_of(lines, _DELIMITERS[format_name])
    reader = csv.DictReader((line + "\n" for line in lines), delimiter=delimiter)
    try:
        return [{str(name).strip(): cell for name, cell in row.items() if name is not None} for row in reader]
    except csv.Error as error:
        raise DataError(f"{path}: quotes or line ends are wrong ({error})") from error


def _json(line: str) -> Any:
    try:
        return json.loads(line)
    except (ValueError, RecursionError):
        return None  # the strict reader names this line


def _by_name(names: Sequence[str], known: Sequence[str]) -> str | None:
    by_lower = {name.lower(): name for name in reversed(names)}
    return next((by_lower[name] for name in known if name in by_lower), None)


def _text_column(rows: Rows, names: Sequence[str]) -> str | None:
    texts = {name: [row[name] for row in rows if isinstance(row.get(name), str)] for name in names}
    texts = {name: values for name, values in texts.items() if len(values) > len(rows) / 2}
    named = _by_name(list(texts), _TEXT_NAMES)
    if named is not None:
        return named
    words = {name: sum(len(value.split()) for value in values) / len(values) for name, values in texts.items()}
    longest = max(words, key=words.__getitem__, default=None)
    return longest if longest is not None and words[longest] > 1 else None


def _label_column(rows: Rows, names: Sequence[str]) -> str | None:
    """The column with the fewest different values, as long as they repeat."""
    distinct = {name: len({json.dumps(row.get(name), default=str) for row in rows}) for name in names}
    fitting = {name: count for name, count in distinct.items() if 2 <= count <= max(20, len(rows) / 5)}
    return min(fitting, key=fitting.__getitem__, default=None)


def _is_one_hot(rows: Rows, name: str) -> bool:
    return all(str(row.get(name)).strip().lower() in _ONE_OR_ZERO for row in rows)


def _has_several(rows: Rows, one_hot: Sequence[str]) -> bool:
    ones = (sum(str(row[name]).strip().lower() in ("1", "1.0", "true") for name in one_hot) for row in rows)
    return any(count != 1 for count in ones)


def _is_several(rows: Rows, label: str) -> bool:
    """Lists, or names joined by commas or bars whose parts stand alone elsewhere, too."""
    cells = [row.get(label) for row in rows]
    if any(isinstance(cell, list) for cell in cells):
        return any(isinstance(cell, list) and len(cell) != 1 for cell in cells)
    texts = {cell.strip() for cell in cells if isinstance(cell, str)}
    joined = [cell for cell in texts if _SEVERAL.search(cell)]
    alone = texts.difference(joined)
    parts = {part.strip() for cell in joined for part in _SEVERAL.split(cell)}
    return bool(joined) and (not alone or len(parts & alone) >= len(parts) / 2)
