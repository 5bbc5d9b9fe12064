"""What a cell has to do: rows, steps, evaluations, tokens; what only the data know is guessed, and said so."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from grid.known_data import KNOWN_DATA, KnownData
from jobs.spec import CellSpec, DataSpec

TYPICAL_TOKENS: Final = 24
"""Tokens of a short comment; GoEmotions has 12 words on average."""
UNKNOWN_ROWS: Final = 40_000
UNKNOWN_LABELS: Final = 28


@dataclass(frozen=True, kw_only=True)
class Rows:
    """How many rows a cell sees, and how long their texts are."""

    train: int
    validation: int
    test: int
    lengths: tuple[int, ...] = (TYPICAL_TOKENS,)
    """Tokens of texts as the model sees them, evenly spaced from the shortest to the longest."""
    guesses: tuple[str, ...] = ()
    """What of this is not known, as a person reads it."""

    @property
    def tokens(self) -> float:
        """Tokens of a text, on average."""
        return sum(self.lengths) / len(self.lengths)

    @property
    def long_tokens(self) -> int:
        """Tokens of a long text: few are longer, and hardly ever do several of those share a step."""
        return self.lengths[max(0, len(self.lengths) - 2)]


RowsOf = Callable[[CellSpec], Rows]


@dataclass(frozen=True, kw_only=True)
class Size:
    """What a cell has to do."""

    rows: float
    """Training rows, over all epochs."""
    steps: float
    """Optimiser steps."""
    evaluated: float
    """Rows of all evaluations between steps."""
    tested: float
    """Rows of the evaluation at the end."""

    def features(self, made: float) -> tuple[float, float, float, float]:
        """Rows, steps, evaluated rows and one, when only a share of the steps is made."""
        return self.rows * made, self.steps * made, self.evaluated * made + self.tested, 1.0


def size_of(cell: CellSpec, rows: Rows | None = None) -> Size:
    """What a cell has to do, as declared: without early stopping.

    Args:
        cell: any cell.
        rows: of the cell; None: guessed.
    """
    rows = rows or guessed_rows(cell)
    steps = training_steps(cell, rows)
    return Size(
        rows=float(rows.train * cell.recipe.epochs),
        steps=float(steps),
        evaluated=float(num_evaluations(cell, rows) * rows.validation),
        tested=float(rows.test if cell.candidate is None else 0),
    )


def guessed_rows(cell: CellSpec) -> Rows:
    """Rows of a cell as its declaration says; where the data themselves decide, a guess that is named."""
    data, known = cell.data, known_data(cell.data)
    tokens = TYPICAL_TOKENS if known is None else known.tokens
    unknown = f"texts of {name_of(data)} are taken for {TYPICAL_TOKENS} tokens long"
    return Rows(
        train=training_rows(data),
        validation=validation_rows(data),
        test=tested_rows(data),
        lengths=(min(tokens, cell.recipe.max_length),),
        guesses=(*size_guesses(data), *([unknown] if known is None else [])),
    )


def known_data(data: DataSpec) -> KnownData | None:
    """What is known of a data set before it is fetched; None: nothing."""
    return KNOWN_DATA.get(data.id or "") if data.source == "hub" else None


def size_guesses(data: DataSpec) -> tuple[str, ...]:
    """Sizes that only the data themselves know, and what is taken for them."""
    if data.source == "builtin" or is_sized(data) or known_data(data) is not None:
        return ()
    return (f"rows of {name_of(data)} are taken for {UNKNOWN_ROWS:,}",)


def is_sized(data: DataSpec) -> bool:
    """True when the declaration alone says how many rows a cell has."""
    is_counted = data.num_samples is not None and data.num_labels is not None
    return is_counted and data.protocol == "nested" and not data.augment


def name_of(data: DataSpec) -> str:
    """A data set as people know it."""
    return data.id or data.path.rpartition("/")[2] or f"the {data.source} corpus"


def training_rows(data: DataSpec) -> int:
    """Training rows of a cell; a guess where the data's own size decides."""
    labels = data.num_labels or UNKNOWN_LABELS
    if data.num_samples is None:
        known = known_data(data)
        if known is not None:
            return known.train - (0 if known.validation else known.train // 10)  # a tenth is held back
        return int(data.rows * 0.8) if data.source == "builtin" else UNKNOWN_ROWS
    return data.num_samples * labels if data.num_samples_per == "label" else data.num_samples


def training_steps(cell: CellSpec, rows: Rows | None = None) -> int:
    """Optimiser steps of a cell without early stopping."""
    rows_a_step = cell.recipe.batch_size * cell.recipe.gradient_accumulation
    trained = training_rows(cell.data) if rows is None else rows.train
    return math.ceil(trained / rows_a_step) * cell.recipe.epochs


def num_evaluations(cell: CellSpec, rows: Rows | None = None) -> int:
    """Evaluations on validation rows of a cell without early stopping; the last step always ends with one."""
    every, steps = cell.recipe.eval_every, training_steps(cell, rows)
    return math.ceil(steps / every) if every else cell.recipe.epochs


def validation_rows(data: DataSpec) -> int:
    """Validation rows of a cell; a guess where the data's own splits decide."""
    known = known_data(data)
    if data.validation == "test":
        return 0
    if known is not None and data.protocol == "official":
        return known.validation or known.train // 10
    return _held_out_rows(data, data.validation_per_label)


def tested_rows(data: DataSpec) -> int:
    """Test rows of a cell; a guess where the data's own splits decide."""
    known = known_data(data)
    if known is not None and data.protocol == "official":
        return known.test or known.train // 10
    return _held_out_rows(data, data.test_per_label)


def _held_out_rows(data: DataSpec, per_label: int) -> int:
    if data.protocol == "official":
        return (data.rows if data.source == "builtin" else UNKNOWN_ROWS) // 10
    return per_label * (data.num_labels or UNKNOWN_LABELS)


def distinct_texts(cells: Sequence[CellSpec], rows_of: RowsOf) -> float:
    """Texts that cells see together: label sets and training sets nest, held-out rows are shared by sizes and seeds."""
    trained: dict[int, dict[int, float]] = {}
    held_out: dict[int, int] = {}
    for cell in cells:
        rows, labels = rows_of(cell), cell.data.num_labels or UNKNOWN_LABELS
        each = trained.setdefault(cell.seed, {})
        each[labels] = max(each.get(labels, 0.0), rows.train / labels)
        held_out[labels] = rows.validation + rows.test
    return sum(map(_nested, trained.values())) + max(held_out.values(), default=0)


def _nested(rows_a_label: dict[int, float]) -> float:
    """Rows of nested label sets: of every label the most that any set with it has."""
    total, covered = 0.0, 0
    for labels in sorted(rows_a_label):
        most = max(each for other, each in rows_a_label.items() if other >= labels)
        total, covered = total + (labels - covered) * most, labels
    return total
