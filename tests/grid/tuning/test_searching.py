"""What a config may search: ranges and choices, and every fault of them with its place."""

from __future__ import annotations

from typing import Any

import pytest

from grid.tuning.searching import Search, check_search
from jobs.errors import Problem


def check(search: Any) -> tuple[tuple[Search, ...], list[Problem]]:
    return check_search(search, (), "tuning.search")


def test_factors_and_choices_are_read_and_sorted() -> None:
    ranges = {"learning_rate": [0.1, 10], "epochs": [0.5, 2, "linear"]}
    found, problems = check({**ranges, "lora.r": {"any_of": [4, 16]}, "schedule": ["linear"]})
    assert problems == []
    assert [search.text for search in found] == [
        "lora.r of [4, 16]",
        "recipe.epochs x 0.5 to 2 (linear)",
        "recipe.learning_rate x 0.1 to 10 (log)",
        'recipe.schedule of ["linear"]',
    ]


def test_targets_and_layers_are_choices() -> None:
    found, problems = check({"lora.targets": [["query"], ["query", "value"]], "layers": [[0, 1], None]})
    assert problems == []
    assert [search.choices for search in found] == [((0, 1), None), (("query",), ("query", "value"))]


@pytest.mark.parametrize(
    ("search", "path", "rule"),
    [
        ({"lerning_rate": [0.1, 10]}, "tuning.search.lerning_rate", "no such key"),
        ({"recipe.epoch": [0.1, 10]}, "tuning.search.recipe.epoch", "no such key"),
        ({"targets": [["query"]]}, "tuning.search.targets", None),
        ({"num_samples": [0.5, 2]}, "tuning.search.num_samples", "which rows"),
        ({"model": ["a"]}, "tuning.search.model", "what is compared"),
        ({"learning_rate": [2, 10]}, "tuning.search.learning_rate", "1 between"),
        ({"learning_rate": [0, 10]}, "tuning.search.learning_rate", "1 between"),
        ({"learning_rate": [1, 1]}, "tuning.search.learning_rate", "1 between"),
        ({"learning_rate": [0.1, float("inf")]}, "tuning.search.learning_rate", "1 between"),
        ({"learning_rate": [0.1]}, "tuning.search.learning_rate", "a range"),
        ({"learning_rate": [True, 2]}, "tuning.search.learning_rate", "a range"),
        ({"learning_rate": 10}, "tuning.search.learning_rate", "a range"),
        ({"learning_rate": [0.1, 10, "lg"]}, "tuning.search.learning_rate[2]", "log or linear"),
        ({"schedule": ["cosin"]}, "tuning.search.schedule[0]", "must be"),
        ({"schedule": ["linear", "linear"]}, "tuning.search.schedule[1]", "twice"),
        ({"schedule": "linear"}, "tuning.search.schedule", "no number"),
        ({"r": {"any_of": []}}, "tuning.search.r", "any_of"),
        ({"r": {"anyof": [1]}}, "tuning.search.r", "any_of"),
        ({"r": {"any_of": [0]}}, "tuning.search.r[0]", "at least 1"),
    ],
)
def test_faults_have_place_and_rule(search: Any, path: str, rule: str | None) -> None:
    _, problems = check(search)
    if rule is None:  # `targets` is lora's unless another section is named
        assert problems == []
    else:
        assert [problem.path for problem in problems] == [path]
        assert rule in problems[0].rule


def test_a_key_is_searched_once() -> None:
    _, problems = check({"r": [0.5, 2], "lora.r": [0.5, 4]})
    assert [problem.rule for problem in problems] == ["lora.r is searched twice"]
