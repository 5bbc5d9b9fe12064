"""Which claims of the five published experiments hold on their own numbers, and which on ours."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import pandas as pd

from analysis.answers import AxisEffect, axis_effects
from analysis.arms import Estimate
from analysis.claim_evidence import (
    Claim,
    Holds,
    all_better,
    all_equivalent,
    better_text,
    between,
    equivalence_text,
    fisher_p,
    full_and_lora,
    outcome,
    p_text,
)
from analysis.comparing import ALPHA, Comparison
from analysis.loading import Results
from analysis.paired import adjusted
from analysis.published import (
    BALANCED,
    LARGE_MODELS,
    SMALL_MODEL,
    family,
    last_printed,
    pooled,
    printed_counts,
    published,
    published_estimates,
    published_size_effects,
    published_tests,
)
from analysis.tails import f_below

EMOTION: Final = "emotion-bert-strategies"
FULL_VS_LORA: Final = "goemotions-bert-full-vs-lora"
IMDB: Final = "imdb-distilbert"
PEFT: Final = "goemotions-distilbert-peft"
_ABSENT: Final = "our grid does not contain it"


@dataclass(frozen=True, kw_only=True)
class _Ours:
    """What our grid has to say: its estimates and comparisons where they are about the asked kind of rows."""

    found: Sequence[Estimate] = ()
    compared: Sequence[Comparison] = ()


def claims(
    found: Sequence[Estimate] = (),
    compared: Sequence[Comparison] = (),
    results: Results | None = None,
    *,
    size_effects: Sequence[AxisEffect] | None = None,
) -> tuple[Claim, ...]:
    """Which published claims hold on their numbers and on ours.

    Args:
        found: our estimates of one metric.
        compared: our comparisons.
        results: our store, for claims about numbers besides that metric, and to tell rows with one label from rows
            with several; None: one label, and no other numbers.
        size_effects: of rows for training in the same estimates, if they were worked out already.
    Returns:
        one entry a claim; what our grid does not contain is "not tested here".
    """
    is_multi = results is not None and set(results.declared["task"]) == {"multi_label"}
    is_accuracy = bool(found) and found[0].metric == "accuracy"
    if not is_accuracy or is_multi:
        size_effects = ()
    single = _Ours(found=found, compared=compared) if is_accuracy and not is_multi else _Ours()
    several = _Ours(found=found, compared=compared) if is_multi else _Ours()
    return (
        _larger_are_best(single.compared),
        _larger_beat_small(single.compared),
        _small_cannot(single.found),
        _rows_always_help(axis_effects(single.found, "num_samples") if size_effects is None else size_effects),
        _full_beats_lora(several.compared),
        _lora_equals_full(EMOTION, "LoRA matches full fine-tuning (emotion)", single.compared),
        _head_cannot(single.compared),
        _near_parity(several.compared),
        _calibrates(results if is_multi else None),
        _lora_equals_full(IMDB, "LoRA is comparable to full fine-tuning (IMDB)", single.compared),
        _lora_is_steadier(found),
    )


def _larger_are_best(compared: Sequence[Comparison]) -> Claim:
    tests = published_tests(LARGE_MODELS)
    reached = sum(test.p < ALPHA for test in tests)
    totals = ", ".join(f"{family(model)} {right}/{rows}" for model, (right, rows) in pooled().items())
    ours = between(compared, [family(m) for m in LARGE_MODELS[:2]], [family(LARGE_MODELS[2])])
    return Claim(
        experiment=BALANCED,
        statement="Llama and Qwen are the best models",
        on_theirs=Holds.YES if reached == len(tests) else Holds.NOT_SHOWN,
        theirs=f"{reached} of {len(tests)} comparisons between the large models reach p < {ALPHA:g}; pooled: {totals}",
        on_ours=all_better(ours),
        ours=better_text(ours),
    )


def _larger_beat_small(compared: Sequence[Comparison]) -> Claim:
    tests = [test for test in published_tests() if SMALL_MODEL in (test.first.model, test.second.model)]
    reached = sum(test.p < ALPHA for test in tests)
    corrected = sum(test.p_holm < ALPHA for test in tests)
    ours = between(compared, [family(m) for m in LARGE_MODELS], [family(SMALL_MODEL)])
    return Claim(
        experiment=BALANCED,
        statement="The large models are better than BERT",
        on_theirs=Holds.YES if corrected == len(tests) else Holds.NOT_SHOWN,
        theirs=f"{reached} of {len(tests)} comparisons reach p < {ALPHA:g}, {corrected} after Holm's correction",
        on_ours=all_better(ours),
        ours=better_text(ours),
    )


def _small_cannot(found: Sequence[Estimate]) -> Claim:
    """The published cell is failed training; whether the model can do it needs a training that went well."""
    place = (16, 800)
    (theirs,) = [one for one in published_estimates() if one.arm["model"] == SMALL_MODEL and _size(one) == place]
    ours = [one for one in found if family(one.arm["model"]) == family(SMALL_MODEL) and _size(one) == place]
    scored = [one for one in ours if one.mean is not None and one.low is not None]
    can = [one for one in scored if one.low is not None and one.low > 1 / place[0]]
    on_ours = Holds.NOT_TESTED if not scored else Holds.NO if can else Holds.NOT_SHOWN
    loss = _test_loss(SMALL_MODEL, *place)
    return Claim(
        experiment=BALANCED,
        statement="BERT cannot tell 16 labels after 800 rows",
        on_theirs=Holds.NOT_SHOWN,
        theirs=f"{_percent(theirs)} where chance is 6.2 %, with a test loss of {loss / math.log(16):.2f} ln 16: "
        "one training that failed",
        on_ours=on_ours,
        ours=f"BERT scores {_percent(scored[0])} there" if scored else _ABSENT,
    )


def _size(one: Estimate) -> tuple[Any, Any]:
    return one.column["num_labels"], one.column["num_samples"]


def _test_loss(model: str, labels: int, rows: int) -> float:
    table = published()
    chosen = table[(table["experiment"] == BALANCED) & (table["model"] == model) & (table["split"] == "test")]
    chosen = chosen[(chosen["num_labels"] == labels) & (chosen["num_samples"] == rows) & (chosen["metric"] == "loss")]
    return float(chosen.iloc[-1]["value"])


def _percent(one: Estimate) -> str:
    return f"{100 * (one.mean or 0.0):.1f} % ({100 * (one.low or 0.0):.1f} to {100 * (one.high or 0.0):.1f})"


def _rows_always_help(effects: Sequence[AxisEffect]) -> Claim:
    theirs = published_size_effects()
    ours = [one for one in effects if one.arm["model"] is not None]
    return Claim(
        experiment=BALANCED,
        statement="More rows for training always help",
        on_theirs=_always_rises(theirs),
        theirs=_rises_text(theirs),
        on_ours=_always_rises(ours),
        ours=_rises_text(ours) if ours else "no arm has two sizes",
    )


def _always_rises(effects: Sequence[AxisEffect]) -> Holds:
    """No if a fall is shown anywhere, yes if every line rises throughout and by a shown amount."""
    if not effects:
        return Holds.NOT_TESTED
    if any(one.shown_reversals or (one.is_shown and one.overall.difference < 0) for one in effects):
        return Holds.NO
    return Holds.YES if all(one.is_monotone and one.is_shown for one in effects) else Holds.NOT_SHOWN


def _rises_text(effects: Sequence[AxisEffect]) -> str:
    falling = sum(not one.is_monotone for one in effects)
    shown = sum(bool(one.shown_reversals) for one in effects)
    risen = sum(one.is_shown and one.overall.difference > 0 for one in effects)
    return (
        f"{falling} of {len(effects)} lines are not monotone, {shown} with a fall that is shown; "
        f"{risen} rise by a shown amount"
    )


def _full_beats_lora(compared: Sequence[Comparison]) -> Claim:
    """Theirs by subset accuracy, the one number whose counts follow from what was printed."""
    counts = {arm: printed_counts(FULL_VS_LORA, arm, "subset_accuracy") for arm in ("full", "lora")}
    (full, rows), (lora, _) = counts["full"], counts["lora"]
    p = fisher_p(counts["full"], counts["lora"])
    ours = [(one, one.first["strategy"] == "full") for one in full_and_lora(compared)]
    return Claim(
        experiment=FULL_VS_LORA,
        statement="Full fine-tuning is far better than LoRA (GoEmotions, several labels)",
        on_theirs=Holds.YES if p < ALPHA else Holds.NOT_SHOWN,
        theirs=f"{full} against {lora} of {rows} rows exactly right, {p_text(p)}, for these two trainings; "
        "LoRA had the learning rate of full fine-tuning",
        on_ours=all_better(ours),
        ours=better_text(ours),
    )


def _lora_equals_full(experiment: str, statement: str, compared: Sequence[Comparison]) -> Claim:
    counts = {arm: printed_counts(experiment, arm, "accuracy") for arm in ("full", "lora")}
    (full, rows), (lora, _) = counts["full"], counts["lora"]
    p = fisher_p(counts["full"], counts["lora"])
    ours = full_and_lora(compared)
    return Claim(
        experiment=experiment,
        statement=statement,
        on_theirs=Holds.NO if p < ALPHA else Holds.NOT_SHOWN,
        theirs=f"LoRA has {full - lora} fewer right answers of {rows}, {p_text(p)}; one run an arm",
        on_ours=all_equivalent(ours),
        ours=equivalence_text(ours),
    )


def _head_cannot(compared: Sequence[Comparison]) -> Claim:
    right, rows = printed_counts(EMOTION, "head-only", "accuracy")
    ours = [
        (one, one.first["strategy"] == "head")
        for one in compared
        if {one.first["strategy"], one.second["strategy"]} == {"head", "majority"} and one.p is not None
    ]
    better = [outcome(one, is_first) for one, is_first in ours].count(1)
    return Claim(
        experiment=EMOTION,
        statement="A new head on a frozen base cannot learn the task (emotion)",
        on_theirs=Holds.NOT_SHOWN,
        theirs=f"{right} of {rows} right with one learning rate, and its loss was still falling",
        on_ours=Holds.NOT_TESTED if not ours else Holds.NO if better == len(ours) else Holds.NOT_SHOWN,
        ours=f"in {better} of {len(ours)} comparisons a head is shown to be better than saying one label always"
        if ours
        else _ABSENT,
    )


def _near_parity(compared: Sequence[Comparison]) -> Claim:
    micro, macro = (
        last_printed(PEFT, "full", name) - last_printed(PEFT, "lora", name) for name in ("f1_micro", "f1_macro")
    )
    ours = full_and_lora(compared)
    return Claim(
        experiment=PEFT,
        statement="LoRA is close to parity with full fine-tuning (GoEmotions, several labels)",
        on_theirs=Holds.NOT_SHOWN,
        theirs=f"{100 * micro:.1f} points of micro F1 and {100 * macro:.1f} of macro F1 less; one run an arm, and "
        "nothing from which an interval follows",
        on_ours=all_equivalent(ours),
        ours=equivalence_text(ours),
    )


def _calibrates(results: Results | None) -> Claim:
    pairs = _before_and_after(results) if results is not None else []
    lower = sum(after < before for before, after in pairs)
    on_ours = Holds.NOT_TESTED
    if pairs:
        on_ours = Holds.YES if lower == len(pairs) else Holds.NO if lower == 0 else Holds.NOT_SHOWN
    return Claim(
        experiment=PEFT,
        statement="A temperature for each label calibrates the probabilities",
        on_theirs=Holds.NOT_SHOWN,
        theirs="no calibration error was published",
        on_ours=on_ours,
        ours=f"the calibration error on test rows is lower in {lower} of {len(pairs)} cells" if pairs else _ABSENT,
    )


def _before_and_after(results: Results) -> list[tuple[float, float]]:
    """Calibration error of every cell, before and after its temperatures."""
    values: dict[str, dict[str, float]] = defaultdict(dict)
    names = ("ece_macro", "ece_macro_after_label_temperatures")
    for name in names:
        table = results.numbers(name, "test")
        for cell, value in zip(table["cell_id"], table["value"], strict=True):
            if not pd.isna(value):
                values[cell][name] = float(value)
    return [(each[names[0]], each[names[1]]) for each in values.values() if len(each) == 2]


def _lora_is_steadier(found: Sequence[Estimate]) -> Claim:
    """Ours: the variances of the seeds' scores of both strategies, by the F test, corrected by Holm."""
    arms: dict[Any, dict[str, Estimate]] = defaultdict(dict)
    for one in found:
        if one.arm["strategy"] in ("full", "lora") and one.sd and len(one.seeds) > 2:
            arms[one.arm.without("strategy").key, one.column.key][one.arm["strategy"]] = one
    pairs = [(each["full"], each["lora"]) for each in arms.values() if len(each) == 2]
    ratios = [((lora.sd or 0.0) / (full.sd or 1.0)) ** 2 for full, lora in pairs]
    tails = [
        f_below(ratio, len(lora.seeds) - 1, len(full.seeds) - 1)
        for ratio, (full, lora) in zip(ratios, pairs, strict=True)
    ]
    shown = adjusted([2 * min(tail, 1 - tail) for tail in tails], "holm") < ALPHA
    steadier, less_steady = (
        sum(bool(is_shown) and (ratio < 1) == below for is_shown, ratio in zip(shown, ratios, strict=True))
        for below in (True, False)
    )
    on_ours = Holds.NOT_TESTED
    if pairs:
        on_ours = Holds.NO if less_steady else Holds.YES if steadier == len(pairs) else Holds.NOT_SHOWN
    return Claim(
        experiment=IMDB,
        statement="LoRA is steadier than full fine-tuning",
        on_theirs=Holds.NOT_SHOWN,
        theirs="one seed an arm: nothing about steadiness follows",
        on_ours=on_ours,
        ours=f"in {steadier} of {len(pairs)} columns its seeds are shown to spread less, in {less_steady} more"
        if pairs
        else _ABSENT,
    )
