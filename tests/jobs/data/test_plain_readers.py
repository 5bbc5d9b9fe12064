"""Headerless files, a folder a label, one-hot columns, and selection on test rows: as published sets come."""

from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from jobs.data import check, prepare, read_rows
from jobs.data.loading import fingerprint
from jobs.data.rows import Corpus
from jobs.errors import DataError
from jobs.spec import DataSpec


def read(path: Path, **changes: Any) -> Corpus:
    return read_rows(DataSpec(source="files", path=str(path), **changes))


def labels_of(corpus: Corpus) -> list[list[str]]:
    names = [corpus.label_names[i] for i in corpus.label_ids]
    return [names[first:last] for first, last in pairwise(corpus.label_offsets)]


def test_semicolon_splits_at_the_last_one_and_passes_blank_lines_over(tmp_path: Path) -> None:
    (tmp_path / "train.txt").write_text("i feel; well;joy\n\nso sad;sadness\r\n", "utf-8")
    (tmp_path / "test.txt").write_text("fine;joy\n", "utf-8")
    found = read(tmp_path, format="semicolon")
    assert found.texts == ("i feel; well", "so sad", "fine")
    assert labels_of(found) == [["joy"], ["sadness"], ["joy"]]


def test_tab_keeps_numbers_as_names_in_order_of_size(tmp_path: Path) -> None:
    (tmp_path / "train.tsv").write_text("a film\t1\nbad one\t0\n", "utf-8")
    found = read(tmp_path / "train.tsv", format="tab")
    assert found.label_names == ("0", "1") and labels_of(found) == [["1"], ["0"]]


def test_line_without_a_label_is_named(tmp_path: Path) -> None:
    (tmp_path / "train.txt").write_text("fine;joy\nno label here\nempty;\n", "utf-8")
    with pytest.raises(DataError, match=r"train\.txt:2: .*\n?.*train\.txt:3"):
        read(tmp_path / "train.txt", format="semicolon")


def aclimdb(root: Path) -> Path:
    for part in ("train", "test"):
        for label in ("neg", "pos"):
            folder = root / part / label
            folder.mkdir(parents=True)
            for number in (0, 2, 10):
                (folder / f"{number}_1.txt").write_text(f"{part} {label} {number}<br />text", "utf-8")
    (root / "train" / "unsup").mkdir()
    (root / "train" / "unsup" / "0_0.txt").write_text("not labelled", "utf-8")
    return root


def test_folder_of_texts_is_recognised_and_read_in_order(tmp_path: Path) -> None:
    found = read(aclimdb(tmp_path), clean=("html", "spaces"))
    assert found.label_names == ("neg", "pos") and len(found) == 12
    assert found.row_ids[:3] == ("train/neg/0_1", "train/neg/2_1", "train/neg/10_1")
    assert found.texts[3] == "train pos 0 text"


def test_a_text_in_another_folder_is_another_data_set(tmp_path: Path) -> None:
    spec = DataSpec(source="files", path=str(aclimdb(tmp_path)))
    before = fingerprint(spec)
    (tmp_path / "train" / "neg" / "2_1.txt").rename(tmp_path / "train" / "pos" / "2_9.txt")
    assert fingerprint(spec) != before


def test_incomplete_folder_is_refused(tmp_path: Path) -> None:
    aclimdb(tmp_path)
    for text in (tmp_path / "test" / "pos").iterdir():
        text.unlink()
    with pytest.raises(DataError, match="test/pos: no texts"):
        read(tmp_path)


ONE_HOT = [("both of them", 1, 1), ("only joy", 1, 0), ("none", 0, 0)]


@pytest.mark.parametrize("kind", ["csv", "jsonl", "parquet"])
def test_one_hot_columns_in_every_format(kind: str, tmp_path: Path) -> None:
    path = tmp_path / f"all.{kind}"
    if kind == "csv":
        path.write_text("text,joy,fear\n" + "".join(f"{t},{a},{b}\n" for t, a, b in ONE_HOT), "utf-8")
    elif kind == "jsonl":
        lines = (json.dumps({"text": t, "joy": a, "fear": bool(b)}) for t, a, b in ONE_HOT)
        path.write_text("\n".join(lines), "utf-8")
    else:
        columns = dict(zip(("text", "joy", "fear"), map(list, zip(*ONE_HOT, strict=True)), strict=True))
        pq.write_table(pa.table(columns), path)
    found = read(path, task="multi_label", label_columns=("joy", "fear"))
    assert found.label_names == ("joy", "fear") and labels_of(found) == [["joy", "fear"], ["joy"]]
    assert found.counts["rows_without_label_dropped"] == 1
    assert "rows without any label dropped: 1" in found.marks


def test_one_hot_cells_must_be_0_or_1(tmp_path: Path) -> None:
    (tmp_path / "all.csv").write_text("text,joy,fear\na,1,maybe\nb,0,1\n", "utf-8")
    with pytest.raises(DataError, match=r"all\.csv:2: column 'fear' must hold 0 or 1, not 'maybe'"):
        read(tmp_path / "all.csv", label_columns=("joy", "fear"))


def test_selection_on_test_rows_is_possible_and_marked(tmp_path: Path) -> None:
    spec = DataSpec(source="files", path=str(aclimdb(tmp_path)), protocol="official", validation="test")
    assert check(spec) == []
    data = prepare(spec, seed=0)
    assert data.validation.row_ids == data.test.row_ids and len(data.train) == 6
    assert any("selected on test rows, thresholds and calibration fitted on them" in mark for mark in data.marks)
