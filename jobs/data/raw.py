"""Rows as a source gives them, and how they become a corpus."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import NamedTuple

import numpy as np

from jobs.data.bad_rows import BadRows
from jobs.data.rows import SPLIT_NAMES, Corpus
from jobs.data.texts import checked_text
from jobs.errors import DataError

MAX_LABELS = 1000
"""Far above any classification task here, far below a column of ids or texts taken for labels."""

_SURROGATE = re.compile("[\ud800-\udfff]")


class RawRow(NamedTuple):
    """One row before any check; the values may be of any type."""

    text: object
    labels: object
    """A name (str), an id (int), a list of them, or an empty tuple: the row says that it has none."""
    row_id: object
    """None: the source has no ids."""
    file: str
    line: int
    """From 1; the row number where there are no lines."""
    split: int | None
    """TRAIN, VALIDATION, TEST; None: the data set has no splits."""


class _BadRow(Exception):
    """This row cannot be used; the message says why."""


@dataclass(frozen=True, kw_only=True)
class _Row:
    text: str
    labels: tuple[str | int, ...]
    row_id: str
    split: int | None


def assemble(name: str, rows: Iterable[RawRow], label_names: Sequence[str] | None, bad: BadRows) -> Corpus:
    """Check rows and turn them into a corpus.

    Args:
        name: for messages.
        rows: in the order of the source.
        label_names: position is the id; None: the names are what the rows carry (numbers in order of
            size, else in order of text).
        bad: collects faults; may hold some from reading already.

    Returns:
        the corpus; blank texts are dropped and counted.

    Raises:
        DataError: no rows, fewer than two labels, or bad rows that may not be dropped.
    """
    counts: Counter[str] = Counter()
    kept = list(_checked(rows, label_names, bad, counts))
    # Rows that the reader could not even hand over were read as well.
    num_read = counts.pop("_seen", 0) + bad.num_rows - counts.pop("_refused", 0)
    bad.settle(num_read)
    if not kept:
        raise DataError(f"{name}: no usable rows ({num_read} read)")
    names = tuple(label_names) if label_names is not None else _names_in(kept)
    if len(names) < 2:
        raise DataError(f"{name}: only one label ({names[0]!r}); classification needs at least two")
    if len(names) > MAX_LABELS:
        raise DataError(
            f"{name}: {len(names):,} different labels, more than {MAX_LABELS:,}; is dataset.label_column right?"
        )
    counts["rows_read"] = num_read
    counts["bad_rows_dropped"] = bad.num_rows
    return _corpus(name, kept, names, counts)


def _checked(
    rows: Iterable[RawRow], label_names: Sequence[str] | None, bad: BadRows, counts: Counter[str]
) -> Iterable[_Row]:
    position = {name: index for index, name in enumerate(label_names or ())}
    seen: dict[str, str] = {}
    num_of_split: Counter[int | None] = Counter()
    for raw in rows:
        counts["_seen"] += 1
        number = num_of_split[raw.split]
        num_of_split[raw.split] += 1
        if raw.labels == ():  # every one-hot column is 0
            counts["rows_without_label_dropped"] += 1
            continue
        try:
            row_id = _row_id(raw, number, seen)
            labels = _labels(raw.labels, position)
            text = _text(raw, counts)
        except _BadRow as error:
            bad.add(raw.file, raw.line, str(error))
            counts["_refused"] += 1
        else:
            if text is not None:
                yield _Row(text=text, labels=labels, row_id=row_id, split=raw.split)


def _text(raw: RawRow, counts: Counter[str]) -> str | None:
    if raw.text is None:
        raise _BadRow("the text is missing")
    if not isinstance(raw.text, str):
        raise _BadRow(f"the text is of type {type(raw.text).__name__}, not a string")
    return checked_text(raw.text, counts)


def _row_id(raw: RawRow, number: int, seen: dict[str, str]) -> str:
    """The row's own id, which must be new, or its place in the source."""
    if raw.row_id is None:
        return f"row-{number}" if raw.split is None else f"{SPLIT_NAMES[raw.split]}-{number}"
    row_id = str(raw.row_id)
    if not row_id.strip() or _SURROGATE.search(row_id):
        raise _BadRow("the id is empty or no valid text")
    where = f"{raw.file}:{raw.line}"
    first = seen.setdefault(row_id, where)
    if first is not where:
        raise _BadRow(f"id {row_id!r} stands at {first} already; rename the column if it does not identify rows")
    return row_id


def _labels(value: object, position: dict[str, int]) -> tuple[str | int, ...]:
    """Label ids where names are known, else the names."""
    values = value if isinstance(value, list | tuple) else [value]
    if not values:
        raise _BadRow("the row has no label")
    labels = [_label_id(item, position) if position else _label_name(item) for item in values]
    return tuple(dict.fromkeys(labels))


def _label_name(value: object) -> str:
    if isinstance(value, bool) or not isinstance(value, str | int):
        raise _BadRow(f"the label is {'missing' if value is None else 'of type ' + type(value).__name__}")
    name = str(value).strip()
    if not name or _SURROGATE.search(name):
        raise _BadRow("the label is empty or no valid text")
    return name


def _label_id(value: object, position: dict[str, int]) -> int:
    name = _label_name(value)
    # A number in a typed source is an id; as text it may be a name that looks like a number.
    if isinstance(value, str) and name in position:
        return position[name]
    if name.isdecimal() and name.isascii() and len(name) < 10 and int(name) < len(position):
        return int(name)
    near = get_close_matches(name, position, n=1)
    hint = f"; did you mean {near[0]!r}?" if near else f"; there are {len(position)} labels, ids from 0"
    raise _BadRow(f"unknown label {name[:60]!r}{hint}")


def _names_in(rows: Sequence[_Row]) -> tuple[str, ...]:
    names = {str(label) for row in rows for label in row.labels}
    if all(re.fullmatch("-?[0-9]{1,18}", name) for name in names):
        return tuple(sorted(names, key=lambda name: (int(name), name)))
    return tuple(sorted(names))


def _corpus(name: str, rows: Sequence[_Row], names: tuple[str, ...], counts: Counter[str]) -> Corpus:
    position = {label: index for index, label in enumerate(names)}
    ids = [sorted(label if isinstance(label, int) else position[label] for label in row.labels) for row in rows]
    splits = None
    if rows[0].split is not None:
        splits = np.array([row.split for row in rows], dtype=np.int8)
    return Corpus(
        name=name,
        texts=tuple(row.text for row in rows),
        row_ids=tuple(row.row_id for row in rows),
        label_names=names,
        label_offsets=np.cumsum([0, *(len(row) for row in ids)], dtype=np.int64),
        label_ids=np.array([label for row in ids for label in row], dtype=np.int64),
        splits=splits,
        counts={key: count for key, count in sorted(counts.items()) if count},
        marks=_marks(counts),
    )


def _marks(counts: Counter[str]) -> tuple[str, ...]:
    kinds = {
        "bad_rows_dropped": "malformed rows dropped: {}",
        "rows_without_label_dropped": "rows without any label dropped: {}",
        "texts_blank_dropped": "blank texts dropped: {}",
        "texts_surrogates_replaced": "texts with invalid characters replaced: {}",
    }
    return tuple(text.format(counts[kind]) for kind, text in kinds.items() if counts[kind])
