"""Combinations that cannot work - data, sizes, tasks, metrics - are named before anything starts."""

from __future__ import annotations

from typing import Any

import pytest

from grid.tuning.arms import arms_of
from jobs.spec import EvaluationSpec
from tests.grid.documents import cells_of, config_of, problems_of


@pytest.mark.parametrize(
    ("dataset", "path"),
    [
        ({"source": "hub"}, "dataset.id"),
        ({"source": "hub", "id": "a/b", "path": "x"}, "dataset.path"),
        ({"source": "hub", "id": "a/b", "rows": 5000}, "dataset.rows"),
        ({"source": "hub", "id": "a/b", "format": "csv"}, "dataset.format"),
        ({"source": "files"}, "dataset.path"),
        ({"source": "files", "path": "/no/such/file"}, "dataset.path"),
        ({"source": "files", "path": "/", "id": "a/b"}, "dataset.id"),
        ({"source": "files", "path": "/", "revision": "main"}, "dataset.revision"),
        ({"source": "builtin", "path": "/"}, "dataset.path"),
        ({"source": "builtin", "subset": "x"}, "dataset.subset"),
        ({"labels": ["a", "b", "a", "c"]}, "dataset.labels"),
        ({"labels": ["a", "b", "c"]}, "dataset.num_labels"),
    ],
)
def test_impossible_data(dataset: dict[str, Any], path: str) -> None:
    assert [problem.path for problem in problems_of(dataset=dataset)] == [path]


def test_combinations_are_checked_for_every_axis_value() -> None:
    found = problems_of(axes={"num_labels": [2, 100], "num_samples": [50, 200]})
    assert [(problem.path, problem.value) for problem in found] == [("dataset.num_samples", "50")]
    found = problems_of(axes={"warmup_ratio": [None, 0.1], "warmup_steps": [0, 50]})
    assert [problem.path for problem in found] == ["recipe.warmup_ratio"]
    found = problems_of(
        axes={"variant": ["last", "best"]},
        recipe={"patience": 3},
        variants={"last": {"recipe": {"select_on": "last"}}, "best": {"recipe": {"select_on": "loss"}}},
    )
    assert [problem.path for problem in found] == ["recipe.patience"]


def test_replay_has_only_the_published_sizes() -> None:
    hub = {"source": "hub", "id": "google-research-datasets/go_emotions", "protocol": "replay"}
    assert problems_of(dataset=hub, axes={"num_labels": [2, 16], "num_samples": [800]}) == []
    found = problems_of(dataset=hub, axes={"num_labels": [3], "num_samples": [900]})
    assert [problem.path for problem in found] == ["dataset.num_labels", "dataset.num_samples"]


def test_rows_with_several_labels_need_own_splits_and_a_metric_of_theirs() -> None:
    multi = {"task": "multi_label", "protocol": "official"}
    assert problems_of(dataset=multi, recipe={"select_on": "f1_macro"}, axes={"num_labels": ["all"]}) == []
    (problem,) = problems_of(dataset=multi, recipe={"select_on": "accuracy"}, axes={"num_labels": ["all"]})
    assert problem.path == "recipe.select_on" and "subset_accuracy" in str(problem.suggestion)
    assert [p.path for p in problems_of(dataset={"task": "multi_label"}, recipe={"select_on": "loss"})] == [
        "dataset.task"
    ]


def test_the_metric_that_selects_suits_the_task_unless_it_is_declared() -> None:
    multi = {"task": "multi_label", "protocol": "official"}
    alike = cells_of(dataset=multi), cells_of(dataset=multi, recipe={"select_on": "f1_macro"})
    assert {cell.recipe.select_on for cell in alike[0]} == {"f1_macro"}
    assert [cell.cell_id for cell in alike[0]] == [cell.cell_id for cell in alike[1]]
    written = cells_of(recipe={"select_on": "accuracy"})
    assert [cell.cell_id for cell in cells_of()] == [cell.cell_id for cell in written]
    both = cells_of(dataset={"protocol": "official"}, axes={"task": ["single_label", "multi_label"]})
    assert {(cell.data.task, cell.recipe.select_on) for cell in both} == {
        ("single_label", "accuracy"),
        ("multi_label", "f1_macro"),
    }
    tuned = {"candidates": 2, "search": {"learning_rate": [0.1, 10]}, "on": {"num_labels": 2}}
    config = config_of(dataset=multi, tuning=tuned)
    assert {arm.metric for arm in arms_of(config).values()} == {"f1_macro"}


def test_evaluation_is_declared_and_its_grid_checked() -> None:
    assert config_of().evaluation == EvaluationSpec()
    found = config_of(evaluation={"thresholds": False, "calibration": ["isotonic"]}).evaluation
    assert found == EvaluationSpec(thresholds=False, calibration=("isotonic",))
    wrong = problems_of(evaluation={"threshold_start": 0.9, "threshold_stop": 0.1})
    assert [problem.path for problem in wrong] == ["evaluation.threshold_start"]
    assert [problem.path for problem in problems_of(evaluation={"calibration": ["plat"]})] == [
        "evaluation.calibration[0]"
    ]


def test_copies_of_rare_labels_need_a_goal_and_stay_out_of_published_rows() -> None:
    assert problems_of(dataset={"augment": ["drop_words"], "augment_to": 20}) == []
    (problem,) = problems_of(dataset={"augment": ["drop_words"]})
    assert (problem.path, problem.rule) == ("dataset.augment_to", "is required with augment")
    paths = [problem.path for problem in problems_of(dataset={"augment_to": 20, "augment_share": 0.5})]
    assert paths == ["dataset.augment_to", "dataset.augment_share"]
    (problem,) = problems_of(dataset={"augment": ["drop_word"], "augment_to": 20})
    assert problem.path == "dataset.augment[0]" and "drop_words" in str(problem)
    replay = {"protocol": "replay", "source": "files", "path": "/", "augment": ["drop_words"], "augment_to": 20}
    found = problems_of(dataset=replay, axes={"num_labels": [2], "num_samples": [800]})
    assert "dataset.augment" in [problem.path for problem in found]
