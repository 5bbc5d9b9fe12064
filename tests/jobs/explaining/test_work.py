"""From finished cells to tables: real cells, trained for the occasion."""

from __future__ import annotations

import csv
import json
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from jobs.errors import EnvironmentProblem, UserError
from jobs.explaining import work
from jobs.explaining.messages import Request
from jobs.explaining.work import MOST_LABELS, answer
from jobs.work_messages import AskedCell

# PEFT asks transformers for it.
pytestmark = pytest.mark.filterwarnings("ignore:.*is_gradient_checkpointing.*:FutureWarning")

Cells = dict[str, AskedCell]


def request_for(cells: Cells, names: tuple[str, ...], out: Path, cache: Path, **changes: object) -> Request:
    chosen = tuple(cells[name] for name in names)
    asked = Request(cells=chosen, method="ig", rows=2, steps=8, out=str(out), cache=str(cache))
    return replace(asked, **changes)  # type: ignore[arg-type]


def test_full_and_lora_side_by_side(explained: Cells, cache: Path, tmp_path: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in Path(explained["full"].folder).rglob("*")}
    asked = request_for(explained, ("full", "lora"), tmp_path, cache)
    found = answer(asked)
    folder = Path(found.folder)
    tokens, texts = (pd.read_parquet(folder / name) for name in ("attributions.parquet", "explained.parquet"))
    assert list(tokens.columns) == [
        *("cell_id", "row_id", "text_sha256", "text", "position", "token", "start", "end", "is_special"),
        *("method", "label", "value"),
    ]
    key = ["cell_id", "row_id", "label"]
    sums = tokens.groupby(key)["value"].sum()
    for row in texts.itertuples():
        assert sums[(row.cell_id, row.row_id, row.label)] == pytest.approx(
            row.logit - row.reference_logit + row.gap, abs=1e-5
        )
    assert found.num_explained == len(texts) and found.num_texts == 2
    assert found.largest_gap == pytest.approx(texts["gap"].abs().max())
    # Both cells explain the same labels of a text: what either of them says.
    by_cell = {cell: set(zip(part.row_id, part.label, strict=True)) for cell, part in texts.groupby("cell_id")}
    assert by_cell[explained["full"].cell_id] == by_cell[explained["lora"].cell_id]
    assert texts.groupby("cell_id")["is_said"].sum().tolist() == [2, 2]

    rows = list(csv.DictReader((folder / "agreement.csv").open(encoding="utf-8")))
    assert {(row["first"], row["second"]) for row in rows} == {(explained["full"].cell_id, explained["lora"].cell_id)}
    ranks = [float(row["rank_correlation"]) for row in rows]
    assert found.pairs[0].rank_correlation == pytest.approx(np.mean(ranks)) and found.pairs[0].num_compared == len(rows)
    settings = json.loads((folder / "settings.json").read_text("ascii"))
    assert settings["masked_by"] == {cell.cell_id: "[MASK]" for cell in asked.cells} and settings["method"] == "ig"

    assert answer(asked).folder == found.folder  # the same question, the same folder
    assert answer(replace(asked, steps=9)).folder != found.folder
    assert {path: path.stat().st_mtime_ns for path in Path(explained["full"].folder).rglob("*")} == before


def test_a_cell_with_several_labels_explains_each_that_it_says(explained: Cells, cache: Path, tmp_path: Path) -> None:
    asked = request_for(explained, ("several",), tmp_path, cache, method="occlusion", rows=6)
    found = answer(asked)
    texts = pd.read_parquet(Path(found.folder) / "explained.parquet")
    assert found.pairs == () and found.largest_gap is None and texts["gap"].isna().all()
    for _, part in texts.groupby("row_id"):
        assert part["is_said"].all() and len(part) <= MOST_LABELS
        assert len(part) == 1 or (part["logit"] >= 0).all()
    named = answer(replace(asked, labels=tuple(sorted(texts["label"])[:1])))
    assert named.num_explained == 6
    with pytest.raises(UserError, match="--labels nonsense: the cells have the labels"):
        answer(replace(asked, labels=("nonsense",)))


def test_texts_of_ones_own(explained: Cells, cache: Path, tmp_path: Path) -> None:
    path = tmp_path / "texts.txt"
    path.write_text("=so proud of you\n\n<b>this is bad</b>\n", "utf-8")
    found = answer(request_for(explained, ("lora", "full"), tmp_path, cache, texts_file=str(path), method="occlusion"))
    texts = pd.read_parquet(Path(found.folder) / "explained.parquet")
    assert set(texts["row_id"]) == {"line-1", "line-3"} and texts["is_true"].isna().all()


def test_cells_that_cannot_explain_say_why(explained: Cells, cache: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="kept no weights: its config says keep_weights: adapters"):
        answer(request_for(explained, ("full", "no weights"), tmp_path, cache))
    with pytest.raises(UserError, match="is a baseline"):
        answer(request_for(explained, ("baseline",), tmp_path, cache))
    assert not list(tmp_path.iterdir())


def test_without_captum_nothing_is_loaded(
    explained: Cells, cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "captum", None)
    monkeypatch.setattr(work, "finished_cell", None)
    with pytest.raises(EnvironmentProblem, match=r"pip install 'finegrid\[explain\]'"):
        answer(request_for(explained, ("full",), tmp_path, cache))
