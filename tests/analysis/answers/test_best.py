"""The best arm of a column and the arms that cannot be told from it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from analysis.answers import best_arms
from analysis.arms import Covers, estimates
from analysis.comparing import Verdict, compare
from analysis.report import page_from
from analysis.report_standing import Standing, standings, tied_with_best
from tests.analysis.answer_sheets import Sheet, results_of
from tests.analysis.answers.skilled import analysed
from tests.analysis.synthetic import cell_row, grid_of


def test_the_best_arm_and_those_it_cannot_be_told_from(tmp_path: Path) -> None:
    skills = {("a", "lora", 2, 800): 0.9, ("b", "lora", 2, 800): 0.9, ("c", "lora", 2, 800): 0.5}
    (answer,) = best_arms(*analysed(tmp_path, skills, seeds=5, rows=400))
    assert answer.best["model"] in "ab"
    assert [arm["model"] for arm in answer.rivals] == [{"a": "b", "b": "a"}[answer.best["model"]]]
    assert [arm["model"] for arm in answer.worse] == ["c"]
    assert "cannot be told from" in answer.text
    assert "2 labels" in answer.text


def test_arms_that_only_their_trained_models_tell_apart_are_named_apart(tmp_path: Path) -> None:
    """As if two seeds said too little of all others, while 400 rows show these very models to differ."""
    skills = {("a", "lora", 2, 800): 0.9, ("b", "lora", 2, 800): 0.89, ("c", "lora", 2, 800): 0.75}
    found, compared = analysed(tmp_path, skills, seeds=2, rows=400)
    (answer,) = best_arms(found, [replace(one, verdict=Verdict.UNDECIDED) for one in compared])
    assert {arm["model"] for arm in answer.rivals} == {"a", "b", "c"} - {answer.best["model"]}
    tied, _, below = answer.text.partition("As these trained models are, below it")
    assert "c, lora" in below and "c, lora" not in tied


def test_an_arm_without_predictions_stays_in_the_set_that_cannot_be_told_apart() -> None:
    found = estimates(grid_of(models=("a", "b"), labels=(2,), samples=(800,), baselines=()))
    (answer,) = best_arms(found, compare(found))
    assert len(answer.rivals) == 1
    assert "cannot be told" not in answer.text
    assert f". Not compared with it: {answer.rivals[0].title}." in answer.text


def test_a_lone_arm_and_a_column_without_scores(tmp_path: Path) -> None:
    (answer,) = best_arms(*analysed(tmp_path, {("a", "lora", 2, 800): 0.9}))
    assert answer.text.endswith("nothing else has a score.")
    failed = estimates(grid_of(labels=(2,), samples=(800,), changes={("bert-base-uncased",): {"state": "failed"}}))
    assert best_arms([one for one in failed if one.mean is None], ()) == ()


def test_arms_without_a_number_and_with_failed_cells_are_named() -> None:
    changes = {("a",): {"state": "failed"}, ("b", 2, 800, 1): {"state": "pending"}}
    found = estimates(grid_of(models=("a", "b"), labels=(2,), samples=(800,), baselines=(), changes=changes))
    (answer,) = best_arms(found, compare(found))
    assert [arm["model"] for arm in answer.without] == ["a"]
    assert "b, qlora scored highest" in answer.text and "[of 2 cells 1 not run]" in answer.text
    assert answer.text.endswith("Without a number: a, qlora [of 2 cells 2 failed].")


def test_the_lowest_is_best_where_less_is_better(tmp_path: Path) -> None:
    found, _ = analysed(tmp_path, {("a", "lora", 2, 800): 0.9, ("b", "lora", 2, 800): 0.3}, seeds=5, rows=400)
    turned = [replace(one, metric="hamming_loss") for one in found]
    (answer,) = best_arms(turned, compare(turned))
    assert answer.best["model"] == "b"
    assert [arm["model"] for arm in answer.worse] == ["a"]
    assert "scored lowest, which is best" in answer.text


def test_an_arm_that_wins_where_they_meet_is_not_called_worse(tmp_path: Path) -> None:
    """a has an easy third seed that b lacks: a is highest by its mean, and b shown to be better on shared seeds."""
    rows = np.arange(1000)
    rights = {"a": [600, 600, 1000], "b": [700, 700]}
    sheets: list[Sheet] = [
        ({"model": model, "seed": seed}, rows < right)
        for model, all_rights in rights.items()
        for seed, right in enumerate(all_rights)
    ]
    failed = cell_row(model="b", seed=2, state="failed", kind="bug")
    found = estimates(results_of(tmp_path, sheets, [failed]))
    compared = compare(found)
    (answer,) = best_arms(found, compared)
    assert (answer.best["model"], [arm["model"] for arm in answer.rivals]) == ("a", ["b"])
    assert compared[0].verdict is Verdict.SECOND and compared[0].tells_models
    assert "better than every other" not in answer.text and "below it" not in answer.text
    assert "on the seeds and rows that both have, better than it: b, qlora [of 3 cells 1 failed]." in answer.text
    assert standings((answer,), compared)[answer.rivals[0].key, answer.column.key] is Standing.TIED


def test_one_shared_seed_says_nothing_of_arms_that_have_several(tmp_path: Path) -> None:
    rows = np.arange(1000)
    sheets: list[Sheet] = [({"model": "a", "seed": seed}, rows < 900) for seed in range(3)]
    sheets.append(({"model": "b", "seed": 0}, rows < 600))
    found = estimates(results_of(tmp_path, sheets, [cell_row(model="b", seed=1, state="pending")]))
    compared = compare(found)
    (answer,) = best_arms(found, compared)
    assert (compared[0].verdict, compared[0].covers) == (Verdict.UNDECIDED, Covers.ROWS)
    assert compared[0].tells_models and compared[0].settles.startswith("One seed cannot tell arms apart")
    assert answer.worse == ()
    assert "too few seeds to say so of arms: b, qlora" in answer.text
    assert standings((answer,), compared)[answer.rivals[0].key, answer.column.key] is Standing.MODELS


def test_equal_scores_share_the_first_place(tmp_path: Path) -> None:
    """Seeds of 10, 30 and 60 errors, and of 33, 33 and 34: the same share, summed in another order."""
    rows = np.arange(100)
    rights = {"a": [90, 70, 40], "b": [67, 67, 66], "c": [67, 66, 66]}
    sheets: list[Sheet] = [
        ({"model": model, "seed": seed}, rows < right)
        for model, own in rights.items()
        for seed, right in enumerate(own)
    ]
    results = results_of(tmp_path, sheets)
    found = estimates(results)
    compared = compare(found)
    (answer,) = best_arms(found, compared)
    assert ([arm["model"] for arm in answer.even], [arm["model"] for arm in answer.rivals]) == (["b"], ["b", "c"])
    assert "a, qlora scored highest, 66.7 % (" in answer.text and "), as did b, qlora; it cannot" in answer.text
    standing = standings((answer,), compared)
    assert [standing[arm.key, answer.column.key] for arm in answer.rivals] == [Standing.BEST, Standing.TIED]
    assert tied_with_best(answer, standing) == 2
    leads = next(one for one in page_from(results).answers if one.slug == "best").leads
    assert [lead for lead in leads if lead.startswith(("a, ", "b, ", "c, "))] == [
        "a, qlora: highest in 1 of 1 column.",
        "b, qlora: highest in 1 of 1 column.",
        "c, qlora: highest in no column, but not told from the highest in 1.",
    ]
