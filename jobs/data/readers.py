"""Strict readers of CSV, TSV, GoEmotions TSV, JSONL and Parquet files: one RawRow for each row, faults by line.

Nothing is guessed: a text `NA` stays a text, lines end at a line feed only, and what does not fit is a bad row.
"""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from difflib import get_close_matches
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from jobs.data.bad_rows import NOT_UTF8, BadRows
from jobs.data.raw import RawRow
from jobs.errors import DataError

BAD_BYTES = re.compile("[\udc80-\udcff]")
_MAX_FIELD_CHARACTERS = 1 << 27
_QUOTED = re.compile('"[^"]*"')
_OTHER_DELIMITERS = (";", "\t", "|")
FALLBACK_COLUMNS = {"label": "labels"}
"""The default label column is called `labels` in multi-label data sets such as go_emotions."""
ID_COLUMN = "id"


@dataclass(frozen=True, kw_only=True)
class Columns:
    """Which columns hold what."""

    text: str
    label: str
    several_labels: bool
    """A label cell of a CSV or TSV file may hold several labels, separated by commas or bars."""
    one_hot: tuple[str, ...] = ()
    """Columns of 0 and 1, one a label, in place of the label column."""

    def wanted(self) -> tuple[str, ...]:
        """Names of all columns that hold text or labels."""
        return (self.text, *(self.one_hot or (self.label,)))

    def labels_in(self, cells: Sequence[object]) -> object:
        """What the label cells of a row say.

        Args:
            cells: of the columns of `wanted` but the first, in their order.
        Returns:
            a name, an id or a list of them; an empty tuple where every one-hot column is 0.
        Raises:
            ValueError: a one-hot cell is neither 0 nor 1.
        """
        if not self.one_hot:
            (label,) = cells
            if self.several_labels and isinstance(label, str):
                return [part for part in re.split("[,|]", label) if part.strip()]
            return label
        carried = tuple(name for name, cell in zip(self.one_hot, cells, strict=True) if _is_one(name, cell))
        return list(carried) if carried else ()


def _is_one(name: str, cell: object) -> bool:
    value = {"0": 0, "1": 1, "0.0": 0, "1.0": 1, "false": 0, "true": 1}.get(str(cell).strip().lower())
    if value is None:
        raise ValueError(f"column {name!r} must hold 0 or 1, not {str(cell)[:40]!r}")
    return bool(value)


class _Record(NamedTuple):
    start: int
    stop: int
    cells: list[str]


def read_delimited(
    path: Path, split: int | None, columns: Columns, bad: BadRows, *, delimiter: str
) -> Iterator[RawRow]:
    """Read a CSV or TSV file with a header line and CSV quoting."""
    lines = file_lines(path)
    delimiter = delimiter_of(lines, delimiter)
    records = list(_records(path, lines, delimiter, bad))
    if not records:
        raise DataError(f"{path}:1: no header line; the file is empty")
    header = [cell.strip() for cell in records[0].cells]
    text_at, *labels_at = (_column(path, header, name) for name in columns.wanted())
    id_at = header.index(ID_COLUMN) if ID_COLUMN in header else None
    rows = _well_formed(path, records[1:], len(header), bad)
    for record in _without_merged(path, rows, lines, delimiter, (text_at, labels_at[0]), bad):
        try:
            labels = columns.labels_in([record.cells[place] for place in labels_at])
        except ValueError as error:
            bad.add(str(path), record.start, str(error))
            continue
        row_id = None if id_at is None else record.cells[id_at]
        yield RawRow(record.cells[text_at], labels, row_id, str(path), record.start, split)


def read_goemotions(path: Path, split: int | None, columns: Columns, bad: BadRows) -> Iterator[RawRow]:
    """Read `text<TAB>ids,comma<TAB>comment_id` lines without header, with CSV quoting."""
    lines = file_lines(path)
    rows = _well_formed(path, _records(path, lines, "\t", bad), 3, bad)
    for record in _without_merged(path, rows, lines, "\t", (0, 1), bad):
        text, ids, row_id = record.cells
        if not re.fullmatch("[0-9]{1,9}(,[0-9]{1,9})*", ids):
            bad.add(str(path), record.start, "the second column must hold label ids, separated by commas")
            continue
        yield RawRow(text, [int(label) for label in ids.split(",")], row_id, str(path), record.start, split)


def read_jsonl(path: Path, split: int | None, columns: Columns, bad: BadRows) -> Iterator[RawRow]:
    """Read one JSON object a line."""
    for number, line in enumerate(file_lines(path), start=1):
        if not line.strip():
            continue
        if BAD_BYTES.search(line):
            bad.add(str(path), number, NOT_UTF8)
            continue
        try:
            item = json.loads(line)
        except (ValueError, RecursionError) as error:
            bad.add(str(path), number, f"not valid JSON ({error})")
            continue
        if not isinstance(item, dict):
            bad.add(str(path), number, f"expected a JSON object, found a {type(item).__name__}")
            continue
        keys = [key if key in item else FALLBACK_COLUMNS.get(key, key) for key in columns.wanted()]
        missing = [name for name, key in zip(columns.wanted(), keys, strict=True) if key not in item]
        if missing:
            has = ", ".join(sorted(item)[:10])
            bad.add(str(path), number, f"no key {missing[0]!r}; keys are {has}")
            continue
        try:
            labels = columns.labels_in([item[key] for key in keys[1:]])
        except ValueError as error:
            bad.add(str(path), number, str(error))
            continue
        yield RawRow(item[columns.text], labels, item.get(ID_COLUMN), str(path), number, split)


def read_parquet(path: Path, split: int | None, columns: Columns, bad: BadRows) -> Iterator[RawRow]:
    """Read a Parquet file; row numbers take the place of line numbers."""
    import pyarrow
    import pyarrow.parquet

    try:
        with pyarrow.parquet.ParquetFile(path) as file:
            header = file.schema_arrow.names
            text, *labels = (header[_column(path, header, name)] for name in columns.wanted())
            wanted = [text, *labels, *([ID_COLUMN] if ID_COLUMN in header else [])]
            table = file.read(columns=wanted, use_threads=False)
    except (OSError, pyarrow.ArrowException) as error:
        raise DataError(f"{path}: cannot be read as Parquet ({error})") from error
    cells = {name: _python_values(path, table.column(name)) for name in wanted}
    row_ids = cells.get(ID_COLUMN, [None] * table.num_rows)
    label_cells = zip(*(cells[name] for name in labels), strict=True)
    for number, (row_text, row_labels, row_id) in enumerate(zip(cells[text], label_cells, row_ids, strict=True), 1):
        try:
            yield RawRow(row_text, columns.labels_in(row_labels), row_id, str(path), number, split)
        except ValueError as error:
            bad.add(str(path), number, str(error))


def parquet_label_names(path: Path, columns: Columns) -> list[str] | None:
    """Label names that the `datasets` library left in a Parquet file's schema; None without them."""
    import pyarrow
    import pyarrow.parquet

    try:
        schema = pyarrow.parquet.read_schema(path)
        features = json.loads((schema.metadata or {}).get(b"huggingface", b"{}"))["info"]["features"]
        feature = features.get(columns.label) or features[FALLBACK_COLUMNS[columns.label]]
        names = (feature.get("feature") or feature)["names"]
    except (OSError, pyarrow.ArrowException) as error:
        raise DataError(f"{path}: cannot be read as Parquet ({error})") from error
    except (KeyError, TypeError, ValueError, AttributeError):
        return None
    return [str(name) for name in names]


def read_label_names(path: Path) -> list[str]:
    """Read labels.txt: one name a line, the line number from 0 is the id."""
    names = [line.strip() for line in file_lines(path)]
    while names and not names[-1]:
        names.pop()
    for number, name in enumerate(names, start=1):
        if not name or BAD_BYTES.search(name):
            raise DataError(f"{path}:{number}: a label name is empty or not valid UTF-8")
        if names.index(name) != number - 1:
            raise DataError(f"{path}:{number}: label {name!r} stands twice")
    return names


def looks_like_goemotions(path: Path) -> bool:
    """True when the first line has three cells, of which the second holds label ids."""
    try:
        with path.open("rb") as file:
            first = file.readline(1 << 20).removeprefix(b"\xef\xbb\xbf").decode("utf-8", errors="replace")
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror or error})") from error
    cells = first.rstrip("\r\n").split("\t")
    return len(cells) == 3 and re.fullmatch("[0-9]+(,[0-9]+)*", cells[1]) is not None


def _column(path: Path, header: Sequence[str], name: str) -> int:
    if len(set(header)) != len(header):
        raise DataError(f"{path}:1: a column name stands twice: {', '.join(header)}")
    for candidate in (name, FALLBACK_COLUMNS.get(name, name)):
        if candidate in header:
            return list(header).index(candidate)
    near = get_close_matches(name, header, n=1)
    hint = f"did you mean {near[0]!r}? " if near else ""
    columns = ", ".join(repr(cell[:40]) for cell in header[:20])
    raise DataError(
        f"{path}:1: no column {name!r}; {hint}columns are {columns}; set dataset.text_column, dataset.label_column"
        " (or label_columns, of 0 and 1, one a label)"
        + ("" if path.suffix.lower() == ".parquet" else ", or, without a header line, dataset.format (tab, goemotions)")
    )


def file_lines(path: Path) -> list[str]:
    """Lines without their line feed; bytes that are not UTF-8 become surrogates, to be found row by row."""
    try:
        data = path.read_bytes()
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror or error})") from error
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise DataError(f"{path}: is UTF-16; save it as UTF-8")
    # splitlines() would also split at U+2028, form feeds and others that stand inside texts.
    lines = data.removeprefix(b"\xef\xbb\xbf").decode("utf-8", errors="surrogateescape").split("\n")
    return lines[:-1] if lines[-1] == "" else lines


def delimiter_of(lines: Sequence[str], declared: str) -> str:
    """What separates the cells: spreadsheets of many countries write .csv with semicolons.

    Args:
        lines: of the file; the first names the columns.
        declared: what the format says; another one counts only where the first line has none of these.
    """
    header = _QUOTED.sub("", lines[0]) if lines else ""
    if declared in header:
        return declared
    return next((other for other in _OTHER_DELIMITERS if other in header), declared)


def _records(path: Path, lines: Sequence[str], delimiter: str, bad: BadRows) -> Iterator[_Record]:
    reader = csv.reader((line + "\n" for line in lines), delimiter=delimiter, strict=True)
    while True:
        start = reader.line_num + 1
        try:
            with _long_fields():
                cells = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            why = f"quotes or line ends are wrong ({error}); a quote inside a quoted text must be doubled"
            bad.add(str(path), start, why, num_rows=max(1, reader.line_num - start + 1))
            continue
        if cells:
            yield _Record(start, reader.line_num, cells)


@contextmanager
def _long_fields() -> Iterator[None]:
    # The limit of the csv module is global: raised only while a record is read.
    before = csv.field_size_limit(_MAX_FIELD_CHARACTERS)
    try:
        yield
    finally:
        csv.field_size_limit(before)


def _well_formed(path: Path, records: Iterator[_Record] | Sequence[_Record], width: int, bad: BadRows) -> list[_Record]:
    kept = []
    for record in records:
        if len(record.cells) != width:
            why = f"{len(record.cells)} columns where {width} are expected; quote texts that hold the delimiter"
            bad.add(str(path), record.start, why, num_rows=record.stop - record.start + 1)
        elif any(BAD_BYTES.search(cell) for cell in record.cells):
            bad.add(str(path), record.start, NOT_UTF8)
        else:
            kept.append(record)
    return kept


def _without_merged(
    path: Path, records: Sequence[_Record], lines: Sequence[str], delimiter: str, at: tuple[int, int], bad: BadRows
) -> Iterator[_Record]:
    """Refuse a quoted text whose lines are rows themselves: a stray quote has swallowed them.

    Args:
        path: for messages.
        records: rows of the right width.
        lines: the file.
        delimiter: between cells.
        at: positions of the text and of the label.
        bad: collects the refused ones.
    """
    text_at, label_at = at
    labels = {record.cells[label_at] for record in records if record.start == record.stop}
    for record in records:
        # An honest text of several lines has its label on the last line, or on the first when that column leads.
        skip_first, skip_last = int(label_at < text_at), int(label_at > text_at)
        inner = lines[record.start - 1 + skip_first : record.stop - skip_last]
        if record.stop > record.start and any(_is_row(line, delimiter, record, label_at, labels) for line in inner):
            why = f"a quote opened here swallows the rows up to line {record.stop}; double quotes that belong to texts"
            bad.add(str(path), record.start, why, num_rows=record.stop - record.start + 1)
        else:
            yield record


def _is_row(line: str, delimiter: str, record: _Record, label_at: int, labels: set[str]) -> bool:
    cells = line.rstrip("\r").split(delimiter)
    return len(cells) == len(record.cells) and cells[label_at].strip('"') in labels


def _python_values(path: Path, column: Any) -> list[object]:
    try:
        values: list[object] = column.to_pylist()
    except UnicodeDecodeError as error:
        raise DataError(f"{path}: a column holds bytes that are not valid UTF-8 ({error.reason})") from error
    return values


Reader = Callable[[Path, int | None, Columns, BadRows], Iterator[RawRow]]
"""Path, split, columns and where faults go; gives rows in order."""

READERS: dict[str, Reader] = {
    "csv": partial(read_delimited, delimiter=","),
    "tsv": partial(read_delimited, delimiter="\t"),
    "jsonl": read_jsonl,
    "parquet": read_parquet,
    "goemotions": read_goemotions,
}
"""By the name of the format."""
