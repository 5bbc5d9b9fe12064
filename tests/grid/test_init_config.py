"""`finegrid init`: configs that hold for the data they were made from, and refusals that write nothing."""

import csv
import json
from pathlib import Path

import pytest

from grid.cells import declared_cells
from grid.config import load_config
from grid.init_config import init_config
from grid.preflight import check_data
from grid.resolve import OfflineResolver
from jobs.data.builtin import corpus
from jobs.errors import ConfigError, UserError

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


def test_many_labels_with_few_rows_each_get_sizes_that_hold_them_all(tmp_path):
    rows = [(f"word{i} of text {i}", f"label{i % 200:03d}") for i in range(7200)]
    write_csv(tmp_path / "a.csv", ["text", "label"], rows)
    report = init_config("a.csv", models=["tiny-bert"])
    assert report.grid.num_labels == (200,) and min(report.grid.num_samples) >= 400
    holds(tmp_path / "a.yaml")


def test_a_model_that_is_none_is_a_mistake_of_the_person(tmp_path):
    write_csv(tmp_path / "a.csv", ["text", "label"], single_label_rows(300))
    with pytest.raises(ConfigError, match="--model = bert-bse: is no known model"):
        init_config("a.csv", models=["bert-bse"])
    assert not (tmp_path / "a.yaml").exists()


def test_two_configs_of_one_file_are_two_grids_and_say_their_own_commands(tmp_path):
    write_csv(tmp_path / "a.csv", ["text", "label"], single_label_rows(300))
    init_config("a.csv", models=["tiny-bert"])
    init_config("a.csv", models=["tiny-gpt2"], out=Path("other.yaml"))
    assert (load_config("a.yaml").name, load_config("other.yaml").name) == ("a", "other")
    assert "finegrid run other.yaml " in (tmp_path / "other.yaml").read_text()


def test_few_bad_rows_are_left_out_told_and_declared(tmp_path):
    rows = [(text, "" if i % 50 == 0 else label) for i, (text, label) in enumerate(single_label_rows(900))]
    write_csv(tmp_path / "a.csv", ["text", "label"], rows)
    report = init_config("a.csv", models=["tiny-bert"])
    bad = sum(not label for _, label in rows)
    assert any(line.startswith(f"{bad} bad rows are left out") and "a.csv:2:" in line for line in report.warnings)
    assert {cell.data.bad_rows for cell in holds(tmp_path / "a.yaml")} == {"drop"}


def test_many_bad_rows_are_refused(tmp_path):
    rows = [(text, "" if i % 5 == 0 else label) for i, (text, label) in enumerate(single_label_rows(300))]
    write_csv(tmp_path / "a.csv", ["text", "label"], rows)
    with pytest.raises(UserError, match="the label is empty"):
        init_config("a.csv")
    assert not (tmp_path / "a.yaml").exists()


@pytest.mark.parametrize(
    ("header", "change", "said"),
    [
        (["text", "label"], lambda i, text, label: (text, label.upper() if i % 3 else label), "differ in case"),
        (["text", "label"], lambda i, text, label: ("" if i == 5 else text, label), "rows without a text"),
        (["a first text", "joy"], lambda i, text, label: (text, "joy" if i % 2 else "anger"), "if that line is a row"),
    ],
)
def test_what_a_person_would_overlook_is_said(tmp_path, header, change, said):
    rows = [change(i, *row) for i, row in enumerate(single_label_rows(900))]
    write_csv(tmp_path / "a.csv", header, rows)
    warnings = init_config("a.csv", models=["tiny-bert"]).warnings
    assert any(said in line for line in warnings), warnings
    assert not any("_dropped" in line for line in warnings)


def test_texts_taken_for_labels_do_not_fill_the_screen(tmp_path):
    write_csv(tmp_path / "a.csv", ["text", "label"], [(label, text * 9) for text, label in single_label_rows(300)])
    with pytest.raises(UserError, match="too few for training") as caught:
        init_config("a.csv", text_column="text", label_column="label")
    assert len(str(caught.value)) < 800
