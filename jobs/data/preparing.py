"""From a data spec and a seed to the rows of one cell, and the checks that say beforehand whether that works."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

import numpy as np

from jobs.data.augmenting import Augmented, augmented
from jobs.data.loading import read_rows
from jobs.data.protocols import PROTOCOLS
from jobs.data.rows import Corpus, DataFacts, Int64, PreparedData, Split, split_hash
from jobs.errors import BugError, DataError, Problem
from jobs.spec import DataSpec

_LEGAL = {
    "source": ("hub", "files", "builtin"),
    "task": ("single_label", "multi_label"),
    "protocol": tuple(PROTOCOLS),
    "num_samples_per": ("total", "label"),
    "bad_rows": ("fail", "drop"),
    "overlap": ("refuse", "drop"),
    "validation": ("own", "test"),
}


def prepare(spec: DataSpec, *, seed: int, cache: Path | None = None) -> PreparedData:
    """Choose the rows of one cell.

    Args:
        spec: source, protocol, labels and sizes.
        seed: decides which training rows are drawn (protocols nested and official).
        cache: folder where rows of the hub are kept between processes.

    Returns:
        splits with hashes, counts and marks; the same for the same spec, seed and rows, on every machine.

    Raises:
        DataError: the data cannot supply what is asked for; one line a fault.
        EnvironmentProblem: the hub refuses or cannot be reached.
        TransientProblem: the hub is busy or failing.
    """
    corpus, problems = _read_and_check(spec, cache)
    if corpus is None or problems:
        raise DataError("\n".join(str(problem) for problem in problems))
    selection = PROTOCOLS[spec.protocol].select(corpus, spec, seed)
    is_multi = spec.task == "multi_label"
    if spec.protocol != "replay":
        validation = selection.validation if spec.validation == "own" else selection.test[:0]
        _refuse_overlap(corpus, selection.train, validation, selection.test)
    hashed = {
        name: _hashed_split(corpus, selection.labels, is_multi, rows.tobytes())
        for name, rows in (("train", selection.train), ("validation", selection.validation), ("test", selection.test))
    }
    names = tuple(corpus.label_names[label] for label in selection.labels)
    more = Augmented(train=hashed["train"][0])
    if spec.augment:
        used = np.concatenate([selection.train, selection.validation, selection.test])
        taken = set(corpus.twin_keys[used].tolist())
        more = augmented(more.train, spec, seed=seed, num_labels=len(names), taken=taken)
        hashed["train"] = more.train, split_hash(more.train, names)
    return PreparedData(
        label_names=names,
        train=more.train,
        validation=hashed["validation"][0],
        test=hashed["test"][0],
        hashes={name: digest for name, (_, digest) in hashed.items()},
        counts={**corpus.counts, **selection.counts, **more.counts},
        marks=corpus.marks + selection.marks + more.marks,
    )


def facts(spec: DataSpec, *, cache: Path | None = None) -> DataFacts:
    """Say what a data set can supply under its protocol.

    Args:
        spec: its num_labels and num_samples are ignored.
        cache: folder where rows of the hub are kept between processes.

    Raises:
        DataError: the rows cannot be read, or an option has no such value.
        EnvironmentProblem: the hub refuses or cannot be reached.
        TransientProblem: the hub is busy or failing.
    """
    if problems := _option_problems(spec):
        raise DataError("\n".join(str(problem) for problem in problems))
    return PROTOCOLS[spec.protocol].facts(read_rows(spec, cache=cache), spec)


def check(spec: DataSpec, *, cache: Path | None = None) -> list[Problem]:
    """List everything that keeps `prepare` from working, without raising for faults of the data.

    Raises:
        EnvironmentProblem: the hub refuses or cannot be reached.
        TransientProblem: the hub is busy or failing.
    """
    return _read_and_check(spec, cache)[1]


def _read_and_check(spec: DataSpec, cache: Path | None) -> tuple[Corpus | None, list[Problem]]:
    if problems := _option_problems(spec):
        return None, problems
    try:
        corpus = read_rows(spec, cache=cache)
    except DataError as error:
        return None, [Problem("dataset", line) for line in str(error).split("\n")]
    return corpus, PROTOCOLS[spec.protocol].problems(corpus, spec)


def _option_problems(spec: DataSpec) -> list[Problem]:
    problems = []
    for name, legal in _LEGAL.items():
        value = getattr(spec, name)
        if value not in legal:
            problems.append(Problem(f"dataset.{name}", f"one of {', '.join(legal)}", str(value)))
    for name in ("test_per_label", "validation_per_label"):
        if getattr(spec, name) < 1:
            problems.append(Problem(f"dataset.{name}", "at least 1", str(getattr(spec, name))))
    return problems


def _refuse_overlap(corpus: Corpus, train: Int64, validation: Int64, test: Int64) -> None:
    keys = corpus.twin_keys
    held_out = np.concatenate([keys[validation], keys[test]])
    if np.isin(keys[train], held_out).any() or np.isin(keys[validation], keys[test]).any():
        raise BugError(f"{corpus.name}: a text stands in two splits after selection")


@lru_cache(maxsize=128)
def _hashed_split(corpus: Corpus, labels: tuple[int, ...], is_multi: bool, rows_bytes: bytes) -> tuple[Split, str]:
    """A split with its hash; test and validation rows are shared by many cells, so the last ones are kept."""
    rows = np.frombuffer(rows_bytes, dtype=np.int64)
    names = [corpus.label_names[label] for label in labels]
    class_of = np.full(len(corpus.label_names), -1, dtype=np.int64)
    class_of[list(labels)] = np.arange(len(labels))
    encoded = _label_matrix(corpus, class_of, len(labels), rows) if is_multi else class_of[corpus.single_label[rows]]
    encoded.flags.writeable = False
    split = Split(
        texts=tuple(corpus.texts[row] for row in rows),
        labels=encoded,
        row_ids=tuple(corpus.row_ids[row] for row in rows),
    )
    return split, split_hash(split, names)


def _label_matrix(
    corpus: Corpus, class_of: Int64, num_labels: int, rows: Int64
) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    matrix = np.zeros((len(rows), num_labels), dtype=np.uint8)
    for place, row in enumerate(rows):
        carried = class_of[corpus.label_ids[corpus.label_offsets[row] : corpus.label_offsets[row + 1]]]
        matrix[place, carried[carried >= 0]] = 1
    return matrix
