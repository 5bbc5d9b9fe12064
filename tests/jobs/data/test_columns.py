"""Guesses about columns: texts and labels are found by name or by value, and refused where nothing fits."""

import json

import pytest

from jobs.data.columns import find_columns
from jobs.errors import DataError

TEXTS = ["a good day", "a bad day", "what a day", "no day at all"] * 5


def csv_file(folder, header, rows):
    path = folder / "data.csv"
    path.write_text("\n".join([header, *rows]) + "\n", "utf-8")
    return path


def found(path, format_name="csv", **known):
    return find_columns(path, format_name, text=known.get("text"), label=known.get("label"))


def test_by_name(tmp_path):
    path = csv_file(tmp_path, "id,note,text,label", [f"{i},one two three four five,{t},x" for i, t in enumerate(TEXTS)])
    columns = found(path)
    assert (columns.text, columns.label, columns.several_labels) == ("text", "label", False)


def test_by_value(tmp_path):
    rows = [f"{i},{text},{'spam' if i % 3 else 'ham'},{i * 7}" for i, text in enumerate(TEXTS)]
    columns = found(csv_file(tmp_path, "number,what they wrote,kind,other", rows))
    assert (columns.text, columns.label) == ("what they wrote", "kind")


def test_semicolons_in_place_of_commas(tmp_path):
    columns = found(csv_file(tmp_path, "text;label", [f"{text}, really;x" for text in TEXTS]))
    assert (columns.text, columns.label) == ("text", "label")


def test_what_is_said_wins(tmp_path):
    path = csv_file(tmp_path, "text,title,label,topic", [f"{t},{t} again,a,{i % 2}" for i, t in enumerate(TEXTS)])
    columns = found(path, text="title", label="topic")
    assert (columns.text, columns.label) == ("title", "topic")


def test_columns_of_0_and_1(tmp_path):
    rows = [f"{i},{text},{i % 2},{int(i % 3 == 0)}" for i, text in enumerate(TEXTS)]
    columns = found(csv_file(tmp_path, "id,text,joy,anger", rows))
    assert (columns.label, columns.one_hot, columns.several_labels) == (None, ("joy", "anger"), True)


@pytest.mark.parametrize(
    ("cells", "several"),
    [
        (["joy", "anger", "joy|anger", "love"], True),
        (["a, or b", "c, or d", "e", "f"], False),  # commas inside names: the parts never stand alone
        (["joy", "anger", "love", "fear"], False),
    ],
)
def test_several_labels_in_one_cell(tmp_path, cells, several):
    rows = [f'{text},"{cells[i % 4]}"' for i, text in enumerate(TEXTS)]
    assert found(csv_file(tmp_path, "text,label", rows)).several_labels is several


@pytest.mark.parametrize(("labels", "several"), [([["a"], ["a", "b"]], True), ([["a"], ["b"]], False)])
def test_lists_in_jsonl(tmp_path, labels, several):
    path = tmp_path / "data.jsonl"
    path.write_text("\n".join(json.dumps({"text": t, "labels": labels[i % 2]}) for i, t in enumerate(TEXTS)), "utf-8")
    columns = found(path, "jsonl")
    assert (columns.label, columns.several_labels) == ("labels", several)


@pytest.mark.parametrize(
    ("header", "rows", "said"),
    [
        ("number,other", [f"{i},{i * 2}" for i in range(30)], "no column looks like texts"),
        ("text,key", [f"{t} {i},{i}" for i, t in enumerate(TEXTS * 3)], "no column looks like labels"),
        ("text,label", [], "no rows"),
    ],
)
def test_nothing_fits(tmp_path, header, rows, said):
    with pytest.raises(DataError, match=said):
        found(csv_file(tmp_path, header, rows))


def test_a_column_that_is_not_there_is_named_with_those_that_are(tmp_path):
    with pytest.raises(DataError, match=r"--label-column 'lable'.*'text', 'label'"):
        found(csv_file(tmp_path, "text,label", ["a b,c"]), label="lable")
