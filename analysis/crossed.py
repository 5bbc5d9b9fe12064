"""Means and differences over seeds and test rows: intervals and p-values that count both sources of variation.

Scores stand in a matrix of seeds x test rows, because all seeds of an arm are tested on the same rows. A mean over it
varies for two reasons, and more of the one does not cure the other: other seeds would train other models, other test
rows would be easier or harder. Both are estimated as in a two-way analysis of variance without replication (crossed
random effects):

    seed part  A = MS(seeds) / (S N)                        S - 1 degrees of freedom
    row part   B = max(MS(rows) - MS(residual), 0) / (S N)  N - 1 degrees of freedom

A + B estimates the variance of the mean without bias. The half width of an interval takes each part with a quantile of
its own,

    h^2 = t(S - 1)^2 A + t(N - 1)^2 B                       (Banerjee 1960)

which covers at least as often as it says for normal scores, whatever the two variances are. Satterthwaite's one
quantile for the sum covers 87 % to 90 % with two seeds, because a seed part that looks small by luck then also gets a
small quantile. docs/statistics.md has the simulations.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from scipy import special

from analysis.tails import normal, student_t

Numbers = NDArray[np.float64]

SHARE_PSEUDO_ROWS: Final = 0.25
"""Imagined rows that every seed gets right, and as many that every seed gets wrong: without them a column
without an error would have no variance. They count for the variance only, never for the mean."""
FEW_SEEDS: Final = 3
"""Up to here intervals are kept wide where there is doubt: the seeds themselves say too little."""
_REACH: Final = {3: 1.5}
"""How many half widths an interval of few seeds may reach from the mean, if not one. Near 0 and 1 seeds are skewed:
with one half width, three seeds of 2,000 rows cover 92 %."""
_ROUNDING: Final = 1.0 / 12.0
"""Rights are counted in whole rows, so seeds can agree by rounding alone; this is the variance of rounding."""


@dataclass(frozen=True, kw_only=True)
class Parts:
    """A mean and the two parts of its variance; every number may be an array over many matrices."""

    mean: Any
    seed_part: Any
    """A: what other seeds would change; 0 where there is one seed, from which nothing can be known about others."""
    row_part: Any
    """B: what other test rows would change."""
    residual: Any
    """Mean square of what is left of a score when seed and row are taken out; 0 with one seed or one row."""
    seeds: int
    rows: int

    @property
    def variance(self) -> Any:
        """Estimated variance of the mean."""
        return self.seed_part + self.row_part

    @property
    def seed_variance(self) -> Any:
        """Estimated variance between seeds of the mean over all possible rows (not below 0)."""
        return np.maximum(self.seed_part * self.seeds - self.residual / self.rows, 0.0)

    @property
    def row_variance(self) -> Any:
        """Estimated variance between rows of the mean over all possible seeds (with one seed: of its scores)."""
        return self.row_part * self.rows


def share_parts(rights: Any) -> Parts:
    """Split the variance of a share of rights: scores of 0 and 1, or between."""
    return parts(rights, pseudo_rows=SHARE_PSEUDO_ROWS, ends=(0.0, 1.0))


def difference_parts(differences: Any) -> Parts:
    """Split the variance of a difference of two shares on the same rows and seeds: scores of -1, 0 and 1, or between.

    Half an imagined row that only the one arm gets right, and half a one that only the other does, as Agresti and
    Min (2005) have it; with more than FEW_SEEDS seeds less, because a row's mean over the seeds then differs by less.
    """
    seeds = np.shape(differences)[-2]
    pseudo_rows = 0.5 if seeds <= FEW_SEEDS else 0.1 / seeds
    return parts(differences, pseudo_rows=pseudo_rows, ends=(-1.0, 1.0), rounding=_ROUNDING)


def parts(
    scores: Any, *, pseudo_rows: float = 0.0, ends: tuple[float, float] = (0.0, 1.0), rounding: float = 0.0
) -> Parts:
    """Split the variance of a mean over seeds and rows.

    Args:
        scores: [..., seeds, rows], finite; at least one seed and one row.
        pseudo_rows: weight of imagined rows at each of the two ends.
        ends: smallest and largest possible score; only used with pseudo_rows.
        rounding: variance, in squared rows, that the seeds' sums have at least.
    Returns:
        mean and parts, with the leading dimensions of scores.
    Raises:
        ValueError: no seed, no row, or a score that is not finite.
    Source:
        Searle, Casella and McCulloch 1992, Variance Components, chapter 4 (two-way crossed, no replication).
    """
    table = np.asarray(scores, dtype=np.float64)
    if table.ndim < 2 or 0 in table.shape[-2:]:
        raise ValueError("scores need at least one seed and one row")
    if not np.isfinite(table).all():
        raise ValueError("scores must be finite")
    seeds, rows = table.shape[-2:]
    row_means, seed_means = table.mean(axis=-2), table.mean(axis=-1)
    mean = seed_means.mean(axis=-1)
    seed_squares = rows * ((seed_means - mean[..., None]) ** 2).sum(axis=-1)
    row_squares = seeds * ((row_means - mean[..., None]) ** 2).sum(axis=-1)
    total = ((table - mean[..., None, None]) ** 2).sum(axis=(-2, -1))
    residual = np.maximum(total - seed_squares - row_squares, 0.0) / max((seeds - 1) * (rows - 1), 1)
    count = rows + 2 * pseudo_rows
    centre = (rows * mean + pseudo_rows * sum(ends)) / count
    imagined = pseudo_rows * sum((end - centre) ** 2 for end in ends)
    row_ms = (row_squares + seeds * (rows * (mean - centre) ** 2 + imagined)) / max(count - 1, 1)
    seed_ms = (seed_squares / max(seeds - 1, 1) + rounding / rows) * rows / count if seeds > 1 else np.zeros_like(mean)
    return Parts(
        mean=mean,
        seed_part=seed_ms / (seeds * count),
        row_part=np.maximum(row_ms - residual, 0.0) / (seeds * count),
        residual=residual,
        seeds=seeds,
        rows=rows,
    )


def with_hidden(found: Parts, variance: Any) -> Parts:
    """The same parts with variance between rows that the rows do not show (`analysis.row_scores.hidden_variance`).

    Args:
        found: parts of one mean or of many.
        variance: of the mean; one number, or one for each mean.
    Returns:
        parts whose row part is larger by it, where there is one seed; several seeds show enough of it themselves.
    """
    return replace(found, row_part=found.row_part + np.asarray(variance)) if found.seeds == 1 else found


def half_width(found: Parts, *, level: float = 0.95) -> Any:
    """Half the width of the interval around the mean.

    Args:
        found: parts of one mean or of many.
        level: coverage asked for, between 0 and 1.
    Returns:
        the half width; infinite where a single row cannot tell how rows vary.
    """
    return np.sqrt(_squared_half_width(found, 1.0 - level))


def _squared_half_width(found: Parts, alpha: Any) -> Any:
    squared = _quantile(alpha, found.rows - 1) ** 2 * found.row_part
    if found.seeds > 1:
        squared = squared + _quantile(alpha, found.seeds - 1) ** 2 * found.seed_part
    return np.where(found.rows > 1, squared, np.inf)


def _quantile(alpha: Any, freedom: int) -> Any:
    return student_t(np.asarray(alpha) / 2, max(freedom, 1))


def interval(found: Parts, *, level: float = 0.95) -> tuple[Any, Any]:
    """The interval mean +- half width, for scores without ends and for differences."""
    half = half_width(found, level=level)
    return found.mean - half, found.mean + half


def share_interval(found: Parts, *, level: float = 0.95) -> tuple[Any, Any]:
    """The interval of a mean of rights and wrongs, inside 0 to 1 and never empty.

    The half width says how many independent answers would vary as much; the interval is the one for so many answers:
    Wilson's, and with FEW_SEEDS or fewer the wider one of Agresti and Coull, with at most as many answers as there are
    (two seeds that differ by luck would else make it far wider than mean +- half width; it is cut there, with three
    seeds at 1.5 half widths, but not below what the rows alone leave open).

    Args:
        found: made by `share_parts`.
        level: coverage asked for.
    Returns:
        low and high, each with the shape of found.mean.
    """
    z2 = normal((1.0 - level) / 2) ** 2
    squared = _squared_half_width(found, 1.0 - level)
    centre = (found.mean * found.rows + SHARE_PSEUDO_ROWS) / (found.rows + 2 * SHARE_PSEUDO_ROWS)
    with np.errstate(divide="ignore"):
        answers = z2 * centre * (1.0 - centre) / squared
    if found.seeds > FEW_SEEDS:
        low, high = _wilson(centre, answers, z2)
    else:
        low, high = _agresti_coull(centre, np.minimum(answers, found.seeds * found.rows), z2)
        least_low, least_high = _agresti_coull(found.mean, np.asarray(float(found.rows)), z2)
        reach = _REACH.get(found.seeds, 1.0) * np.sqrt(squared)
        low = np.maximum(low, np.minimum(least_low, found.mean - reach))
        high = np.minimum(high, np.maximum(least_high, found.mean + reach))
    return np.clip(np.minimum(low, found.mean), 0.0, 1.0), np.clip(np.maximum(high, found.mean), 0.0, 1.0)


def _wilson(share: Any, answers: Any, z2: float) -> tuple[Any, Any]:
    centre = (share * answers + z2 / 2) / (answers + z2)
    half = np.sqrt(z2 * (answers * share * (1.0 - share) + z2 / 4)) / (answers + z2)
    return centre - half, centre + half


def _agresti_coull(share: Any, answers: Any, z2: float) -> tuple[Any, Any]:
    centre = (share * answers + z2 / 2) / (answers + z2)
    half = np.sqrt(z2 * centre * (1.0 - centre) / (answers + z2))
    return centre - half, centre + half


def p_value(found: Parts, *, null: float = 0.0) -> Any:
    """The smallest alpha whose interval leaves out the null: two-sided, in agreement with `interval`.

    Args:
        found: parts of a difference.
        null: the mean under the null hypothesis.
    Returns:
        p between 0 and 1; 1 where a single row decides nothing; 0 or 1 where nothing varies at all.
    """
    distance = np.abs(np.asarray(found.mean, dtype=np.float64) - null)
    if found.rows < 2:
        return np.ones(distance.shape)
    with np.errstate(divide="ignore", invalid="ignore"):
        error = np.where(distance > 0, distance / np.sqrt(found.variance), 0.0)
    least = 2.0 * special.stdtr(max(found.seeds, found.rows) - 1, -error)
    if found.seeds == 1:
        return least
    # Each part has a quantile of its own, so p lies between what either would say of the whole variance.
    most = 2.0 * special.stdtr(min(found.seeds, found.rows) - 1, -error)
    low, high = np.log(np.maximum(least, 1e-300)) - 1e-6, np.log(np.maximum(most, 1e-300)) + 1e-6
    for _ in range(34):  # halving log p
        middle = (low + high) / 2
        reaches = _squared_half_width(found, np.exp(middle)) <= distance**2
        low, high = np.where(reaches, low, middle), np.where(reaches, middle, high)
    return np.where(distance == 0, 1.0, np.minimum(np.exp(high), 1.0))


def stacked(found: Sequence[Parts]) -> Parts:
    """Many parts of the same numbers of seeds and rows as one with arrays."""
    return Parts(
        mean=np.array([one.mean for one in found]),
        seed_part=np.array([one.seed_part for one in found]),
        row_part=np.array([one.row_part for one in found]),
        residual=np.array([one.residual for one in found]),
        seeds=found[0].seeds,
        rows=found[0].rows,
    )


def unstacked(found: Parts) -> list[Parts]:
    """The parts of each table of a batch."""
    columns = [np.atleast_1d(part) for part in (found.mean, found.seed_part, found.row_part, found.residual)]
    return [
        Parts(mean=mean, seed_part=seed, row_part=row, residual=residual, seeds=found.seeds, rows=found.rows)
        for mean, seed, row, residual in zip(*columns, strict=True)
    ]
