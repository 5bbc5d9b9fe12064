"""Strict readers: what is right comes through unchanged, what is wrong is named by file and line."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from jobs.data.bad_rows import BadRows
from jobs.data.raw import RawRow
from jobs.data.readers import READERS, Columns, parquet_label_names, read_label_names
from jobs.errors import DataError

PLAIN = Columns(text="text", label="label", several_labels=False)
MANY = Columns(text="text", label="label", several_labels=True)


def _read(path: Path, content: str | bytes, *, columns: Columns = PLAIN, kind: str | None = None) -> list[RawRow]:
    """Rows of a file whose faults are fatal."""
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    bad = BadRows("fail", 0.0)
    rows = list(READERS[kind or path.suffix[1:]](path, None, columns, bad))
    bad.settle(len(rows) + bad.num_rows)
    return rows


def _refused(path: Path, content: str | bytes, *, kind: str | None = None) -> str:
    with pytest.raises(DataError) as caught:
        _read(path, content, kind=kind)
    return str(caught.value).replace(str(path), path.name)


def _drop(path: Path, content: str, *, kind: str | None = None) -> tuple[list[object], int]:
    """Texts that remain, and the number of rows lost."""
    path.write_text(content, "utf-8")
    bad = BadRows("drop", 1.0)
    rows = list(READERS[kind or path.suffix[1:]](path, None, PLAIN, bad))
    return [row.text for row in rows], bad.num_rows


def test_csv_with_quotes_crlf_bom_and_other_columns(tmp_path: Path) -> None:
    content = b'\xef\xbb\xbflabel,extra,text\r\njoy,1,"a, ""b"""\r\nanger,2,c\r\n'
    rows = _read(tmp_path / "a.csv", content)
    assert [(row.text, row.labels, row.line) for row in rows] == [('a, "b"', "joy", 2), ("c", "anger", 3)]


@pytest.mark.parametrize("text", ["NA", "null", "None", "nan", "N/A", "#N/A", "", "1e5", "true", "-inf"])
def test_texts_that_look_like_nothing_stay_texts(tmp_path: Path, text: str) -> None:
    assert _read(tmp_path / "a.csv", f"text,label\n{text},joy\n")[0].text == text
    assert _read(tmp_path / "a.tsv", f"text\tlabel\n{text}\tjoy\n")[0].text == text


@pytest.mark.parametrize("delimiter", [";", "\t", "|"])
def test_a_csv_of_a_spreadsheet_may_have_another_delimiter(tmp_path: Path, delimiter: str) -> None:
    content = f'"text, long"{delimiter}text{delimiter}label\nx{delimiter}one, "two"{delimiter}joy\n'
    assert [(row.text, row.labels) for row in _read(tmp_path / "a.csv", content)] == [('one, "two"', "joy")]


def test_a_comma_between_names_of_columns_is_the_delimiter(tmp_path: Path) -> None:
    rows = _read(tmp_path / "a.csv", "text;x,text,label\na;b,c;d|e,joy\n")
    assert [(row.text, row.labels) for row in rows] == [("c;d|e", "joy")]


def test_lines_end_at_line_feeds_only(tmp_path: Path) -> None:
    text = "one\u2028two\u2029three\x0bfour\x0cfive\x1csix\x85seven"
    assert [row.text for row in _read(tmp_path / "a.csv", f"text,label\n{text},joy\n")] == [text]
    assert [
        row.text for row in _read(tmp_path / "a.jsonl", json.dumps({"text": text, "label": 1}, ensure_ascii=False))
    ] == [text]


def test_quoted_texts_may_have_several_lines(tmp_path: Path) -> None:
    rows = _read(tmp_path / "a.csv", 'text,label\n"first\nsecond, third",joy\nnext,anger\n')
    assert [(row.text, row.line) for row in rows] == [("first\nsecond, third", 2), ("next", 4)]
    rows = _read(tmp_path / "a.csv", 'label,text\njoy,"first\nsecond"\nanger,next\n')
    assert [row.text for row in rows] == ["first\nsecond", "next"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("text,label\na\nb,joy\n", "a.csv:2: 1 columns where 2 are expected"),
        ("text,label\na,b,joy\nb,joy\n", "a.csv:2: 3 columns where 2 are expected"),
        ('text,label\nok,joy\n"open,joy\nmore,joy\n', "a.csv:3: quotes or line ends are wrong"),
        ('text,label\n"a" b,joy\nc,joy\n', "a.csv:2: quotes or line ends are wrong"),
        (
            'text,label\n"first,joy\nsecond,anger\nthird",joy\nz,anger\n',
            "a.csv:2: a quote opened here swallows the rows up",
        ),
        ("text,label\nfirst\rsecond,joy\n", "a.csv:2: quotes or line ends are wrong"),
        (b"text,label\nfine,joy\nbad \xff byte,joy\n", "a.csv:3: not valid UTF-8"),
        ("txt,label\na,joy\n", "a.csv:1: no column 'text'; did you mean 'txt'?"),
        ("text,text,label\na,b,joy\n", "a.csv:1: a column name stands twice"),
        ("", "a.csv:1: no header line"),
        ("text,label\n".encode("utf-16"), "is UTF-16; save it as UTF-8"),
    ],
)
def test_csv_faults_name_file_and_line(tmp_path: Path, content: str | bytes, message: str) -> None:
    assert message in _refused(tmp_path / "a.csv", content)


def test_reading_goes_on_after_a_fault(tmp_path: Path) -> None:
    content = 'text,label\na,joy\n"b" b,joy\nc,joy,joy\nd,joy\n'
    assert _drop(tmp_path / "a.csv", content) == (["a", "d"], 2)


def test_every_line_behind_an_open_quote_counts_as_lost(tmp_path: Path) -> None:
    assert _drop(tmp_path / "a.csv", 'text,label\na,joy\n"b,joy\nc,joy\nd,joy\n') == (["a"], 3)


def test_several_labels_in_one_cell(tmp_path: Path) -> None:
    rows = _read(tmp_path / "a.tsv", "text\tlabels\na\tjoy,anger\nb\tjoy|anger\nc\tjoy\n", columns=MANY)
    assert [row.labels for row in rows] == [["joy", "anger"], ["joy", "anger"], ["joy"]]


def test_ids_are_taken_when_there(tmp_path: Path) -> None:
    assert _read(tmp_path / "a.csv", "id,text,label\nx7,a,joy\n")[0].row_id == "x7"
    assert _read(tmp_path / "a.csv", "text,label\na,joy\n")[0].row_id is None


def test_a_text_of_a_megabyte_is_no_error_and_the_limit_of_csv_is_put_back(tmp_path: Path) -> None:
    before = csv.field_size_limit()
    assert len(str(_read(tmp_path / "a.csv", "text,label\n" + "x" * 1_000_000 + ",joy\n")[0].text)) == 1_000_000
    assert csv.field_size_limit() == before


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60, deadline=None)
@given(st.lists(st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=30), min_size=1, max_size=5))
def test_csv_and_jsonl_round_trip_any_text(tmp_path: Path, texts: list[str]) -> None:
    out = io.StringIO(newline="")
    writer = csv.writer(out, lineterminator="\n", quoting=csv.QUOTE_ALL)
    writer.writerows([["text", "label"], *([text, "label of no line"] for text in texts)])
    assert [row.text for row in _read(tmp_path / "a.csv", out.getvalue())] == texts
    lines = "\n".join(json.dumps({"text": text, "label": "joy"}) for text in texts)
    assert [row.text for row in _read(tmp_path / "a.jsonl", lines)] == texts


def test_goemotions_format(tmp_path: Path) -> None:
    content = 'Plain one\t27\tid1\n"Quoted ""one"", here"\t2,14\tid2\n'
    rows = _read(tmp_path / "train.tsv", content, kind="goemotions")
    assert [(row.text, row.labels, row.row_id) for row in rows] == [
        ("Plain one", [27], "id1"),
        ('Quoted "one", here', [2, 14], "id2"),
    ]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("a\t1\tx\nb\t2\n", "train.tsv:2: 2 columns where 3 are expected"),
        ("a\tjoy\tx\n", "train.tsv:1: the second column must hold label ids"),
        ("a\t1,\tx\n", "train.tsv:1: the second column must hold label ids"),
        ('a\t1\tx\n"b\t1\ty\nc"\t1\tz\n', "train.tsv:2: a quote opened here swallows the rows up to line 3"),
    ],
)
def test_goemotions_faults(tmp_path: Path, content: str, message: str) -> None:
    assert message in _refused(tmp_path / "train.tsv", content, kind="goemotions")


def test_jsonl_keeps_types(tmp_path: Path) -> None:
    content = '{"text": "a", "label": 3}\n\n{"text": "b", "labels": ["x", "y"], "id": 9}\n'
    rows = _read(tmp_path / "a.jsonl", content)
    assert [(row.labels, row.row_id, row.line) for row in rows] == [(3, None, 1), (["x", "y"], 9, 3)]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (b'{"text": "a", ', "a.jsonl:2: not valid JSON"),
        (b'["a", 1]', "a.jsonl:2: expected a JSON object, found a list"),
        (b'{"label": 1}', "a.jsonl:2: no key 'text'; keys are label"),
        (b'{"text": "a\xff", "label": 1}', "a.jsonl:2: not valid UTF-8"),
        (b"[" * 100_000, "a.jsonl:2: not valid JSON"),
    ],
)
def test_jsonl_faults(tmp_path: Path, line: bytes, message: str) -> None:
    assert message in _refused(tmp_path / "a.jsonl", b'{"text": "ok", "label": 1}\n' + line + b"\n")


def test_parquet_with_names_in_the_schema(tmp_path: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    features = {"info": {"features": {"labels": {"feature": {"names": ["x", "y"]}}}}}
    schema = pa.schema(
        {"text": pa.string(), "labels": pa.list_(pa.int64())}, metadata={"huggingface": json.dumps(features)}
    )
    path = tmp_path / "a.parquet"
    pq.write_table(pa.table({"text": ["a", None], "labels": [[0], [0, 1]]}, schema=schema), path)
    rows = list(READERS["parquet"](path, None, PLAIN, BadRows("fail", 0.0)))
    assert [(row.text, row.labels, row.line) for row in rows] == [("a", [0], 1), (None, [0, 1], 2)]
    assert parquet_label_names(path, PLAIN) == ["x", "y"]


def test_parquet_that_is_none(tmp_path: Path) -> None:
    assert "a.parquet: cannot be read as Parquet" in _refused(tmp_path / "a.parquet", b"PAR1 no")
    with pytest.raises(DataError, match="cannot be read as Parquet"):
        parquet_label_names(tmp_path / "a.parquet", PLAIN)


def test_unreadable_file(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="cannot be read"):
        list(READERS["csv"](tmp_path, None, PLAIN, BadRows("fail", 0.0)))


def test_label_names(tmp_path: Path) -> None:
    path = tmp_path / "labels.txt"
    path.write_text("joy\nanger\nneutral")
    assert read_label_names(path) == ["joy", "anger", "neutral"]
    path.write_text("joy\n\nneutral\n")
    with pytest.raises(DataError, match=r"labels\.txt:2: a label name is empty"):
        read_label_names(path)
    path.write_text("joy\nanger\njoy\n")
    with pytest.raises(DataError, match=r"labels\.txt:3: label 'joy' stands twice"):
        read_label_names(path)
