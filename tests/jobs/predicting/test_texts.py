"""Texts of files for prediction: every form, in order, faults by place."""

import json

import pandas as pd
import pytest

from jobs.errors import DataError, UserError
from jobs.predicting.texts import prepared, read_texts
from jobs.spec import DataSpec

TEXTS = ["one two", "", "three; four"]
DATA = DataSpec(source="builtin", text_column="message")


def write(path, texts):
    match path.suffix:
        case ".csv" | ".tsv":
            path.write_text(
                pd.DataFrame({"id": range(len(texts)), "message": texts}).to_csv(
                    index=False, sep="," if path.suffix == ".csv" else "\t"
                )
            )
        case ".jsonl":
            path.write_text("\n".join(json.dumps({"message": text}) for text in texts))
        case ".parquet":
            pd.DataFrame({"message": texts}).to_parquet(path)
        case ".txt":
            path.write_text("\n".join(texts) + "\n")
    return path


def test_a_csv_with_semicolons(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text("id;message\n1;one, two\n2;three\n")
    assert read_texts(path, None, DATA) == ["one, two", "three"]


@pytest.mark.parametrize("suffix", [".csv", ".tsv", ".jsonl", ".parquet", ".txt"])
def test_every_form(tmp_path, suffix):
    assert read_texts(write(tmp_path / f"a{suffix}", TEXTS), None, DATA) == TEXTS


@pytest.mark.parametrize(
    ("name", "content", "error", "said"),
    [
        ("a.doc", "x", UserError, "texts are read from"),
        ("a.csv", "id,number\n1,2\n", UserError, "no column 'message'.*'id', 'number'"),
        ("a.csv", "message,x\nhello\n", DataError, "row 1 has 1 columns where 2"),
        ("a.jsonl", '{"message": 3}\n', UserError, "row 1: 'message' holds a int"),
        ("a.jsonl", "{nonsense\n", DataError, "a.jsonl:1"),
        ("a.parquet", "nonsense", DataError, "cannot be read as Parquet"),
    ],
)
def test_faults(tmp_path, name, content, error, said):
    (tmp_path / name).write_text(content)
    with pytest.raises(error, match=said):
        read_texts(tmp_path / name, None, DATA)


def test_prepared_as_the_rows_the_cell_was_trained_on():
    data = DataSpec(source="builtin", clean=("urls", "spaces"))
    assert prepared(["see  https://a.b/c now", " \u200b", "https://only.link"], data) == ["see now", None, None]


def test_a_column_of_a_file_without_columns_is_refused(tmp_path):
    with pytest.raises(UserError, match="every line is a text"):
        read_texts(write(tmp_path / "a.txt", TEXTS), "message", DATA)
