"""Attributions as tables in a folder of their own."""

from __future__ import annotations

import csv
import io
import json
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from jobs.durable import disk_problem
from jobs.explaining.agreement import Agreement
from jobs.explaining.attribution import Attribution
from jobs.explaining.texts import Text
from jobs.explaining.tokens import Tokens
from jobs.spec import dumps
from jobs.spreadsheets import inert
from jobs.temporary import new_temporary

ATTRIBUTIONS, EXPLAINED, AGREEMENT, SETTINGS = (
    "attributions.parquet",
    "explained.parquet",
    "agreement.csv",
    "settings.json",
)
"""A text that begins with one of these is a formula to a spreadsheet."""


@dataclass(frozen=True, kw_only=True)
class Explained:
    """One text and label by one cell."""

    cell_id: str
    title: str
    text: Text
    method: str
    label: str
    is_said: bool
    """The cell gives the text this label."""
    tokens: Tokens
    attribution: Attribution

    @property
    def own_values(self) -> tuple[float, ...]:
        """Values of the text's own tokens."""
        pairs = zip(self.attribution.values, self.tokens.is_special, strict=True)
        return tuple(value for value, is_special in pairs if not is_special)


@dataclass(frozen=True, kw_only=True)
class Compared:
    """Two cells on one text and label."""

    first: Explained
    second: Explained
    agreement: Agreement


_TOKEN_SCHEMA = pa.schema(
    [
        ("cell_id", pa.string()),
        ("row_id", pa.string()),
        ("text_sha256", pa.string()),
        ("text", pa.string()),
        ("position", pa.int64()),
        ("token", pa.string()),
        ("start", pa.int64()),
        ("end", pa.int64()),
        ("is_special", pa.bool_()),
        ("method", pa.string()),
        ("label", pa.string()),
        ("value", pa.float64()),
    ]
)
_EXPLAINED_SCHEMA = pa.schema(
    [
        ("cell_id", pa.string()),
        ("title", pa.string()),
        ("row_id", pa.string()),
        ("text_sha256", pa.string()),
        ("text", pa.string()),
        ("method", pa.string()),
        ("label", pa.string()),
        ("is_true", pa.bool_()),
        ("is_said", pa.bool_()),
        ("logit", pa.float64()),
        ("reference_logit", pa.float64()),
        ("gap", pa.float64()),
        ("steps", pa.int64()),
        ("num_tokens", pa.int64()),
        ("num_cut", pa.int64()),
    ]
)


def write_tables(
    out: Path, name: str, explained: Sequence[Explained], compared: Sequence[Compared], settings: Mapping[str, Any]
) -> Path:
    """Write the four files of a question into `out`/`name`, replacing an earlier answer.

    Args:
        out: made when missing.
        name: of the folder.
        explained: in the order of cells, texts and labels.
        compared: pairs of them.
        settings: what was asked, as plain JSON values.
    Returns:
        the folder.
    Raises:
        EnvironmentProblem: the disk refused.
    """
    target = out / name
    try:
        temporary = new_temporary(out)
        try:
            rows = [row for item in explained for row in _token_rows(item)]
            pq.write_table(pa.Table.from_pylist(rows, schema=_TOKEN_SCHEMA), temporary / ATTRIBUTIONS)
            table = pa.Table.from_pylist([_explained_row(item) for item in explained], schema=_EXPLAINED_SCHEMA)
            pq.write_table(table, temporary / EXPLAINED)
            (temporary / AGREEMENT).write_text(_agreement_csv(compared), "utf-8")
            (temporary / SETTINGS).write_text(json.dumps(settings, indent=1, sort_keys=True) + "\n", "ascii")
            if target.exists():
                shutil.rmtree(target)
            temporary.rename(target)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)
    except OSError as error:
        raise disk_problem(target, error) from error
    return target


def _token_rows(item: Explained) -> list[dict[str, Any]]:
    tokens = item.tokens
    return [
        {
            **_place(item),
            "position": position,
            "token": tokens.pieces[position],
            "start": span[0] if span else None,
            "end": span[1] if span else None,
            "is_special": tokens.is_special[position],
            "value": value,
        }
        for position, (value, span) in enumerate(zip(item.attribution.values, tokens.spans, strict=True))
    ]


def _explained_row(item: Explained) -> dict[str, Any]:
    found, truth = item.attribution, item.text.labels
    return {
        **_place(item),
        "title": item.title,
        "is_true": None if truth is None else item.label in truth,
        "is_said": item.is_said,
        "logit": found.logit,
        "reference_logit": found.reference_logit,
        "gap": found.gap,
        "steps": found.steps,
        "num_tokens": len(item.tokens.ids),
        "num_cut": item.tokens.num_cut,
    }


def _place(item: Explained) -> dict[str, str]:
    text = item.text
    place = {"cell_id": item.cell_id, "row_id": text.row_id, "text_sha256": text.sha256, "text": text.text}
    return place | {"method": item.method, "label": item.label}


def _agreement_csv(compared: Sequence[Compared]) -> str:
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    numbers = [field.name for field in fields(Agreement)]
    writer.writerow(["first", "second", "first_title", "second_title", "row_id", "label", "method", *numbers])
    for pair in compared:
        first, second = pair.first, pair.second
        cells = [first.cell_id, second.cell_id, first.title, second.title, first.text.row_id, first.label, first.method]
        found = [getattr(pair.agreement, name) for name in numbers]
        writer.writerow([_field(value) for value in [*cells, *found]])
    return file.getvalue()


def _field(value: Any) -> Any:
    """An apostrophe before what a spreadsheet would compute; nothing for None."""
    if value is None:
        return ""
    return inert(value) if isinstance(value, str) else value


def plain(settings: Any) -> Any:
    """A dataclass as plain JSON values."""
    return json.loads(dumps(settings))
