"""More training rows for rare labels: altered copies of their own rows, the same on every machine.

A copy keeps all labels of its row. It never repeats a text of any split, and never touches validation or test rows.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from jobs.data.mixing import uniforms
from jobs.data.rows import Floats, Split, levelled, no_counts, text_key
from jobs.spec import DataSpec

Operation = Callable[[list[str], float, Floats], list[str]]
"""Words, share of them to change, random numbers in [0, 1) (twice as many as words); gives the altered words."""

_TRIES = 8
"""Draws for one copy until its text is a new one."""


def _drop_words(words: list[str], share: float, draws: Floats) -> list[str]:
    """Leave out each word with a probability, at least one and not all."""
    own = draws[: len(words)]
    is_dropped = own < share
    order = own.argsort(kind="stable")
    is_dropped[order[0]], is_dropped[order[-1]] = True, False
    return [word for word, dropped in zip(words, is_dropped, strict=True) if not dropped]


def _swap_words(words: list[str], share: float, draws: Floats) -> list[str]:
    """Exchange two words, as often as the share of words says, at least once."""
    swapped = list(words)
    for swap in range(max(1, round(share * len(words)))):
        one = int(draws[2 * swap] * len(words))
        other = int(draws[2 * swap + 1] * (len(words) - 1))
        other += other >= one
        swapped[one], swapped[other] = swapped[other], swapped[one]
    return swapped


def _repeat_words(words: list[str], share: float, draws: Floats) -> list[str]:
    """Say each word twice with a probability, at least one."""
    own = draws[: len(words)]
    is_repeated = own < share
    is_repeated[own.argmin()] = True
    return [said for word, twice in zip(words, is_repeated, strict=True) for said in [word] * (1 + bool(twice))]


OPERATIONS: Mapping[str, Operation] = {
    "drop_words": _drop_words,
    "swap_words": _swap_words,
    "repeat_words": _repeat_words,
}
"""By the names that `dataset.augment` may list. Wei, Zou (2019), "EDA: easy data augmentation techniques"."""


@dataclass(frozen=True, kw_only=True)
class Augmented:
    """Training rows with copies at their end."""

    train: Split
    counts: Mapping[str, int] = field(default_factory=no_counts)
    marks: tuple[str, ...] = ()


@dataclass(kw_only=True)
class _Copies:
    """Copies made so far."""

    spec: DataSpec
    seed: int
    train: Split
    taken: set[int]
    """Keys of all texts that a copy must not repeat."""
    texts: list[str] = field(default_factory=list)
    rows: list[int] = field(default_factory=list)
    """The row that each copy is made of."""
    num_of_row: Counter[int] = field(default_factory=Counter)
    """Copies made, or tried in vain."""

    def add(self, row: int) -> bool:
        """Make the next copy of a row; False when none of the draws gives a new text."""
        self.num_of_row[row] += 1
        words = self.train.texts[row].split()
        if len(words) < 2:
            return False
        for attempt in range(_TRIES):
            text = self._altered(words, self.num_of_row[row], attempt)
            key = text_key(text)
            if key not in self.taken:
                self.taken.add(key)
                self.texts.append(text)
                self.rows.append(row)
                return True
        return False

    def _altered(self, words: list[str], copy: int, attempt: int) -> str:
        # Keyed by the text, like every other draw of rows: the file's order and format do not matter.
        named = b"%d|%d|%d|%s" % (self.seed, copy, attempt, levelled(" ".join(words)))
        key = int.from_bytes(hashlib.blake2b(named, digest_size=8).digest(), "little")
        draws = uniforms(np.arange(2 * len(words) + 1, dtype=np.uint64), key)
        name = self.spec.augment[int(draws[0] * len(self.spec.augment))]
        return " ".join(OPERATIONS[name](words, self.spec.augment_share, draws[1:]))


def augmented(train: Split, spec: DataSpec, *, seed: int, num_labels: int, taken: Collection[int]) -> Augmented:
    """Fill up the labels that have fewer than `augment_to` training rows.

    Args:
        train: rows as chosen.
        spec: `augment`, `augment_to`, `augment_copies` and `augment_share` matter.
        seed: of the cell.
        num_labels: classes.
        taken: keys of all texts of all splits.
    Returns:
        the rows, then copies label by label, rarest first, each row of a label once before any twice; what was
        added and what is missing.
    """
    has_label = _membership(train, num_labels)
    copies = _Copies(spec=spec, seed=seed, train=train, taken=set(taken))
    wanted, counts = spec.augment_to or 0, has_label.sum(axis=0)
    num_filled = 0
    for label in np.argsort(counts, kind="stable").tolist():
        num_filled += bool(counts[label] < wanted)
        for row in _turns(np.flatnonzero(has_label[:, label]).tolist(), copies.num_of_row, spec.augment_copies):
            if counts[label] >= wanted:
                break
            if copies.add(row):
                counts += has_label[row]
    missing = int(np.maximum(wanted - counts, 0).sum())
    found = {"augmented_rows": len(copies.rows), "augmented_labels": num_filled, "augment_rows_missing": missing}
    marks = (f"augmented rows that are missing to augment_to: {missing}",) if missing else ()
    return Augmented(train=_with_copies(train, copies), counts={k: v for k, v in found.items() if v}, marks=marks)


def _turns(rows: Sequence[int], num_of_row: Mapping[int, int], most: int) -> list[int]:
    """Rows in the order in which copies are made of them: those with the fewest so far first."""
    made = {row: num_of_row[row] for row in rows}
    return [row for copy in range(most) for row in rows if made[row] <= copy]


def _membership(train: Split, num_labels: int) -> np.ndarray:
    """[rows, labels]: 1 where a row carries a label."""
    if train.labels.ndim == 2:
        return train.labels.astype(np.int64)
    return np.eye(num_labels, dtype=np.int64)[train.labels]


def _with_copies(train: Split, copies: _Copies) -> Split:
    number: Counter[int] = Counter()
    row_ids = []
    for row in copies.rows:
        number[row] += 1
        row_ids.append(f"{train.row_ids[row]}~{number[row]}")
    labels = np.concatenate([train.labels, train.labels[np.array(copies.rows, dtype=np.int64)]])
    labels.flags.writeable = False
    return Split(texts=(*train.texts, *copies.texts), labels=labels, row_ids=(*train.row_ids, *row_ids))
