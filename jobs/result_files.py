"""Predictions and curves of a finished cell as Parquet, and its weights as safetensors."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from jobs.spec import to_json

Writer = Callable[[Path], None]


def predictions_writer(parts: Mapping[str, tuple[Sequence[str], np.ndarray, np.ndarray]]) -> Writer:
    """A writer of predictions.parquet.

    Args:
        parts: split -> (row ids, labels int64 [rows] or 0/1 [rows, classes], logits float32 [rows, classes]).
    Returns:
        a function that writes one row a text: split, row_id, label, predicted, logit_0 ...; of a multi-label cell
        label_0 ..., predicted_0 ... (probability of at least one half), logit_0 ...
    """
    table = pa.concat_tables([_predictions(split, *part) for split, part in parts.items()])
    return lambda path: pq.write_table(table, path, compression="zstd")


def _predictions(split: str, row_ids: Sequence[str], labels: np.ndarray, logits_nC: np.ndarray) -> pa.Table:
    columns: dict[str, object] = {
        "split": pa.array([split] * len(labels), pa.string()),
        "row_id": pa.array(list(row_ids), pa.string()),
    }
    if labels.ndim == 2:
        said_nC = logits_nC >= 0
        columns |= {f"label_{index}": pa.array(labels[:, index].astype(np.uint8)) for index in range(labels.shape[1])}
        columns |= {f"predicted_{i}": pa.array(said_nC[:, i].astype(np.uint8)) for i in range(labels.shape[1])}
    else:
        predicted_n = logits_nC.argmax(axis=1) if len(labels) else np.empty(0)
        columns |= {"label": pa.array(labels.astype(np.int64)), "predicted": pa.array(predicted_n.astype(np.int64))}
    for index in range(logits_nC.shape[1]):
        columns[f"logit_{index}"] = pa.array(logits_nC[:, index].astype(np.float32))
    return pa.table(columns)


def curves_writer(points: Iterable[object]) -> Writer:
    """A writer of curves.parquet: step, epoch, split, metric, value, one row a tracked number."""
    schema = pa.schema(
        [
            ("step", pa.int64()),
            ("epoch", pa.float64()),
            ("split", pa.string()),
            ("metric", pa.string()),
            ("value", pa.float64()),
        ]
    )
    table = pa.Table.from_pylist([to_json(point) for point in points], schema=schema)
    return lambda path: pq.write_table(table, path, compression="zstd")
