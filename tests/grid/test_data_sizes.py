"""Rows and lengths of texts, looked up where the data lie here; everything else is a guess that is named."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from grid.data_sizes import LENGTHS, DataSizes
from grid.workload import UNKNOWN_ROWS
from jobs.spec import CellSpec, DataSpec, ModelSpec, RecipeSpec
from tests.grid.documents import cells_of

CELL = cells_of()[0]


def of_file(folder: Path, texts: list[str], **values: object) -> CellSpec:
    path = folder / "rows.jsonl"
    lines = [json.dumps({"text": text, "label": "ab"[place % 2]}) for place, text in enumerate(texts)]
    path.write_text("\n".join(lines) + "\n", "utf-8")
    data = DataSpec(source="files", path=str(path), num_labels=2, test_per_label=2, validation_per_label=1)
    data = replace(data, **{"num_samples": 4, **values})  # type: ignore[arg-type]
    return replace(CELL, data=data, model=None, recipe=RecipeSpec(max_length=64))


def texts(number: int, words: int) -> list[str]:
    return [f"{place} " + "word " * words for place in range(number)]


def test_lengths_are_counted_from_short_to_long_and_cut_at_the_most(tmp_path: Path) -> None:
    long = [f"long {place} " + "word " * 400 for place in range(10)]
    rows = DataSizes(tmp_path).of(of_file(tmp_path, texts(30, 2) + long))
    assert len(rows.lengths) == LENGTHS and list(rows.lengths) == sorted(rows.lengths)
    assert rows.lengths[0] < 10 and rows.long_tokens == 64
    assert rows.guesses == ()


def test_the_models_tokenizer_counts_where_it_is_at_hand(tmp_path: Path) -> None:
    from tokenizers import Tokenizer, models, pre_tokenizers

    tokenizer = Tokenizer(models.WordLevel({"word": 0, "?": 1}, unk_token="?"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.enable_truncation(3)  # as saved ones are
    tokenizer.save(str(tmp_path / "tokenizer.json"))
    cell = of_file(tmp_path, texts(20, 9))
    folder = ModelSpec(name="m", source="folder", location=str(tmp_path))
    assert set(DataSizes(tmp_path).of(replace(cell, model=folder)).lengths) == {10}
    (tmp_path / "tokenizer.json").write_text("{", "utf-8")
    assert set(DataSizes(tmp_path).of(replace(cell, model=folder)).lengths) != {10}


def test_sizes_that_the_declaration_leaves_to_the_data_are_counted(tmp_path: Path) -> None:
    everything = of_file(tmp_path, texts(40, 3), num_samples=None)
    rows = DataSizes(tmp_path).of(everything)
    assert (rows.validation, rows.test) == (2, 4)
    assert 30 <= rows.train <= 34
    assert rows.guesses == ()


def test_what_only_the_hub_knows_is_guessed_and_said(tmp_path: Path) -> None:
    hub = replace(CELL, data=DataSpec(source="hub", id="owner/rows", num_labels=2))
    rows = DataSizes(tmp_path).of(hub)
    assert rows.train == UNKNOWN_ROWS
    assert any("owner/rows" in guess for guess in rows.guesses)


@pytest.mark.parametrize("content", ["", "no json\n", '{"text": "a", "label": "x"}\n'])
def test_faulty_data_are_left_to_the_check_of_the_run(tmp_path: Path, content: str) -> None:
    cell = of_file(tmp_path, texts(4, 1), num_samples=None)
    Path(cell.data.path).write_text(content, "utf-8")
    assert DataSizes(tmp_path).of(cell).train == UNKNOWN_ROWS


def test_real_comments_are_as_long_as_they_are(tmp_path: Path) -> None:
    folder = Path(__file__).resolve().parents[3] / "shared" / "data" / "goemotions"
    if not folder.is_dir():
        pytest.skip("needs the GoEmotions files")
    data = DataSpec(source="files", path=str(folder), format="goemotions", num_labels=2, num_samples=8)
    rows = DataSizes(tmp_path).of(replace(CELL, data=data, model=None))
    assert 12 < rows.tokens < 24
