"""The texts to be explained: lines of a file, or test rows of a finished cell."""

from __future__ import annotations

import hashlib
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from jobs.data import prepare
from jobs.data.texts import checked_text
from jobs.errors import UserError
from jobs.spec import CellSpec

MOST_TEXTS = 1000
"""One text takes up to seconds for every cell and label."""


@dataclass(frozen=True, kw_only=True)
class Text:
    """One text."""

    row_id: str
    text: str
    labels: frozenset[str] | None = None
    """The true ones; None: not known."""

    @property
    def sha256(self) -> str:
        """Hash of the text."""
        return hashlib.sha256(self.text.encode("utf-8")).hexdigest()


def texts_in(path: Path) -> list[Text]:
    """Read one text a line; blank lines are passed over.

    Args:
        path: UTF-8; row ids are `line-1`, ...
    Raises:
        UserError: unreadable, no text in it, or too many.
    """
    try:
        lines = path.read_text("utf-8-sig").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"--texts {path}: cannot be read as UTF-8 text ({error})") from error
    numbered = ((number, checked_text(line.rstrip("\r"), Counter())) for number, line in enumerate(lines, start=1))
    found = [Text(row_id=f"line-{number}", text=text) for number, text in numbered if text is not None]
    if not 1 <= len(found) <= MOST_TEXTS:
        raise UserError(f"--texts {path}: holds {len(found):,} texts; 1 to {MOST_TEXTS:,} are expected, one a line")
    return found


def rows_of_test_set(cell: CellSpec, count: int, cache: Path) -> list[Text]:
    """Test rows of a cell, spread evenly over its test set.

    Args:
        cell: a finished one.
        count: how many; all when there are fewer.
        cache: FineGrid's cache folder.
    Raises:
        DataError, EnvironmentProblem, TransientProblem: the rows cannot be read again.
    """
    data = prepare(cell.data, seed=cell.seed, cache=cache)
    test = data.test
    places = np.unique(np.linspace(0, len(test) - 1, min(count, len(test))).round().astype(int))
    return [
        Text(row_id=test.row_ids[row], text=test.texts[row], labels=_names(data.label_names, test.labels[row]))
        for row in places.tolist()
    ]


def _names(label_names: tuple[str, ...], label: np.ndarray | np.integer) -> frozenset[str]:
    if np.ndim(label) == 0:
        return frozenset([label_names[int(label)]])
    return frozenset(label_names[index] for index in np.flatnonzero(label))
