"""The words of the data package: corpus, split, prepared data, facts."""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

TRAIN, VALIDATION, TEST = 0, 1, 2
SPLIT_NAMES = ("train", "validation", "test")

_UNSEEN = re.compile("[\xad\u034f\u061c\u180e\u200b-\u200f\u202a-\u202e\u2060-\u206f\ufeff]")
"""Soft hyphens, joiners, spaces of no width, direction marks, byte order marks."""

Int64 = NDArray[np.int64]
Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]


def no_counts() -> Mapping[str, int]:
    """An empty, read-only mapping of counts."""
    return MappingProxyType({})


@dataclass(frozen=True, eq=False, kw_only=True)
class Corpus:
    """Validated rows of one data set, in their original order; compared by identity."""

    name: str
    """For messages: hub id, path, or `builtin`."""
    texts: tuple[str, ...]
    row_ids: tuple[str, ...]
    """Unique within the corpus."""
    label_names: tuple[str, ...]
    """Position is the label id."""
    label_offsets: Int64
    """Row i carries label_ids[label_offsets[i]:label_offsets[i + 1]]; length rows + 1."""
    label_ids: Int64
    splits: NDArray[np.int8] | None = None
    """The data set's own split of each row (TRAIN, VALIDATION, TEST); None: it has none."""
    counts: Mapping[str, int] = field(default_factory=no_counts)
    """What was dropped, replaced or remarkable while reading."""
    marks: tuple[str, ...] = ()
    """Departures from the declaration that reading made."""

    def __len__(self) -> int:
        """Number of rows."""
        return len(self.texts)

    @cached_property
    def num_labels_of_row(self) -> Int64:
        """How many labels each row carries."""
        return np.diff(self.label_offsets)

    @cached_property
    def single_label(self) -> Int64:
        """The label of each row that has exactly one, else -1."""
        labels = np.full(len(self), -1, dtype=np.int64)
        is_single = self.num_labels_of_row == 1
        labels[is_single] = self.label_ids[self.label_offsets[:-1][is_single]]
        return labels

    @cached_property
    def single_label_counts(self) -> Int64:
        """Rows with exactly one label, per label id."""
        labels = self.single_label
        return np.bincount(labels[labels >= 0], minlength=len(self.label_names)).astype(np.int64)

    @cached_property
    def any_label_counts(self) -> Int64:
        """Rows that carry the label, alone or with others, per label id."""
        return np.bincount(self.label_ids, minlength=len(self.label_names)).astype(np.int64)

    @cached_property
    def text_keys(self) -> NDArray[np.uint64]:
        """64-bit hash of each text with case, spacing and compatibility forms levelled: equal texts, equal keys.

        They decide the order in which rows are drawn, so that a draw depends on the texts alone: not on row
        order, file format, or a library's random generator.
        """
        digests = b"".join(_digest(text) for text in self.texts)
        return np.frombuffer(digests, dtype="<u8").astype(np.uint64)

    @cached_property
    def twin_keys(self) -> NDArray[np.uint64]:
        """The same without characters that show nothing: texts that look equal have equal keys.

        They find duplicates and leaks. Orders keep keys of their own, because draws of earlier stores must stay.
        """
        return np.array([text_key(text) for text in self.texts], dtype=np.uint64)

    def has_label(self, label: int) -> Bools:
        """Which rows carry a label."""
        rows = np.zeros(len(self), dtype=np.bool_)
        rows[self.row_of_label_id[self.label_ids == label]] = True
        return rows

    @cached_property
    def row_of_label_id(self) -> Int64:
        """The row to which each entry of label_ids belongs."""
        return np.repeat(np.arange(len(self), dtype=np.int64), self.num_labels_of_row)


def levelled(text: str) -> bytes:
    """The form in which two texts count as the same: case, spacing and compatibility characters levelled."""
    plain = text if text.isascii() else unicodedata.normalize("NFKC", text)
    return " ".join(plain.casefold().split()).encode("utf-8")


def text_key(text: str) -> int:
    """One of `Corpus.twin_keys`, of any text."""
    return int.from_bytes(_digest(text if text.isascii() else _UNSEEN.sub("", text)), "little")


def _digest(text: str) -> bytes:
    return hashlib.blake2b(levelled(text), digest_size=8).digest()


@dataclass(frozen=True, eq=False, kw_only=True)
class Split:
    """Rows of one split, in order."""

    texts: tuple[str, ...]
    labels: NDArray[np.int64] | NDArray[np.uint8]
    """int64 [rows] (single_label) or uint8 [rows, labels] (multi_label); read-only."""
    row_ids: tuple[str, ...]

    def __len__(self) -> int:
        """Number of rows."""
        return len(self.texts)


@dataclass(frozen=True, eq=False, kw_only=True)
class PreparedData:
    """Everything a cell needs to know about its rows."""

    label_names: tuple[str, ...]
    """Position is the class index."""
    train: Split
    validation: Split
    test: Split
    hashes: Mapping[str, str]
    """train, validation, test: sha256 over row ids, texts and label names."""
    counts: Mapping[str, int]
    """rows_read, bad_rows_dropped, texts_*, duplicates_dropped, overlap_dropped, ..."""
    marks: tuple[str, ...]
    """Departures from the declaration."""


@dataclass(frozen=True, eq=False, kw_only=True)
class DataFacts:
    """What a data set can supply, for checks before a run."""

    label_counts: Mapping[str, int]
    """Rows for training per label (after duplicates and fixed splits are taken), in the order in which labels nest."""
    num_rows: int
    limits: tuple[int, ...]
    """Position k: the largest total num_samples with k labels; 0 where k labels are impossible."""
    counts: Mapping[str, int] = field(default_factory=no_counts)

    @property
    def max_labels(self) -> int:
        """The largest number of labels that leaves at least one training row a label; 0: none."""
        return max((k for k, limit in enumerate(self.limits) if limit > 0), default=0)

    def max_samples(self, num_labels: int) -> int:
        """The largest total num_samples with this many labels; 0 when so many labels are impossible."""
        return self.limits[num_labels] if 0 <= num_labels < len(self.limits) else 0


def split_hash(split: Split, label_names: Sequence[str]) -> str:
    """sha256 over (row id, text, label names) of every row, in order."""
    digest = hashlib.sha256()
    encoded = [name.encode() for name in label_names]
    for row_id, text, label in zip(split.row_ids, split.texts, split.labels, strict=True):
        names = [encoded[label]] if split.labels.ndim == 1 else [encoded[i] for i in np.flatnonzero(label)]
        # Lengths in front keep ("ab", "c") and ("a", "bc") apart.
        fields = [row_id.encode(), text.encode(), *names]
        digest.update(b"%d|" % len(names) + b"".join(b"%d:%s" % (len(part), part) for part in fields))
    return digest.hexdigest()
