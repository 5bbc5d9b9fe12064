"""Prepared rows as one Parquet table: exactly what every cell of a grid trains on, selects on and is tested on."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from jobs.data.preparing import prepare
from jobs.data.rows import SPLIT_NAMES, PreparedData
from jobs.durable import disk_problem
from jobs.spec import DataSpec

RowSet = tuple[DataSpec, int]
"""A data specification and the seed that draws training rows."""


@dataclass(frozen=True, kw_only=True)
class WrittenSet:
    """What a set of rows holds."""

    num_labels: int
    num_samples: int | None
    seed: int
    rows: dict[str, int]
    """By split."""
    labels_per_row: dict[str, float]
    """By split, where it has rows: 1 unless rows may have several labels."""
    counts: dict[str, int]
    """What was read, changed, dropped and added."""
    marks: tuple[str, ...]


def write_rows(
    sets: Sequence[RowSet], out: Path, *, cache: Path | None = None, on_set: Callable[[RowSet], None] = lambda _: None
) -> list[WrittenSet]:
    """Prepare several sets of rows and write them into one file, one set after another.

    Columns: set (number from 0), num_labels, num_samples, seed, split, row_id, text; single-label: label, class;
    multi-label: labels and, for every label of any set, one column of 0 and 1, empty where the set lacks the label.

    Args:
        sets: of one task.
        out: Parquet file; replaced as a whole.
        cache: folder where rows of the hub are kept.
        on_set: called after each set, for a progress bar.
    Returns:
        what each set holds.
    Raises:
        DataError: a set cannot be prepared.
        EnvironmentProblem: the hub, or the disk.
    """
    is_multi = sets[0][0].task == "multi_label"
    names = _all_names(sets, cache) if is_multi else ()
    schema = _schema(names, is_multi)
    temporary = out.with_name(f".{out.name}.tmp")
    written = []
    try:
        with pq.ParquetWriter(temporary, schema, compression="zstd") as writer:
            for number, (spec, seed) in enumerate(sets):
                data = prepare(spec, seed=seed, cache=cache)
                writer.write_table(_table(number, spec, seed, data, names, schema))
                written.append(_written(spec, seed, data))
                on_set((spec, seed))
        temporary.replace(out)
    except OSError as error:
        raise disk_problem(out, error) from error
    finally:
        temporary.unlink(missing_ok=True)
    return written


def _written(spec: DataSpec, seed: int, data: PreparedData) -> WrittenSet:
    parts = {name: getattr(data, name).labels for name in SPLIT_NAMES}
    return WrittenSet(
        num_labels=len(data.label_names),
        num_samples=spec.num_samples,
        seed=seed,
        rows={name: len(labels) for name, labels in parts.items()},
        labels_per_row={
            name: float(labels.sum()) / len(labels) if labels.ndim == 2 else 1.0
            for name, labels in parts.items()
            if len(labels)
        },
        counts=dict(data.counts),
        marks=data.marks,
    )


def _all_names(sets: Iterable[RowSet], cache: Path | None) -> tuple[str, ...]:
    found = (name for spec, seed in sets for name in prepare(spec, seed=seed, cache=cache).label_names)
    return tuple(dict.fromkeys(found))


def _schema(names: Sequence[str], is_multi: bool) -> pa.Schema:
    fields = [("set", pa.int32()), ("num_labels", pa.int32()), ("num_samples", pa.int64()), ("seed", pa.int64())]
    fields += [("split", pa.string()), ("row_id", pa.string()), ("text", pa.string())]
    if is_multi:
        fields += [("labels", pa.list_(pa.string())), *((f"label: {name}", pa.uint8()) for name in names)]
    else:
        fields += [("label", pa.string()), ("class", pa.int64())]
    return pa.schema(fields)


def _table(
    number: int, spec: DataSpec, seed: int, data: PreparedData, names: Sequence[str], schema: pa.Schema
) -> pa.Table:
    parts = [(name, getattr(data, name)) for name in SPLIT_NAMES]
    rows = sum(len(split) for _, split in parts)
    columns: dict[str, object] = {
        "set": np.full(rows, number),
        "num_labels": np.full(rows, len(data.label_names)),
        "num_samples": [spec.num_samples] * rows,
        "seed": np.full(rows, seed),
        "split": [name for name, split in parts for _ in range(len(split))],
        "row_id": [row_id for _, split in parts for row_id in split.row_ids],
        "text": [text for _, split in parts for text in split.texts],
    }
    labels = np.concatenate([split.labels for _, split in parts])
    if labels.ndim == 1:
        columns |= {"label": [data.label_names[label] for label in labels], "class": labels}
    else:
        columns["labels"] = [[data.label_names[i] for i in np.flatnonzero(row)] for row in labels]
        for name in names:
            place = data.label_names.index(name) if name in data.label_names else None
            columns[f"label: {name}"] = [None] * rows if place is None else labels[:, place]
    return pa.table({field.name: pa.array(columns[field.name], field.type) for field in schema}, schema=schema)
