"""The numbers of five published experiments, analysed as our own are, and which of their claims hold.

published_results.csv holds facts only: settings and results that Motaharfar (goemotions-balanced), Chung, Elidrissi,
Tan and a public notebook printed, one run an arm; its column `source` names the file each number stands in.
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from importlib import resources
from typing import Final

import numpy as np
import pandas as pd
from scipy import stats

from analysis.answers import AxisEffect, axis_effects, combined
from analysis.arms import Covers, Estimate, Point
from analysis.comparing import ALPHA, Comparison, Verdict
from analysis.crossed import share_interval, share_parts
from analysis.paired import adjusted

BALANCED: Final = "goemotions-balanced"
LARGE_MODELS: Final = ("Qwen/Qwen2.5-1.5B", "meta-llama/Llama-3.2-1B", "openai-community/gpt2-xl")
SMALL_MODEL: Final = "google-bert/bert-base-uncased"
_ARM_AXES: Final = ("model", "strategy")
_COLUMN_AXES: Final = ("dataset", "protocol", "num_labels", "num_samples")


class Holds(StrEnum):
    """What numbers say about a claim."""

    YES = "holds"
    NO = "does not hold"
    NOT_SHOWN = "not shown"
    NOT_TESTED = "not tested here"


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


@dataclass(frozen=True, kw_only=True)
class Claim:
    """A published claim, what its own numbers say about it, and what ours say."""

    experiment: str
    statement: str
    on_theirs: Holds
    theirs: str
    on_ours: Holds
    ours: str


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
    p_values = [float(stats.fisher_exact([_counts(first), _counts(second)]).pvalue) for first, second in pairs]
    holm = adjusted(p_values, "holm")
    return tuple(
        CountTest(first=first, second=second, p=p, p_holm=float(corrected))
        for (first, second), p, corrected in zip(pairs, p_values, holm, strict=True)
    )


def _counts(cell: PublishedCell) -> list[int]:
    return [cell.correct, cell.rows - cell.correct]


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


def claims(found: Sequence[Estimate] = (), compared: Sequence[Comparison] = ()) -> tuple[Claim, ...]:
    """Which published claims hold on their numbers and on ours.

    Args:
        found: our estimates of accuracy.
        compared: our comparisons.
    Returns:
        one entry a claim; what our grid does not contain is "not tested here".
    """
    return (
        _larger_are_best(compared),
        _larger_beat_small(compared),
        _rows_always_help(found),
        _lora_equals_full("emotion-bert-strategies", "LoRA matches full fine-tuning (emotion)", compared),
        _lora_equals_full("imdb-distilbert", "LoRA is comparable to full fine-tuning (IMDB)", compared),
    )


def _larger_are_best(compared: Sequence[Comparison]) -> Claim:
    tests = published_tests(LARGE_MODELS)
    reached = sum(test.p < ALPHA for test in tests)
    totals = ", ".join(f"{family(model)} {right}/{rows}" for model, (right, rows) in pooled().items())
    ours = _between(compared, [family(m) for m in LARGE_MODELS[:2]], [family(LARGE_MODELS[2])])
    return Claim(
        experiment=BALANCED,
        statement="Llama and Qwen are the best models",
        on_theirs=Holds.YES if reached == len(tests) else Holds.NOT_SHOWN,
        theirs=f"{reached} of {len(tests)} comparisons between the large models reach p < {ALPHA:g}; pooled: {totals}",
        on_ours=_all_first(ours),
        ours=_summary(ours),
    )


def _larger_beat_small(compared: Sequence[Comparison]) -> Claim:
    tests = [test for test in published_tests() if SMALL_MODEL in (test.first.model, test.second.model)]
    reached = sum(test.p < ALPHA for test in tests)
    corrected = sum(test.p_holm < ALPHA for test in tests)
    ours = _between(compared, [family(m) for m in LARGE_MODELS], [family(SMALL_MODEL)])
    return Claim(
        experiment=BALANCED,
        statement="The large models are better than BERT",
        on_theirs=Holds.YES if corrected == len(tests) else Holds.NOT_SHOWN,
        theirs=f"{reached} of {len(tests)} comparisons reach p < {ALPHA:g}, {corrected} after Holm's correction",
        on_ours=_all_first(ours),
        ours=_summary(ours),
    )


def _rows_always_help(found: Sequence[Estimate]) -> Claim:
    theirs = published_size_effects()
    ours = [one for one in axis_effects(found, "num_samples") if one.arm["model"] is not None]
    return Claim(
        experiment=BALANCED,
        statement="More rows for training always help",
        on_theirs=_monotone(theirs),
        theirs=_monotone_text(theirs),
        on_ours=_monotone(ours),
        ours=_monotone_text(ours) if ours else "no arm has two sizes",
    )


def _monotone(effects: Sequence[AxisEffect]) -> Holds:
    if not effects:
        return Holds.NOT_TESTED
    if any(one.shown_reversals for one in effects):
        return Holds.NO
    return Holds.YES if all(one.is_monotone for one in effects) else Holds.NOT_SHOWN


def _monotone_text(effects: Sequence[AxisEffect]) -> str:
    falling = sum(not one.is_monotone for one in effects)
    shown = sum(bool(one.shown_reversals) for one in effects)
    return f"{falling} of {len(effects)} rows are not monotone; in {shown} of them a fall is shown by its interval"


def _lora_equals_full(experiment: str, statement: str, compared: Sequence[Comparison]) -> Claim:
    counts = {arm: _final_counts(experiment, arm) for arm in ("full", "lora")}
    p = float(stats.fisher_exact([[right, rows - right] for right, rows in counts.values()]).pvalue)
    (full, rows), (lora, _) = counts["full"], counts["lora"]
    ours = [one for one in compared if {one.first["strategy"], one.second["strategy"]} == {"full", "lora"}]
    ours = [one for one in ours if one.first["model"] == one.second["model"] and one.p is not None]
    equal = sum(one.verdict is Verdict.EQUIVALENT for one in ours)
    different = sum(one.verdict in (Verdict.FIRST, Verdict.SECOND) for one in ours)
    on_ours = Holds.NOT_SHOWN if ours else Holds.NOT_TESTED
    if different or (ours and equal == len(ours)):
        on_ours = Holds.NO if different else Holds.YES
    return Claim(
        experiment=experiment,
        statement=statement,
        on_theirs=Holds.NO if p < ALPHA else Holds.NOT_SHOWN,
        theirs=f"LoRA has {full - lora} fewer right answers of {rows}, p = {p:.2g}; one run an arm",
        on_ours=on_ours,
        ours=f"{equal} of {len(ours)} comparisons equivalent in practice, {different} with a difference"
        if ours
        else "our grid does not compare LoRA with full fine-tuning",
    )


def _final_counts(experiment: str, strategy: str) -> tuple[int, int]:
    """Right answers and test rows of a published arm: its last printed test accuracy."""
    table = published()
    chosen = table[
        (table["experiment"] == experiment)
        & (table["strategy"] == strategy)
        & (table["metric"] == "accuracy")
        & (table["split"] == "test")
    ].iloc[-1]
    rows = int(float(chosen["n_eval"]))
    return round(float(chosen["value"]) * rows), rows


def _between(
    compared: Sequence[Comparison], better: Sequence[str], worse: Sequence[str]
) -> list[tuple[Comparison, bool]]:
    """Our comparisons of one group of models with another, and whether the first arm is said to be the better one."""
    found = []
    for one in compared:
        first, second = family(one.first["model"]), family(one.second["model"])
        if one.p is not None and ((first in better and second in worse) or (second in better and first in worse)):
            found.append((one, first in better))
    return found


def _outcome(one: Comparison, is_first: bool) -> int:
    """1: shown to be better, -1: shown to be worse, 0: neither."""
    if one.verdict is Verdict.FIRST:
        return 1 if is_first else -1
    if one.verdict is Verdict.SECOND:
        return -1 if is_first else 1
    return 0


def _all_first(found: Sequence[tuple[Comparison, bool]]) -> Holds:
    outcomes = [_outcome(one, is_first) for one, is_first in found]
    if not outcomes:
        return Holds.NOT_TESTED
    if -1 in outcomes:
        return Holds.NO
    return Holds.YES if all(outcomes) else Holds.NOT_SHOWN


def _summary(found: Sequence[tuple[Comparison, bool]]) -> str:
    if not found:
        return "our grid does not contain these models"
    outcomes = [_outcome(one, is_first) for one, is_first in found]
    return f"of {len(found)} comparisons {outcomes.count(1)} show them better and {outcomes.count(-1)} worse"
