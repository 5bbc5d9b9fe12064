"""What an evaluation leaves in the result folder: decisions.json, sensitivity.parquet, reliability.parquet."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

import pyarrow as pa
import pyarrow.parquet as pq

from jobs.evaluation.decisions import Decisions
from jobs.evaluation.evaluate import Evaluation, Row
from jobs.spec import dumps

DECISIONS: Final = "decisions.json"
SENSITIVITY: Final = "sensitivity.parquet"
RELIABILITY: Final = "reliability.parquet"

_SENSITIVITY_SCHEMA: Final = pa.schema(
    [
        ("split", pa.string()),
        ("threshold", pa.float64()),
        ("f1_macro", pa.float64()),
        ("f1_micro", pa.float64()),
        ("subset_accuracy", pa.float64()),
    ]
)
_RELIABILITY_SCHEMA: Final = pa.schema(
    [
        ("method", pa.string()),
        ("label", pa.string()),
        ("low", pa.float64()),
        ("high", pa.float64()),
        ("rows", pa.int64()),
        ("confidence", pa.float64()),
        ("share", pa.float64()),
    ]
)


def evaluation_files(evaluation: Evaluation) -> dict[str, Callable[[Path], None]]:
    """Writers of an evaluation's files, by their names in the result folder.

    Args:
        evaluation: of a finished cell.
    Returns:
        decisions.json and reliability.parquet, and sensitivity.parquet where thresholds were fitted.
    """
    text = dumps(evaluation.decisions) + "\n"

    def write_decisions(path: Path) -> None:
        path.write_text(text, encoding="utf-8")

    files: dict[str, Callable[[Path], None]] = {
        DECISIONS: write_decisions,
        RELIABILITY: _table_writer(evaluation.reliability, _RELIABILITY_SCHEMA),
    }
    if evaluation.sensitivity:
        files[SENSITIVITY] = _table_writer(evaluation.sensitivity, _SENSITIVITY_SCHEMA)
    return files


def read_decisions(path: Path) -> Decisions:
    """Read decisions.json.

    Raises:
        ValueError: not JSON, or of another version or shape.
        OSError: it cannot be read.
    """
    data = json.loads(path.read_text(encoding="utf-8"))
    if not isinstance(data, dict):
        raise ValueError(f"{path}: a JSON object is expected")
    return Decisions.from_json(data)


def _table_writer(rows: Sequence[Row], schema: pa.Schema) -> Callable[[Path], None]:
    table = pa.Table.from_pylist(list(rows), schema=schema)
    return lambda path: pq.write_table(table, path, compression="zstd")
