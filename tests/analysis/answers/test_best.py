"""The best arm of a column and the arms that cannot be told from it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from analysis.answers import best_arms
from analysis.arms import estimates
from analysis.comparing import Verdict, compare
from tests.analysis.answers.skilled import analysed
from tests.analysis.synthetic import grid_of


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
