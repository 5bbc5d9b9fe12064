"""Readers of sets without a header: `text;label` and `text<TAB>label` lines, and a folder of texts for each label."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from jobs.data.bad_rows import NOT_UTF8, BadRows
from jobs.data.raw import RawRow
from jobs.data.readers import BAD_BYTES, Columns, Reader, file_lines
from jobs.data.rows import SPLIT_NAMES, TEST, TRAIN
from jobs.errors import DataError

_FOLDERS = ("neg", "pos")


def read_last_delimiter(
    path: Path, split: int | None, columns: Columns, bad: BadRows, *, delimiter: str
) -> Iterator[RawRow]:
    """Read lines that hold a text and, after the last delimiter, its label; blank lines are passed over."""
    for number, line in enumerate(file_lines(path), start=1):
        line = line.removesuffix("\r")
        if not line.strip():
            continue
        if BAD_BYTES.search(line):
            bad.add(str(path), number, NOT_UTF8)
            continue
        text, found, label = line.rpartition(delimiter)
        if not found or not label.strip():
            bad.add(str(path), number, f"expected a text, {delimiter!r} and a label")
            continue
        labels = [part for part in label.split(",") if part.strip()] if columns.several_labels else label
        yield RawRow(text, labels, None, str(path), number, split)


def read_labelled_text(path: Path, split: int | None, columns: Columns, bad: BadRows) -> Iterator[RawRow]:
    """Read a file that is one text; the folder it lies in is its label."""
    try:
        text = path.read_bytes().decode("utf-8", errors="surrogateescape")
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror or error})") from error
    if BAD_BYTES.search(text):
        bad.add(str(path), 1, NOT_UTF8)
        return
    row_id = f"{SPLIT_NAMES[split or TRAIN]}/{path.parent.name}/{path.stem}"
    yield RawRow(text, path.parent.name, row_id, str(path), 1, split)


def is_aclimdb(folder: Path) -> bool:
    """True for the folder of the Large Movie Review data set: train and test with neg and pos."""
    return all((folder / part / label).is_dir() for part in ("train", "test") for label in _FOLDERS)


def aclimdb_files(folder: Path) -> list[tuple[Path, int | None]]:
    """Its texts with their split: train before test, neg before pos, by the number in front of the name.

    Raises:
        DataError: a folder is missing or empty.
    """
    found: list[tuple[Path, int | None]] = []
    for part, split in (("train", TRAIN), ("test", TEST)):
        for label in _FOLDERS:
            place = folder / part / label
            texts = sorted(place.glob("*.txt"), key=_by_number) if place.is_dir() else []
            if not texts:
                raise DataError(f"{place}: no texts (*.txt); the format aclimdb needs train and test with neg and pos")
            found += [(text, split) for text in texts]
    return found


def _by_number(path: Path) -> tuple[int, str]:
    number = re.match("[0-9]{1,12}", path.name)
    return int(number[0]) if number else -1, path.name


PLAIN_READERS: dict[str, Reader] = {
    "semicolon": partial(read_last_delimiter, delimiter=";"),
    "tab": partial(read_last_delimiter, delimiter="\t"),
    "aclimdb": read_labelled_text,
}
"""By the name of the format."""
