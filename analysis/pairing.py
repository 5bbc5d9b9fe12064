"""Two arms on the seeds and test rows that both have: their differences, row by row."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from analysis.arms import Estimate
from analysis.crossed import Parts, difference_parts, unstacked, with_hidden
from analysis.predictions import Answers, common_rows


@dataclass(frozen=True, kw_only=True)
class Paired:
    """Two arms on their shared seeds and rows."""

    parts: Parts
    first_mean: float
    second_mean: float
    disagreements: tuple[int, int] | None
    """Answers that only the first, and only the second, got right; None where rows have more than right and wrong."""
    rows_alone: Parts
    """Parts of the mean over the seeds, as if these seeds were all there are."""


def pair_up(first: Answers, second: Answers) -> Paired | None:
    """The differences of two arms on the seeds and rows that both have.

    None without any, where these rows have other labels for the one than for the other, and for scores that are no mean
    over rows unless both were tested on the very same ones.
    """
    seeds = [seed for seed in first.seeds if seed in second.seeds]
    rows = first.row_ids if first.row_ids == second.row_ids else common_rows([first.row_ids, second.row_ids])
    has_part = len(rows) < max(len(first.row_ids), len(second.row_ids))
    if not seeds or not rows or (has_part and not first.is_row_mean) or not first.has_truth_of(second, rows):
        return None
    hidden = first.hidden_on(seeds) + second.hidden_on(seeds)
    return _pair_many(first.on(seeds, rows), second.on(seeds, rows)[None], [hidden])[0]


def _pair_many(first: NDArray[Any], others: NDArray[Any], hidden: Sequence[float]) -> list[Paired]:
    """One arm [seeds, rows] against many [arms, seeds, rows], with the variance that the rows do not show [arms]."""
    is_binary = first.dtype == np.bool_
    differences = first.astype(np.int8) - others.astype(np.int8) if is_binary else first - others
    only_first, only_second = (differences > 0).sum(axis=(1, 2)), (differences < 0).sum(axis=(1, 2))
    parts = unstacked(with_hidden(difference_parts(differences), hidden))
    rows_alone = unstacked(difference_parts(differences.mean(axis=1, keepdims=True))) if len(first) > 1 else parts
    return [
        Paired(
            parts=parts[index],
            first_mean=float(first.mean()),
            second_mean=float(other.mean()),
            disagreements=(int(only_first[index]), int(only_second[index])) if is_binary else None,
            rows_alone=rows_alone[index],
        )
        for index, other in enumerate(others)
    ]


def pair_all(pairs: Sequence[tuple[Estimate, Estimate]]) -> list[Paired | None]:
    """Every pair; those of one arm with others on the very same seeds and rows are worked out together."""
    found: list[Paired | None] = []
    for _, group in itertools.groupby(pairs, key=lambda pair: id(pair[0])):
        same = list(group)
        first = same[0][0].answers
        others = [second.answers for _, second in same]
        alike = [o is not None and first is not None and _is_alike(first, o) for o in others]
        together = [o for o, is_alike in zip(others, alike, strict=True) if o is not None and is_alike]
        done = iter(_pair_with(first, together) if first is not None and together else [])
        for other, is_alike in zip(others, alike, strict=True):
            if is_alike:
                found.append(next(done))
            else:
                found.append(None if first is None or other is None else pair_up(first, other))
    return found


def _pair_with(first: Answers, others: Sequence[Answers]) -> list[Paired]:
    hidden = [first.hidden_on(first.seeds) + other.hidden_on(other.seeds) for other in others]
    return _pair_many(first.scores, np.stack([other.scores for other in others]), hidden)


def _is_alike(first: Answers, second: Answers) -> bool:
    return first.seeds == second.seeds and first.truth is second.truth and first.row_ids == second.row_ids
