"""The `tuning` section as part of a config: all faults at once, and what may stand in it."""

from __future__ import annotations

import itertools
from typing import Any

import pytest

from grid.config import check_document, shipped_configs
from grid.config_schema import TuningSection
from grid.config_yaml import parse_yaml
from tests.grid.documents import config_of, problems_of

GOOD: dict[str, Any] = {"candidates": 4, "on": {"num_labels": 4}, "search": {"learning_rate": [0.1, 10]}}

DOCUMENTED: dict[str, Any] = {
    "name": "g",
    "axes": {"model": ["bert-base-uncased"], "num_labels": [2, 16], "num_samples": [800, 1600]},
    "dataset": {"source": "hub", "id": "a/b"},
}


def test_a_tuning_is_read_with_its_defaults() -> None:
    tuning = config_of(tuning=GOOD).tuning
    assert tuning is not None
    assert (tuning.candidates, tuning.batch, tuning.seed, tuning.halving, tuning.metric) == (4, 4, 0, None, "select_on")
    assert tuning.on == {"seed": 0, "dataset.num_labels": 4, "dataset.num_samples": 80}


def test_without_the_section_nothing_is_tuned() -> None:
    assert config_of().tuning is None


def test_every_fault_is_told_at_once_with_the_nearest_name() -> None:
    wrong = {
        "candidate": 8,
        "metric": "val_f1_macro",
        "on": {"num_labls": 4, "seed": -1},
        "search": {"lerning_rate": [0.1, 10], "epochs": [2, 3]},
    }
    told = {problem.path: str(problem) for problem in problems_of(tuning=wrong)}
    assert set(told) == {
        "tuning.candidate",
        "tuning.metric",
        "tuning.on.num_labls",
        "tuning.on.seed",
        "tuning.on.num_labels",
        "tuning.search.lerning_rate",
        "tuning.search.epochs",
    }
    nearest = {"tuning.candidate": "candidates", "tuning.metric": "f1_macro", "tuning.on.num_labls": "num_labels"}
    nearest["tuning.search.lerning_rate"] = "learning_rate"
    assert all(f"did you mean {name}?" in told[path] for path, name in nearest.items())
    assert "one of: 2, 4" in told["tuning.on.num_labels"]


@pytest.mark.parametrize(
    ("changes", "path", "word"),
    [
        ({"tuning": {**GOOD, "search": {}}}, "tuning.search", "at least 1"),
        ({"tuning": {**GOOD, "search": {"dropout": [0.5, 2]}}, "axes": {"strategy": ["lora"]}}, "lora.dropout", "0.0"),
        ({"tuning": {**GOOD, "search": {"r": [0.5, 200]}}, "axes": {"strategy": ["lora"]}}, "lora.r", "1600"),
        ({"tuning": {**GOOD, "search": {"epochs": [0.9, 1.1]}}}, "tuning.candidates", "tiny-bert qlora"),
        ({"tuning": {**GOOD, "search": {"chain.c": [0.1, 10]}}}, "tuning.search", "no arm"),
        ({"tuning": GOOD, "recipe": {"select_on": "last"}}, "tuning.metric", "last"),
        ({"tuning": {**GOOD, "metric": "subset_accuracy"}}, "tuning.metric", "single_label"),
        ({"tuning": GOOD, "axes": {"learning_rate": [1e-4, 1e-3]}}, "tuning.search.learning_rate", "axis"),
        (
            {"tuning": GOOD, "dataset": {"protocol": "official", "validation": "test"}},
            "tuning",
            "would choose on test rows",
        ),
        ({"tuning": {**GOOD, "chosen": {"tiny-bart qlora": {}}}}, "tuning.chosen.tiny-bart qlora", "tuned arm"),
        ({"tuning": {**GOOD, "chosen": {"tiny-bert qlora": {"recipe.epochs": 3}}}}, "tiny-bert qlora", "exactly"),
    ],
)
def test_what_shows_in_single_arms_is_told(changes: dict[str, Any], path: str, word: str) -> None:
    problems = problems_of(**changes)
    assert any(path in problem.path and word in str(problem) for problem in problems), problems


def test_a_metric_may_be_any_that_selects_states() -> None:
    assert problems_of(tuning={**GOOD, "metric": "loss"}, recipe={"select_on": "last"}) == []


def test_the_example_in_the_shipped_config_is_right() -> None:
    lines = shipped_configs()["goemotions"].splitlines()
    first = next(index for index, line in enumerate(lines) if line.startswith("# tuning:"))
    block = itertools.takewhile(lambda line: line.startswith("# "), lines[first:])
    raw, faults = parse_yaml("\n".join(line[2:] for line in block), "example")
    assert faults == [] and isinstance(raw, dict)
    document = {**DOCUMENTED, "tuning": raw["tuning"]}
    config, problems = check_document(document)
    assert problems == [] and config is not None and config.tuning is not None
    fields = set(TuningSection.model_fields) - {"chosen"}
    assert set(raw["tuning"]) == fields, "the example names every key"


def test_a_tuning_needs_models() -> None:
    axes = {"model": ..., "num_labels": [2], "num_samples": [80]}
    problems = problems_of(axes=axes, baselines=["tfidf"], tuning=GOOD)
    assert "tuning" in {problem.path for problem in problems}
