"""Local data sets: which files belong together, and what identifies them."""

from __future__ import annotations

from pathlib import Path

import pytest

from jobs.data.files import files_fingerprint, find_files, read_files
from jobs.data.rows import TEST, TRAIN, VALIDATION
from jobs.errors import DataError
from jobs.spec import DataSpec

CSV = "text,label\na {0},joy\nb {0},anger\n"


def _folder(root: Path, *names: str) -> Path:
    for name in names:
        (root / name).write_text(CSV.format(name))
    return root


def _names(root: Path, format_name: str = "auto") -> list[tuple[str, int | None]]:
    return [(path.name, split) for path, split in find_files(str(root), format_name).files]


@pytest.mark.parametrize("word", ["dev", "validation", "valid", "val"])
def test_a_folder_with_splits(tmp_path: Path, word: str) -> None:
    _folder(tmp_path, "test.csv", f"{word}.csv", "train.csv", "README.md")
    assert _names(tmp_path) == [("train.csv", TRAIN), (f"{word}.csv", VALIDATION), ("test.csv", TEST)]


def test_shards_in_order(tmp_path: Path) -> None:
    _folder(tmp_path, "train-00001-of-00002.csv", "train-00000-of-00002.csv", "test-00000-of-00001.csv")
    assert [name for name, _ in _names(tmp_path)] == [
        "train-00000-of-00002.csv",
        "train-00001-of-00002.csv",
        "test-00000-of-00001.csv",
    ]


def test_a_single_file_has_no_splits(tmp_path: Path) -> None:
    _folder(tmp_path, "everything.csv")
    assert _names(tmp_path) == _names(tmp_path / "everything.csv") == [("everything.csv", None)]
    corpus = read_files(DataSpec(source="files", path=str(tmp_path)))
    assert corpus.splits is None
    assert corpus.row_ids == ("row-0", "row-1")


def test_a_folder_with_splits_is_read_as_one_corpus(tmp_path: Path) -> None:
    _folder(tmp_path, "train.csv", "test.csv")
    corpus = read_files(DataSpec(source="files", path=str(tmp_path)))
    assert corpus.row_ids == ("train-0", "train-1", "test-0", "test-1")
    assert corpus.splits is not None and corpus.splits.tolist() == [TRAIN, TRAIN, TEST, TEST]


@pytest.mark.parametrize(
    ("names", "message"),
    [
        ((), "expected train, dev and test files"),
        (("one.csv", "two.csv"), "found one.csv, two.csv"),
        (("train.csv", "test.tsv"), "files of several formats"),
    ],
)
def test_folders_that_cannot_be_understood(tmp_path: Path, names: tuple[str, ...], message: str) -> None:
    with pytest.raises(DataError, match=message):
        find_files(str(_folder(tmp_path, *names)), "auto")


def test_a_declared_format_chooses_among_files(tmp_path: Path) -> None:
    _folder(tmp_path, "train.csv", "test.csv", "train.jsonl")
    assert [name for name, _ in _names(tmp_path, "csv")] == ["train.csv", "test.csv"]


@pytest.mark.parametrize("path", ["", "/no/such/place", "/dev/null"])
def test_missing_path(path: str) -> None:
    with pytest.raises(DataError, match="no such file or folder"):
        find_files(path, "auto")


def test_unknown_suffix(tmp_path: Path) -> None:
    _folder(tmp_path, "rows.xlsx")
    with pytest.raises(DataError, match=r"unknown format '.xlsx'; set dataset.format"):
        find_files(str(tmp_path / "rows.xlsx"), "auto")
    assert find_files(str(tmp_path / "rows.xlsx"), "csv").format == "csv"


def test_goemotions_is_recognised_by_labels_and_content(tmp_path: Path) -> None:
    (tmp_path / "train.tsv").write_text("hello\t0,1\tid1\nthere\t1\tid2\n")
    with pytest.raises(DataError, match=r"needs labels\.txt"):
        find_files(str(tmp_path), "goemotions")
    assert find_files(str(tmp_path), "auto").format == "tsv"
    (tmp_path / "labels.txt").write_text("joy\nanger")
    assert find_files(str(tmp_path), "auto").format == "goemotions"
    corpus = read_files(DataSpec(source="files", path=str(tmp_path)))
    assert corpus.label_names == ("joy", "anger")
    assert corpus.single_label.tolist() == [-1, 1]
    (tmp_path / "train.tsv").write_text("text\tlabel\nhello\tjoy\n")
    assert find_files(str(tmp_path), "auto").format == "tsv"


def test_the_fingerprint_covers_names_bytes_and_labels(tmp_path: Path) -> None:
    _folder(tmp_path, "train.csv", "test.csv", "README.md")
    first = files_fingerprint(str(tmp_path), "auto")
    (tmp_path / "README.md").write_text("other")
    assert files_fingerprint(str(tmp_path), "auto") == first
    (tmp_path / "labels.txt").write_text("joy\nanger\n")
    second = files_fingerprint(str(tmp_path), "auto")
    (tmp_path / "train.csv").write_text(CSV.format("changed"))
    third = files_fingerprint(str(tmp_path), "auto")
    (tmp_path / "test.csv").rename(tmp_path / "dev.csv")
    assert len({first, second, third, files_fingerprint(str(tmp_path), "auto")}) == 4


def test_hostile_folder_names(tmp_path: Path) -> None:
    folder = tmp_path / "a b'\"\n*[x]"
    folder.mkdir()
    _folder(folder, "train.csv")
    assert len(read_files(DataSpec(source="files", path=str(folder)))) == 2


def test_text_files_are_lines_of_text_and_label_where_there_are_no_others(tmp_path: Path) -> None:
    for name in ("train.txt", "test.txt", "readme.txt"):
        (tmp_path / name).write_text("so good;joy\nso bad;anger\n", "utf-8")
    found = find_files(str(tmp_path), "auto")
    assert found.format == "semicolon" and [path.name for path, _ in found.files] == ["train.txt", "test.txt"]
    assert find_files(str(tmp_path / "train.txt"), "auto").format == "semicolon"
    (tmp_path / "train.csv").write_text(CSV, "utf-8")
    assert find_files(str(tmp_path), "auto").format == "csv"


def test_a_file_without_header_is_told_of_formats_without_one(tmp_path: Path) -> None:
    (tmp_path / "all.tsv").write_text("so good\t1\nso bad\t0\n", "utf-8")
    with pytest.raises(DataError, match=r"without a header line, dataset.format \(tab, goemotions\)"):
        read_files(DataSpec(source="files", path=str(tmp_path)))
