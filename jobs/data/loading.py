"""From a declared data set to a corpus that stays in memory for the life of the process."""

from __future__ import annotations

import threading
from collections import OrderedDict
from pathlib import Path

from jobs.data import builtin
from jobs.data.files import files_fingerprint, files_signature, read_files
from jobs.data.hub import is_commit, read_hub
from jobs.data.rows import Corpus
from jobs.data.shaping import is_shaped, shape_of, shaped, unshaped
from jobs.errors import DataError
from jobs.spec import DataSpec

_KEPT = 4
_LOCK = threading.Lock()
_CORPORA: OrderedDict[tuple[object, ...], Corpus] = OrderedDict()
_FINGERPRINTS: dict[tuple[object, ...], str] = {}


def read_rows(spec: DataSpec, *, cache: Path | None = None) -> Corpus:
    """Read and check the rows of a data set, once for each process.

    Args:
        spec: only what says where the rows are and how to read them matters.
        cache: folder where rows of the hub are kept.

    Raises:
        DataError: the rows cannot be used, or files are not those that were declared.
        EnvironmentProblem: the hub refuses or cannot be reached.
        TransientProblem: the hub is busy or failing.
    """
    with _LOCK:
        return _kept(spec, cache)


def _kept(spec: DataSpec, cache: Path | None) -> Corpus:
    key = (*_key(spec), *shape_of(spec))
    if key not in _CORPORA:
        _CORPORA[key] = shaped(_kept(unshaped(spec), cache), spec) if is_shaped(spec) else _read(spec, cache)
        if len(_CORPORA) > _KEPT:
            _CORPORA.popitem(last=False)
    _CORPORA.move_to_end(key)
    return _CORPORA[key]


def fingerprint(spec: DataSpec) -> str | None:
    """What identifies the rows themselves.

    Returns:
        files: sha256 of names and bytes; built-in: generator version and number of rows; hub: the pinned
        commit, or None while it is not resolved.

    Raises:
        DataError: files that cannot be read.
    """
    if spec.source == "builtin":
        return f"{builtin.VERSION}-rows-{spec.rows}"
    if spec.source == "hub":
        return spec.revision if is_commit(spec.revision) else None
    signature = files_signature(spec.path, spec.format)
    if signature not in _FINGERPRINTS:
        _FINGERPRINTS[signature] = files_fingerprint(spec.path, spec.format)
    return _FINGERPRINTS[signature]


def _key(spec: DataSpec) -> tuple[object, ...]:
    if spec.source == "builtin":
        return ("builtin", spec.revision, spec.rows)
    reading = (spec.text_column, spec.label_column, spec.bad_rows, spec.max_bad_fraction, spec.label_columns)
    if spec.source == "hub":
        return ("hub", spec.id, spec.subset, spec.revision, *reading)
    is_multi = spec.task == "multi_label"
    return ("files", spec.revision, spec.format, is_multi, files_signature(spec.path, spec.format), *reading)


def _read(spec: DataSpec, cache: Path | None) -> Corpus:
    if spec.source == "hub":
        return read_hub(spec, cache)
    if spec.source == "builtin":
        return _read_builtin(spec)
    found = fingerprint(spec)
    if spec.revision is not None and spec.revision != found:
        raise DataError(
            f"{spec.path}: the files have changed since the run was declared (sha256 {str(found)[:12]}…, declared"
            f" {spec.revision[:12]}…); restore them, or declare a grid of another name"
        )
    return read_files(spec)


def _read_builtin(spec: DataSpec) -> Corpus:
    if spec.revision not in (None, builtin.VERSION, fingerprint(spec)):
        raise DataError(
            f"the built-in corpus is {builtin.VERSION}, but {spec.revision} was declared: install that version"
        )
    if not 1 <= spec.rows <= builtin.MAX_ROWS:
        raise DataError(f"dataset.rows must be 1 to {builtin.MAX_ROWS:,}, not {spec.rows:,}")
    return builtin.corpus(spec.rows)
