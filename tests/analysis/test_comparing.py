"""Comparisons on shared rows and seeds, verdicts after correction, and what would settle them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from analysis.arms import Covers, estimates
from analysis.comparing import Comparison, Verdict, compare, comparisons_frame
from analysis.loading import results_from
from analysis.paired import mcnemar
from jobs.result_files import predictions_writer
from tests.analysis.answer_sheets import Sheet, results_of, sheets_of
from tests.analysis.synthetic import cell_row, number


def compared(folder: Path, sheets: list[Sheet], **settings: float) -> tuple[Comparison, ...]:
    return compare(estimates(results_of(folder, sheets)), **settings)  # type: ignore[arg-type]


def two(first: np.ndarray, second: np.ndarray) -> list[Sheet]:
    """Two arms, rights [seeds, rows]."""
    return [
        ({"model": name, "seed": seed}, sheet)
        for name, sheets in (("a", first), ("b", second))
        for seed, sheet in enumerate(np.atleast_2d(sheets))
    ]


def test_every_pair_of_every_column_once(tmp_path: Path) -> None:
    skills = {(m, "lora", k, 800): 0.7 for m in ("a", "b", "c") for k in (2, 4)}
    assert len(compared(tmp_path, sheets_of(skills))) == 6


def test_a_large_difference_is_claimed_for_the_right_arm(tmp_path: Path) -> None:
    (one,) = compared(tmp_path, sheets_of({("a", "lora", 2, 800): 0.6, ("b", "lora", 2, 800): 0.9}, seeds=5))
    assert one.verdict is Verdict.SECOND
    assert one.difference is not None
    assert one.low is not None
    assert one.high is not None
    assert one.low < one.difference < one.high < 0
    assert one.settles == ""
    assert one.first_mean == pytest.approx(0.6, abs=0.06)


def test_one_seed_uses_mcnemar_and_says_what_it_covers(tmp_path: Path) -> None:
    rows = np.arange(100)
    (one,) = compared(tmp_path, two(rows < 80, (rows >= 5) & (rows < 83)))
    assert one.p == pytest.approx(mcnemar(5, 3))
    assert (one.covers, one.seeds, one.seeds_needed) == (Covers.ROWS, 1, None)
    assert one.settles.startswith("One seed cannot tell arms apart")


def test_equal_sheets_are_equivalent_when_rows_are_many(tmp_path: Path) -> None:
    sheets = np.tile(np.arange(4000) % 10 < 8, (3, 1))
    (one,) = compared(tmp_path, two(sheets, sheets))
    assert (one.verdict, one.difference, one.p) == (Verdict.EQUIVALENT, 0.0, 1.0)


def test_equivalence_is_two_one_sided_tests(tmp_path: Path) -> None:
    """With one row part alone, TOST at 5 % is the 90 % interval inside the margin."""
    random = np.random.default_rng(1)
    first, second = random.random((2, 4000)) < 0.9
    differences = first.astype(float) - second
    error = np.sqrt((differences.var() * 4000 + 1) / 4000) / np.sqrt(4001)
    for margin in (0.005, 0.01, 0.02, 0.05):
        (one,) = compared(tmp_path / str(margin), two(first, second), margin=margin)
        high = stats.t.sf((margin - differences.mean()) / error, 3999)
        low = stats.t.sf((margin + differences.mean()) / error, 3999)
        assert one.is_equivalent is bool(max(high, low) < 0.05)


def test_pairs_meet_on_shared_seeds_and_rows(tmp_path: Path) -> None:
    sheets: list[Sheet] = [({"model": "a", "seed": s, "cell_id": f"a{s}"}, np.arange(60) < 50) for s in (0, 1, 2)]
    sheets += [({"model": "b", "seed": s, "cell_id": f"b{s}"}, np.arange(40) < 30) for s in (1, 2, 7)]
    (one,) = compare(estimates(results_of(tmp_path, sheets)))
    assert (one.seeds, one.rows) == (2, 40)
    assert one.first_mean == 1.0  # rows 0 to 39 of the first arm
    assert one.difference == pytest.approx(0.25)


def test_what_cannot_be_compared_stays_with_its_reason(tmp_path: Path) -> None:
    failed = cell_row(model="b", state="failed", kind="bug")
    (one,) = compare(estimates(results_of(tmp_path, [({"model": "a"}, np.ones(10, bool))], [failed])))
    assert (one.verdict, one.p, one.p_holm, one.p_bh) == (Verdict.NOT_COMPARED, None, None, None)
    assert "b, qlora" in one.reason
    apart = [({"model": "a", "seed": 0}, np.ones(10, bool)), ({"model": "b", "seed": 1}, np.ones(10, bool))]
    (one,) = compared(tmp_path / "apart", apart)
    assert "in common" in one.reason


def test_corrections_run_over_the_whole_report(tmp_path: Path) -> None:
    skills = {(m, "lora", k, 800): s for k in (2, 4) for m, s in (("a", 0.7), ("b", 0.75), ("c", 0.8))}
    found = compared(tmp_path, sheets_of(skills, seeds=5))
    p_values = np.array([one.p for one in found], dtype=float)
    order = np.argsort(p_values)
    by_hand = np.minimum(1.0, np.maximum.accumulate(p_values[order] * np.arange(6, 0, -1)))
    assert [found[i].p_holm for i in order] == pytest.approx(list(by_hand))
    assert [one.p_bh for one in found] == pytest.approx(list(stats.false_discovery_control(p_values)))


def test_two_seeds_tell_trained_models_apart_before_arms(tmp_path: Path) -> None:
    (one,) = compared(tmp_path, sheets_of({("a", "lora", 2, 800): 0.5, ("b", "lora", 2, 800): 0.6}, seeds=2, rows=1000))
    assert one.p_rows is not None
    assert one.p_holm is not None
    assert one.p_rows < one.p_holm


def test_an_undecided_comparison_says_what_would_settle_it(tmp_path: Path) -> None:
    (one,) = compared(tmp_path, sheets_of({("a", "lora", 2, 800): 0.74, ("b", "lora", 2, 800): 0.77}, rows=100, seed=4))
    assert one.verdict is Verdict.UNDECIDED
    assert "80 % probability" in one.settles or "both are needed" in one.settles
    assert one.wanted >= one.margin
    assert one.smallest_detectable is not None
    assert one.smallest_detectable > abs(one.difference or 0)


def test_the_frame_has_a_row_a_comparison(tmp_path: Path) -> None:
    frame = comparisons_frame(compared(tmp_path, two(np.ones((2, 20), bool), np.zeros((2, 20), bool))))
    assert frame.loc[0, "difference"] == 1.0
    assert frame.loc[0, "verdict"] in set(Verdict)
    assert compare(()) == ()


def test_the_same_rows_with_other_labels_are_not_compared(tmp_path: Path) -> None:
    """Arms may differ in how labels are grouped: to tell 2 groups is no better model than to tell 8 labels."""
    ids, rows = [f"r{index}" for index in range(400)], np.arange(400)
    cells, metrics, folders = [], [], {}
    for groups, labels, share in ((None, 8, 0.5), ("two", 2, 0.9)):
        for seed in range(3):
            cell = cell_row(label_groups=groups, num_labels=None, seed=seed)
            truth = rows % labels
            right = (rows * 7 + seed) % 400 < 400 * share
            logits = np.eye(labels, dtype=np.float32)[np.where(right, truth, (truth + 1) % labels)]
            folders[cell["cell_id"]] = tmp_path / cell["cell_id"]
            folders[cell["cell_id"]].mkdir()
            predictions_writer({"test": (ids, truth, logits)})(folders[cell["cell_id"]] / "predictions.parquet")
            cells.append(cell)
            metrics.append(number(cell, float(right.mean())))
    (one,) = compare(estimates(results_from("g", cells, metrics, folders=folders)))
    assert one.verdict is Verdict.NOT_COMPARED
    assert one.reason == "the test rows that they share have other labels"
