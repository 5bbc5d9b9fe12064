"""Predictions of finished cells: equal to the stored ones on the test rows, every row kept, options obeyed."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from jobs.data import prepare
from jobs.errors import UserError
from jobs.predicting import work
from jobs.predicting.messages import Request
from jobs.predicting.work import answer
from jobs.storage import read_result
from jobs.work_messages import AskedCell

# PEFT asks transformers for it.
pytestmark = pytest.mark.filterwarnings("ignore:.*is_gradient_checkpointing.*:FutureWarning")

Cells = dict[str, AskedCell]


def request_for(cell: AskedCell, file: Path, out: Path, cache: Path, **changes: str) -> Request:
    return Request(cell=cell, file=str(file), out=str(out), cache=str(cache), **changes)


def test_rows_of(cell: AskedCell, folder: Path, cache: Path) -> tuple[Path, pd.DataFrame]:
    """The cell's test rows as a file, and what the cell stored about them."""
    spec = read_result(Path(cell.folder)).cell
    split = prepare(spec.data, seed=spec.seed, cache=cache).test
    file = folder / "texts.parquet"
    pd.DataFrame({spec.data.text_column: split.texts}).to_parquet(file)
    stored = pd.read_parquet(Path(cell.folder) / "predictions.parquet")
    stored = stored[stored["split"] == "test"].set_index("row_id").loc[list(split.row_ids)]
    return file, stored


test_rows_of.__test__ = False  # type: ignore[attr-defined]


@pytest.mark.parametrize("name", ["full", "lora"])
def test_one_label_a_row_as_stored(name: str, explained: Cells, cache: Path, tmp_path: Path) -> None:
    cell = explained[name]
    file, stored = test_rows_of(cell, tmp_path, cache)
    found = answer(request_for(cell, file, tmp_path / "out.parquet", cache, calibration="none"))
    table = pd.read_parquet(tmp_path / "out.parquet")
    names = read_result(Path(cell.folder)).label_names
    assert table["predicted"].tolist() == [names[label] for label in stored["predicted"]]
    logits = stored[[f"logit_{label}" for label in range(len(names))]].to_numpy()
    wanted = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    np.testing.assert_allclose(table[[f"p: {label}" for label in names]].to_numpy(), wanted, atol=1e-5)
    assert found.num_rows == len(table) == len(stored) and found.num_blank == 0


def test_several_labels_a_row_with_fitted_thresholds(explained: Cells, cache: Path, tmp_path: Path) -> None:
    cell = explained["several"]
    file, stored = test_rows_of(cell, tmp_path, cache)
    names = read_result(Path(cell.folder)).label_names
    logits = stored[[f"logit_{label}" for label in range(len(names))]].to_numpy()
    tables = {}
    for thresholds in ("default", "label"):
        out = tmp_path / f"{thresholds}.parquet"
        answer(request_for(cell, file, out, cache, thresholds=thresholds, calibration="none"))
        tables[thresholds] = pd.read_parquet(out)["predicted"].tolist()
    halves = ["|".join(np.array(names)[row >= 0]) for row in logits]
    assert tables["default"] == halves
    assert tables["label"] != tables["default"]


def test_every_row_stays_in_its_place(explained: Cells, cache: Path, tmp_path: Path) -> None:
    file = tmp_path / "new.csv"
    file.write_text('id,message\n1,"so glad, thank you"\n2," "\n3,=SUM(A1)\n', "utf-8")
    found = answer(request_for(explained["lora"], file, tmp_path / "out.csv", cache))
    with (tmp_path / "out.csv").open(encoding="utf-8", newline="") as handle:
        rows = list(csv.DictReader(handle))
    assert [row["text"] for row in rows] == ["so glad, thank you", " ", "'=SUM(A1)"]
    assert rows[1]["predicted"] == "" and rows[0]["predicted"] and rows[2]["predicted"]
    assert (found.num_rows, found.num_blank, found.calibration) == (3, 1, "temperature")


@pytest.mark.parametrize(
    ("name", "changes", "said"),
    [
        ("no weights", {}, "kept no weights"),
        ("baseline", {}, "is a baseline"),
        ("lora", {"text_column": "body"}, "no column 'body'"),
        ("lora", {"thresholds": "label"}, "thresholds"),
    ],
)
def test_refusals_write_nothing(
    name: str, changes: dict[str, str], said: str, explained: Cells, cache: Path, tmp_path: Path
) -> None:
    file, out = tmp_path / "new.csv", tmp_path / "out.csv"
    file.write_text("text\nhello there\n", "utf-8")
    with pytest.raises(UserError, match=said):
        answer(request_for(explained[name], file, out, cache, **changes))
    assert not out.exists()


def test_neither_texts_nor_labels_are_formulas_in_csv(tmp_path: Path) -> None:
    names, shares = ("=1+1", "plain"), np.full((3, 2), 0.5)
    said = [["=1+1"], ["plain"], ["=1+1", "plain"]]
    for suffix in (".csv", ".parquet"):
        work._write(tmp_path / f"out{suffix}", ["=2", " @x", "ok"], [0, 1, 2], said, shares, names)
    with (tmp_path / "out.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["text"] for row in rows] == ["'=2", "' @x", "ok"]
    assert [row["predicted"] for row in rows] == ["'=1+1", "plain", "'=1+1|plain"]
    whole = pd.read_parquet(tmp_path / "out.parquet")
    assert whole["text"].tolist() == ["=2", " @x", "ok"] and whole["predicted"].tolist()[0] == "=1+1"
