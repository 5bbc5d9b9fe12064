"""The numbers that a report and its figures rest on: which metric, its estimates, and which pairs are compared."""

from __future__ import annotations

import operator
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from analysis.arms import Estimate
from analysis.comparing import Comparison, compare
from analysis.loading import Results
from analysis.style import metric_style

SPLIT: Final = "test"
MOST_PAIRS: Final = 20_000
PREFERRED: Final = ("accuracy", "f1_macro")


def main_metric(results: Results, select_on: str | None) -> str:
    """The metric of a report: what the recipe selects on, else accuracy, else macro F1, if the store has it."""
    names = results.names(SPLIT)
    wanted = [select_on] if select_on is not None else []
    for name in (*wanted, *PREFERRED, *sorted(names)):
        style = metric_style(name)
        if name in names and style.is_share and style.better == "higher" and _is_there(results, name):
            return str(name)
    return PREFERRED[0]


def _is_there(results: Results, name: str) -> bool:
    """Whether any cell has this number of all its test rows."""
    table = results.numbers(name, SPLIT)
    return bool((table["value"].notna() & (table["label"].fillna("") == "")).any())


def briefly_named(found: Sequence[Estimate]) -> tuple[Estimate, ...]:
    """The same estimates; a dataset or protocol that all columns share is not repeated in every sentence."""
    shared = [axis for axis in ("dataset", "protocol") if len({one.column[axis] for one in found}) == 1]
    return tuple(replace(one, column=one.column.without(*shared)) for one in found)


def compared_pairs(found: Sequence[Estimate]) -> tuple[tuple[Comparison, ...], str]:
    """All pairs of every column, or, when they are too many, those that the declaration sets side by side.

    Args:
        found: estimates of one metric.
    Returns:
        the comparisons, and a note that says which were left out; empty when none was.
    """
    if not any(one.answers is not None for one in found):
        return (), ""
    sizes = Counter(one.column.key for one in found)
    pairs = sum(size * (size - 1) // 2 for size in sizes.values())
    if pairs <= MOST_PAIRS:
        return compare(found), ""
    note = (
        f"{pairs:,} pairs of arms are more than this page compares ({MOST_PAIRS:,}). Compared are arms that differ in "
        "one setting, and arms with baselines; which pairs these are does not depend on any score. An arm that was not "
        "compared with the best of its column counts as not told from it."
    )
    return compare(found, keep=_is_declared_pair), note


def _is_declared_pair(first: Estimate, second: Estimate) -> bool:
    if first.is_baseline or second.is_baseline:
        return True
    return bool(sum(map(operator.ne, first.arm.key, second.arm.key)) == 1)
