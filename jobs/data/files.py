"""Local data sets: one file, or a folder with a file (or shards) for each split."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path

from jobs.data.bad_rows import BadRows
from jobs.data.plain_readers import PLAIN_READERS, aclimdb_files, is_aclimdb
from jobs.data.raw import RawRow, assemble
from jobs.data.readers import (
    READERS,
    Columns,
    looks_like_goemotions,
    parquet_label_names,
    read_label_names,
)
from jobs.data.rows import TEST, TRAIN, VALIDATION, Corpus
from jobs.errors import DataError
from jobs.spec import DataSpec

SPLIT_OF_NAME = {
    "train": TRAIN,
    "training": TRAIN,
    "dev": VALIDATION,
    "val": VALIDATION,
    "valid": VALIDATION,
    "validation": VALIDATION,
    "test": TEST,
}
_FORMAT_OF_SUFFIX = {".csv": "csv", ".tsv": "tsv", ".jsonl": "jsonl", ".ndjson": "jsonl", ".parquet": "parquet"}
_PLAIN_SUFFIX = ".txt"
"""Of files that are read as `text;label` where there are no others: any text may have this suffix."""
_READERS = READERS | PLAIN_READERS
_SUFFIX_OF_FORMAT = {"goemotions": ".tsv", "semicolon": ".txt", "tab": ".tsv"}
_LABEL_FILES = ("labels.txt", "emotions.txt")


@dataclass(frozen=True, kw_only=True)
class FileSet:
    """The files of one data set."""

    format: str
    files: tuple[tuple[Path, int | None], ...]
    """Data files with their split, in reading order: train, validation, test; shards by name."""
    labels_file: Path | None


def find_files(path: str, format_name: str) -> FileSet:
    """Decide which files make up a data set.

    Args:
        path: a file, or a folder with `train`, `dev` (or `validation`, `valid`) and `test` files, or with one file.
        format_name: auto | csv | tsv | jsonl | parquet | goemotions | semicolon | tab | aclimdb.

    Raises:
        DataError: nothing there, or more than one reading of the folder is possible.
    """
    root = Path(path)
    if not path or not (root.is_file() or root.is_dir()):
        raise DataError(f"{path or 'dataset.path'}: no such file or folder")
    if format_name == "aclimdb" or (format_name == "auto" and is_aclimdb(root)):
        return FileSet(format="aclimdb", files=tuple(aclimdb_files(root)), labels_file=None)
    files = ((root, None),) if root.is_file() else tuple(_split_files(root, format_name))
    folder = root if root.is_dir() else root.parent
    labels_file = next((folder / name for name in _LABEL_FILES if (folder / name).is_file()), None)
    first = files[0][0]
    found = (_FORMAT_OF_SUFFIX | {_PLAIN_SUFFIX: "semicolon"}).get(first.suffix.lower())
    if format_name != "auto":
        found = format_name
    elif found == "tsv" and labels_file is not None and looks_like_goemotions(first):
        found = "goemotions"
    if found not in _READERS:
        raise DataError(f"{first}: unknown format {first.suffix!r}; set dataset.format to one of {', '.join(_READERS)}")
    if found == "goemotions" and labels_file is None:
        raise DataError(f"{folder}: the GoEmotions format needs labels.txt beside the data (one name a line)")
    return FileSet(format=found, files=files, labels_file=labels_file)


def read_files(spec: DataSpec) -> Corpus:
    """Read and check a local data set.

    Raises:
        DataError: unreadable, malformed or unusable; names file and line.
    """
    found = find_files(spec.path, spec.format)
    columns = Columns(
        text=spec.text_column,
        label=spec.label_column,
        several_labels=spec.task == "multi_label",
        one_hot=spec.label_columns,
    )
    names = list(spec.label_columns) or None
    if names is None and found.labels_file is not None:
        names = read_label_names(found.labels_file)
    if names is None and found.format == "parquet":
        names = parquet_label_names(found.files[0][0], columns)
    bad = BadRows(spec.bad_rows, spec.max_bad_fraction)
    return assemble(spec.path, _rows(found, columns, bad), names, bad)


def files_fingerprint(path: str, format_name: str) -> str:
    """sha256 over names and bytes of every file that is read.

    Raises:
        DataError: nothing there, or unreadable.
    """
    found = find_files(path, format_name)
    digest = hashlib.sha256()
    for file in [*(file for file, _ in found.files), *([found.labels_file] if found.labels_file else [])]:
        try:
            with file.open("rb") as handle:
                content = hashlib.file_digest(handle, "sha256").hexdigest()
        except OSError as error:
            raise DataError(f"{file}: cannot be read ({error.strerror or error})") from error
        name = f"{file.parent.name}/{file.name}" if found.format == "aclimdb" else file.name
        digest.update(f"{len(name)}:{name}{content}".encode())
    return digest.hexdigest()


def files_signature(path: str, format_name: str) -> tuple[tuple[str, int, int], ...]:
    """Names, sizes and times of the files: changes when they may have changed, without reading them."""
    found = find_files(path, format_name)
    files = [*(file for file, _ in found.files), *([found.labels_file] if found.labels_file else [])]
    stats = ((file, file.stat()) for file in files)
    return tuple((str(file), stat.st_size, stat.st_mtime_ns) for file, stat in stats)


def _rows(found: FileSet, columns: Columns, bad: BadRows) -> Iterator[RawRow]:
    for file, split in found.files:
        yield from _READERS[found.format](file, split, columns, bad)


def _split_files(folder: Path, format_name: str) -> list[tuple[Path, int | None]]:
    """Data files of a folder with their splits."""
    suffixes = set(_FORMAT_OF_SUFFIX)
    if format_name != "auto":
        suffixes = {suffix for suffix, name in _FORMAT_OF_SUFFIX.items() if name == format_name}
        suffixes |= {_SUFFIX_OF_FORMAT[format_name]} if format_name in _SUFFIX_OF_FORMAT else set()
    data = _files_in(folder, suffixes)
    if not data and format_name == "auto":
        data = [file for file in _files_in(folder, {_PLAIN_SUFFIX}) if _split_of(file) is not None]
    named = [(file, split) for file in data if (split := _split_of(file)) is not None]
    if not named and len(data) == 1:
        return [(data[0], None)]
    if not named:
        wanted = ", ".join(sorted(suffixes))
        seen = ", ".join(file.name for file in data[:10]) or "none"
        raise DataError(f"{folder}: expected train, dev and test files ({wanted}) or one file; found {seen}")
    if len({file.suffix.lower() for file, _ in named}) > 1:
        kinds = ", ".join(file.name for file, _ in named[:10])
        raise DataError(f"{folder}: files of several formats ({kinds}); set dataset.format to choose one")
    return [
        (file, split) for wanted_split in (TRAIN, VALIDATION, TEST) for file, split in named if split == wanted_split
    ]


def _files_in(folder: Path, suffixes: Collection[str]) -> list[Path]:
    try:
        return sorted(file for file in folder.iterdir() if file.suffix.lower() in suffixes and file.is_file())
    except OSError as error:
        raise DataError(f"{folder}: cannot be read ({error.strerror or error})") from error


def _split_of(file: Path) -> int | None:
    """`train.csv`, `dev-part1.csv`, `test-00000-of-00002.parquet`: the word in front names the split."""
    word = re.split("[-_.]", file.name.lower(), maxsplit=1)[0]
    return SPLIT_OF_NAME.get(word)
