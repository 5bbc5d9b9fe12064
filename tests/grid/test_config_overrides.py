"""`--set` replaces values at paths, whatever an axis is called in the file, and says what is no path."""

from __future__ import annotations

from typing import Any

import pytest

from grid.config_overrides import apply_overrides


def test_values_are_yaml_and_replace_as_a_whole() -> None:
    document: dict[str, Any] = {"axes": {"seed": [0, 1]}, "recipe": {"epochs": 5}}
    assert apply_overrides(document, ["axes.seed=[7]", "recipe.learning_rate=1e-3", "lora={r: 2}"]) == []
    assert document == {"axes": {"seed": [7]}, "recipe": {"epochs": 5, "learning_rate": 1e-3}, "lora": {"r": 2}}


def test_an_axis_is_found_under_the_name_that_the_file_gives_it() -> None:
    document: dict[str, Any] = {"axes": {"recipe.learning_rate": [1e-3]}}
    assert apply_overrides(document, ["axes.learning_rate=[1e-4]"]) == []
    assert document == {"axes": {"recipe.learning_rate": [1e-4]}}


@pytest.mark.parametrize("override", ["axes.seed", "=1", "recipe.epochs.x=1", "recipe.epochs=[1"])
def test_what_is_no_override_is_told_and_changes_nothing(override: str) -> None:
    document: dict[str, Any] = {"recipe": {"epochs": 5}}
    (problem,) = apply_overrides(document, [override])
    assert problem.path.startswith("--set")
    assert document == {"recipe": {"epochs": 5}}
