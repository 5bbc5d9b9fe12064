"""The numbers of five published experiments, analysed as our own are.

published_results.csv holds facts only: settings and results that Motaharfar (goemotions-balanced), Chung, Elidrissi,
Tan and a public notebook printed, one run an arm; its column `source` names the file each number stands in.
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import resources
from typing import Final

import numpy as np
import pandas as pd

from analysis.answers import AxisEffect, axis_effects, combined
from analysis.arms import Covers, Estimate, Point
from analysis.crossed import share_interval, share_parts
from analysis.paired import adjusted
from analysis.tails import fisher

BALANCED: Final = "goemotions-balanced"
LARGE_MODELS: Final = ("Qwen/Qwen2.5-1.5B", "meta-llama/Llama-3.2-1B", "openai-community/gpt2-xl")
SMALL_MODEL: Final = "google-bert/bert-base-uncased"
_ARM_AXES: Final = ("model", "strategy")
_COLUMN_AXES: Final = ("dataset", "protocol", "num_labels", "num_samples")


@dataclass(frozen=True, kw_only=True)
class PublishedCell:
    """One published cell of goemotions-balanced: how many of its test rows were right."""

    model: str
    num_labels: int
    num_samples: int
    correct: int
    rows: int


@dataclass(frozen=True, kw_only=True)
class CountTest:
    """Two published cells of one column, compared as two counts: their single rows were not published."""

    first: PublishedCell
    second: PublishedCell
    p: float
    p_holm: float


@functools.cache
def published() -> pd.DataFrame:
    """Every published number, one a row: experiment, model, strategy, metric, value, n_eval, source and more."""
    with resources.files("analysis").joinpath("published_results.csv").open(encoding="utf-8") as file:
        return pd.read_csv(file, keep_default_na=False, na_values={"num_labels": [""], "num_samples": [""]})


def published_cells(*, baselines: bool = False) -> tuple[PublishedCell, ...]:
    """The 48 cells of goemotions-balanced, or the 24 of the cheap baselines on the same test rows."""
    table = published()
    chosen = table[
        (table["experiment"] == BALANCED)
        & (table["metric"] == "n_correct")
        & ((table["strategy"] == "baseline") == baselines)
    ]
    return tuple(
        PublishedCell(
            model=str(row.model),
            num_labels=int(row.num_labels),
            num_samples=int(row.num_samples),
            correct=int(float(row.value)),
            rows=int(float(row.n_eval)),
        )
        for row in chosen.itertuples(index=False)
    )


def published_estimates(*, level: float = 0.95) -> tuple[Estimate, ...]:
    """The 48 cells as estimates: one seed, an interval over test rows, no single predictions."""
    return tuple(_estimate(cell, level) for cell in published_cells())


def _estimate(cell: PublishedCell, level: float) -> Estimate:
    parts = share_parts(np.arange(cell.rows)[None, :] < cell.correct)
    low, high = share_interval(parts, level=level)
    return Estimate(
        arm=Point(axes=_ARM_AXES, values=(cell.model, "qlora")),
        column=Point(axes=_COLUMN_AXES, values=("go_emotions", "replay", cell.num_labels, cell.num_samples)),
        is_baseline=False,
        metric="accuracy",
        mean=cell.correct / cell.rows,
        low=float(low),
        high=float(high),
        level=level,
        covers=Covers.ROWS,
        reason="",
        sd=None,
        seeds=(42,),
        rows=cell.rows,
        declared=1,
        failed=0,
        not_run=0,
        undefined=0,
        marked=0,
        cells=(),
        parts=parts,
    )


def published_tests(models: Sequence[str] | None = None) -> tuple[CountTest, ...]:
    """Fisher's exact test for every pair of models in every column.

    Args:
        models: which models; None: all four.
    Returns:
        one test a pair and column, adjusted by Holm over all of them.
    """
    cells = [cell for cell in published_cells() if models is None or cell.model in models]
    pairs = [
        (first, second)
        for first, second in itertools.combinations(cells, 2)
        if (first.num_labels, first.num_samples) == (second.num_labels, second.num_samples)
    ]
    p_values = [fisher(_counts(first), _counts(second)) for first, second in pairs]
    holm = adjusted(p_values, "holm")
    return tuple(
        CountTest(first=first, second=second, p=p, p_holm=float(corrected))
        for (first, second), p, corrected in zip(pairs, p_values, holm, strict=True)
    )


def _counts(cell: PublishedCell) -> tuple[int, int]:
    return cell.correct, cell.rows - cell.correct


def published_size_effects() -> tuple[AxisEffect, ...]:
    """The 16 rows of the published table (model by label count), over rows for training."""
    return axis_effects(published_estimates(), "num_samples")


def pooled() -> dict[str, tuple[int, int]]:
    """Right answers and test rows of each model over its 12 cells."""
    totals: dict[str, tuple[int, int]] = {}
    for cell in published_cells():
        correct, rows = totals.get(cell.model, (0, 0))
        totals[cell.model] = (correct + cell.correct, rows + cell.rows)
    return totals


def against_published(found: Sequence[Estimate]) -> pd.DataFrame:
    """Our cells beside the published ones with the same model, label count and rows for training.

    The test rows are the same only under the protocol `replay`; the column `same_rows` says so.

    Args:
        found: estimates of accuracy.
    Returns:
        one row a pair: ours and theirs with intervals, difference (ours minus theirs) with its interval.
    """
    theirs = {_place(one): one for one in published_estimates()}
    rows = []
    for ours in found:
        other = theirs.get(_place(ours))
        change = None if other is None else combined(other, ours)
        if other is not None and change is not None:
            rows.append(
                {
                    "arm": ours.arm.title,
                    "num_labels": ours.column["num_labels"],
                    "num_samples": ours.column["num_samples"],
                    "ours": ours.mean,
                    "ours_low": ours.low,
                    "ours_high": ours.high,
                    "theirs": other.mean,
                    "theirs_low": other.low,
                    "theirs_high": other.high,
                    "difference": change.difference,
                    "low": change.low,
                    "high": change.high,
                    "same_rows": ours.column["protocol"] == "replay",
                }
            )
    return pd.DataFrame(rows, dtype=object)


def _place(one: Estimate) -> tuple[str, str, object, object]:
    return family(one.arm["model"]), str(one.arm["strategy"]), one.column["num_labels"], one.column["num_samples"]


def family(model: str | None) -> str:
    """The name of a model without its owner, in lower case: `meta-llama/Llama-3.2-1B` and `llama-3.2-1b` are one."""
    return (model or "").rsplit("/", 1)[-1].lower()


def last_printed(experiment: str, strategy: str, metric: str) -> float:
    """The last number that was printed for the test rows of a published arm."""
    return float(_test_numbers(experiment, strategy, metric).iloc[-1]["value"])


def printed_counts(experiment: str, strategy: str, metric: str) -> tuple[int, int]:
    """Right answers and test rows behind the last printed share of a published arm."""
    last = _test_numbers(experiment, strategy, metric).iloc[-1]
    rows = int(float(last["n_eval"]))
    return round(float(last["value"]) * rows), rows


def _test_numbers(experiment: str, strategy: str, metric: str) -> pd.DataFrame:
    table = published()
    chosen = table[(table["experiment"] == experiment) & (table["strategy"] == strategy) & (table["split"] == "test")]
    return chosen[chosen["metric"] == metric]
