"""What comparisons say about a claim: every one counts, one that says the opposite is enough against it."""

from __future__ import annotations

from dataclasses import replace

import pytest
from scipy import stats

from analysis.arms import Point
from analysis.claim_evidence import (
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
from analysis.comparing import Comparison, Covers, Verdict


def comparison(verdict: Verdict, first: str = "bert", second: str = "gpt2", *, p: float | None = 0.5) -> Comparison:
    """A comparison of two models, or of two strategies of one (`full`, `lora`), of which only the verdict matters."""
    axes = ("model", "strategy")
    sides = [("m", one) if one in ("full", "lora") else (one, "lora") for one in (first, second)]
    one, other = (Point(axes=axes, values=side) for side in sides)
    nothing = dict.fromkeys(("first_mean", "second_mean", "difference", "low", "high", "p_holm", "p_rows", "p_bh"))
    return Comparison(
        column=Point(axes=(), values=()),
        first=one,
        second=other,
        seeds=2,
        rows=10,
        covers=Covers.SEEDS_AND_ROWS,
        p=p,
        is_equivalent=verdict is Verdict.EQUIVALENT,
        margin=0.01,
        smallest_detectable=None,
        verdict=verdict,
        reason="",
        **nothing,
    )


def test_the_side_that_is_said_to_be_better_may_stand_second() -> None:
    first, second = comparison(Verdict.FIRST), comparison(Verdict.SECOND)
    assert [outcome(first, True), outcome(first, False), outcome(second, True), outcome(second, False)] == [
        1,
        -1,
        -1,
        1,
    ]
    assert outcome(comparison(Verdict.UNDECIDED), True) == 0


def test_better_needs_all_and_one_worse_refutes() -> None:
    better, worse, open_ = ((comparison(v), True) for v in (Verdict.FIRST, Verdict.SECOND, Verdict.UNDECIDED))
    assert all_better([]) is Holds.NOT_TESTED
    assert all_better([better, better]) is Holds.YES
    assert all_better([better, open_]) is Holds.NOT_SHOWN
    assert all_better([better, open_, worse]) is Holds.NO
    assert better_text([better, open_, worse]) == "of 3 comparisons 1 show them better and 1 worse"
    assert better_text([]) == "our grid does not contain these models"


def test_equivalence_needs_all_and_one_difference_refutes() -> None:
    equal, different, open_ = (comparison(v) for v in (Verdict.EQUIVALENT, Verdict.SECOND, Verdict.UNDECIDED))
    assert all_equivalent([]) is Holds.NOT_TESTED
    assert all_equivalent([equal]) is Holds.YES
    assert all_equivalent([equal, open_]) is Holds.NOT_SHOWN
    assert all_equivalent([equal, different]) is Holds.NO
    assert equivalence_text([equal, different]) == "1 of 2 comparisons equivalent in practice, 1 with a difference"


def test_only_comparisons_of_the_asked_arms_count() -> None:
    pair = comparison(Verdict.FIRST, "lora", "full")
    assert full_and_lora([pair, comparison(Verdict.FIRST)]) == [pair]
    assert full_and_lora([replace(pair, p=None)]) == []
    ours = comparison(Verdict.FIRST, "gpt2", "bert")
    assert between([ours, pair], ["gpt2"], ["bert"]) == [(ours, True)]
    assert between([ours], ["bert"], ["gpt2"]) == [(ours, False)]


@pytest.mark.parametrize(("first", "second"), [((70, 80), (60, 80)), ((0, 5), (5, 5))])
def test_fisher(first: tuple[int, int], second: tuple[int, int]) -> None:
    table = [[first[0], second[0]], [first[1] - first[0], second[1] - second[0]]]
    assert fisher_p(first, second) == pytest.approx(stats.fisher_exact(table).pvalue)


def test_p_in_words() -> None:
    assert [p_text(0.0001), p_text(0.0456)] == ["p < 0.001", "p = 0.046"]
