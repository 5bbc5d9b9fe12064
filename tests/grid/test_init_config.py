"""`finegrid init`: configs that hold for the data they were made from, and refusals that write nothing."""

import csv
import json

import pytest

from grid.cells import declared_cells
from grid.config import load_config
from grid.init_config import init_config
from grid.preflight import check_data
from grid.resolve import OfflineResolver
from jobs.data.builtin import corpus
from jobs.errors import UserError

NASTY = 'spam: #1, "quoted" {x}'


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def write_csv(path, header, rows):
    path.parent.mkdir(exist_ok=True)
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([header, *rows])


def single_label_rows(count=1500):
    rows = corpus(count)
    return [(rows.texts[i], rows.label_names[n]) for i, n in enumerate(rows.single_label) if n >= 0]


def holds(config):
    """The config is accepted and its data supply every cell."""
    cells = declared_cells(load_config(str(config)), OfflineResolver())
    assert not check_data(cells).faults
    return cells


def test_a_csv_becomes_a_grid_that_its_rows_can_carry(tmp_path):
    write_csv(tmp_path / "my mails.csv", ["message", NASTY], single_label_rows())
    report = init_config("my mails.csv", models=["tiny-bert"], label_column=NASTY)
    cells = holds(tmp_path / "my-mails.yaml")
    assert report.num_cells == len(cells) and report.config == "my-mails.yaml"
    assert report.grid.num_labels[:3] == (2, 4, 8)
    assert {cell.data.label_column for cell in cells} == {NASTY}
    assert any("too few different texts" in line for line in report.warnings)
    json.dumps(report.to_json(), allow_nan=False)


def test_columns_of_0_and_1_with_splits_become_a_multi_label_grid(tmp_path):
    rows = corpus(900)
    table = [
        [
            rows.texts[i],
            *(int(n in rows.label_ids[rows.label_offsets[i] : rows.label_offsets[i + 1]]) for n in range(28)),
        ]
        for i in range(900)
    ]
    write_csv(tmp_path / "set" / "train.csv", ["text", *rows.label_names], table[:600])
    write_csv(tmp_path / "set" / "test.csv", ["text", *rows.label_names], table[600:])
    init_config("set", models=["tiny-bert"])
    cells = holds(tmp_path / "set.yaml")
    assert {(cell.data.task, cell.data.protocol) for cell in cells} == {("multi_label", "official")}


def test_leaked_test_rows_are_told_and_the_config_drops_them(tmp_path):
    rows = single_label_rows(600)
    write_csv(tmp_path / "set" / "train.csv", ["text", "label"], rows[:400])
    write_csv(tmp_path / "set" / "test.csv", ["text", "label"], rows[390:])
    report = init_config("set", models=["tiny-bert"])
    assert report.found.leaked_rows >= 10
    assert any("test rows stand in train" in line for line in report.warnings)
    holds(tmp_path / "set.yaml")


def test_an_existing_config_is_left_as_it_is(tmp_path):
    write_csv(tmp_path / "a.csv", ["text", "label"], single_label_rows(300))
    (tmp_path / "a.yaml").write_text("mine")
    with pytest.raises(UserError, match="exists already"):
        init_config("a.csv")
    assert (tmp_path / "a.yaml").read_text() == "mine"


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        ([(f"text number {i}", "ab"[i % 2]) for i in range(30)], "fewer than two labels have 20 different texts"),
        ([(f"text number {i}", ["a", "b", "a|b"][i % 3]) for i in range(90)], "need train and test files"),
    ],
)
def test_data_that_carry_no_grid(tmp_path, rows, said):
    write_csv(tmp_path / "a.csv", ["text", "label"], rows)
    with pytest.raises(UserError, match=said):
        init_config("a.csv")
    assert not (tmp_path / "a.yaml").exists()
