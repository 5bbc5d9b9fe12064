"""Where each arm stands in its column: highest, not told from the highest, or below it, and on what evidence."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from enum import StrEnum
from typing import Any

from analysis.answers import BestArm
from analysis.comparing import Comparison

Place = tuple[Any, Any]
"""Keys of an arm and of a column."""


class Standing(StrEnum):
    """What may be said of an arm beside the highest of its column."""

    BEST = "highest of all arms on the same data"
    TIED = "cannot be told from the highest of all arms on the same data"
    MODELS = "below the highest as these trained models are; the seeds are too few to say it of the arms"
    WORSE = "shown to be below the highest of all arms on the same data"


def standings(best: Iterable[BestArm], compared: Iterable[Comparison]) -> dict[Place, Standing]:
    """The standing of every arm with a number.

    Args:
        best: the best arm of every column with its rivals.
        compared: the comparisons they rest on.
    Returns:
        one entry an arm and column.
    """
    by_pair = {(one.column.key, frozenset((one.first.key, one.second.key))): one for one in compared}
    found: dict[Place, Standing] = {}
    for top in best:
        for arm in (top.best, *top.even):
            found[arm.key, top.column.key] = Standing.BEST
        for rival in (one for one in top.rivals if one not in top.even):
            one = by_pair.get((top.column.key, frozenset((top.best.key, rival.key))))
            is_below = one is not None and one.tells_models and one.favours(top.best)
            found[rival.key, top.column.key] = Standing.MODELS if is_below else Standing.TIED
        for arm in top.worse:
            found[arm.key, top.column.key] = Standing.WORSE
    return found


def tied_with_best(top: BestArm, found: Mapping[Place, Standing]) -> int:
    """How many arms cannot be told from the best of a column, not even as trained models."""
    return sum(found[rival.key, top.column.key] is not Standing.MODELS for rival in top.rivals)
