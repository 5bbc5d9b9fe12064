"""Reading once per process, fingerprints, and files that changed behind our back."""

from __future__ import annotations

import dataclasses
import os
from pathlib import Path

import pytest

from jobs.data import builtin, fingerprint, read_rows
from jobs.errors import DataError
from jobs.spec import DataSpec

CSV = "text,label\na,joy\nb,anger\n"


@pytest.fixture
def spec(tmp_path: Path) -> DataSpec:
    (tmp_path / "rows.csv").write_text(CSV)
    return DataSpec(source="files", path=str(tmp_path / "rows.csv"))


def test_rows_are_read_once(spec: DataSpec) -> None:
    corpus = read_rows(spec)
    assert read_rows(spec) is corpus
    assert read_rows(dataclasses.replace(spec, num_labels=2, num_samples=7, protocol="official")) is corpus
    assert read_rows(dataclasses.replace(spec, bad_rows="drop")) is not corpus


def test_changed_files_are_read_again(spec: DataSpec) -> None:
    first = read_rows(spec)
    Path(spec.path).write_text(CSV + "c,joy\n")
    assert len(first) == 2
    assert len(read_rows(spec)) == 3


def test_files_other_than_declared_are_refused(spec: DataSpec) -> None:
    declared = dataclasses.replace(spec, revision=fingerprint(spec))
    assert len(read_rows(declared)) == 2
    Path(spec.path).write_text(CSV.replace("anger", "grief"))
    os.utime(spec.path, ns=(1, 1))
    with pytest.raises(DataError, match="the files have changed since the run was declared"):
        read_rows(declared)


def test_fingerprints(spec: DataSpec) -> None:
    assert fingerprint(DataSpec(source="builtin", rows=100)) == f"{builtin.VERSION}-rows-100"
    assert fingerprint(DataSpec(source="hub", id="a/b")) is None
    assert fingerprint(DataSpec(source="hub", id="a/b", revision="main")) is None
    assert fingerprint(DataSpec(source="hub", id="a/b", revision="0" * 40)) == "0" * 40
    first = fingerprint(spec)
    assert first is not None and len(first) == 64
    with pytest.raises(DataError, match="no such file"):
        fingerprint(dataclasses.replace(spec, path="/no/such/file.csv"))


@pytest.mark.parametrize("rows", [0, 2_000_000])
def test_builtin_size_is_checked(rows: int) -> None:
    with pytest.raises(DataError, match=r"dataset\.rows must be 1 to 1,000,000"):
        read_rows(DataSpec(source="builtin", rows=rows))


def test_builtin_version_is_checked() -> None:
    spec = DataSpec(source="builtin", rows=50)
    for revision in (None, builtin.VERSION, fingerprint(spec)):
        assert len(read_rows(dataclasses.replace(spec, revision=revision))) == 50
    with pytest.raises(DataError, match="but builtin-0 was declared"):
        read_rows(dataclasses.replace(spec, revision="builtin-0"))
