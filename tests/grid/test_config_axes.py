"""Axes, variants, exclusions, settings of one strategy or model: what they change, what is refused, what is noted."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from grid.config import load_config
from jobs.errors import ConfigError
from tests.grid.documents import cells_of, config_of, document, problems_of


@pytest.mark.parametrize(
    ("changes", "path", "words"),
    [
        ({"axes": {"variant": ["a"]}, "variants": {"a": {"recpie": {}}}}, "variants.a.recpie", "did you mean recipe?"),
        ({"axes": {"length_bucketing": [None, 1]}}, "axes.length_bucketing[1]", "at least 2"),
        ({"axes": {"checkpoint.keep": [1, 2]}}, "axes.checkpoint.keep", "no such key"),
        ({"axes": {"seed": []}}, "axes.seed", "must not be empty"),
        ({"axes": {"seed": 3}}, "axes.seed", "write [3]"),
        ({"axes": {"seed": None}}, "axes.seed", "a list"),
        ({"axes": {"seed": [True]}}, "axes.seed[0]", "whole number"),
        ({"axes": {"seed": [-1]}}, "axes.seed[0]", "from 0"),
        ({"axes": {"seed": [2**32]}}, "axes.seed[0]", "from 0 to 4294967295"),
        ({"axes": {"seed": [1, 1]}}, "axes.seed[1]", "twice"),
        ({"axes": {"sed": [1]}}, "axes.sed", "did you mean seed?"),
        ({"axes": {"recipe.epohcs": [1]}}, "axes.recipe.epohcs", "did you mean recipe.epochs?"),
        ({"axes": {"compute.device": ["cpu"]}}, "axes.compute.device", "no such key"),
        ({"axes": {"learning_rate": [1e-4, -1]}}, "axes.learning_rate[1]", "above 0"),
        ({"axes": {"learning_rate": [1e-4], "recipe.learning_rate": [1e-3]}}, "axes.recipe.learning_rate", "twice"),
        ({"axes": {"strategy": ["qlroa"]}}, "axes.strategy[0]", "did you mean qlora?"),
        ({"axes": {"strategy": ["tfidf"]}}, "axes.strategy[0]", "baselines: [tfidf]"),
        ({"axes": {"model": ["tiny-brt"]}}, "axes.model[0]", "did you mean tiny-bert?"),
        ({"axes": {"model": [3]}}, "axes.model[0]", "text"),
        ({"axes": {"model": ["bert-base-uncased", "google-bert/bert-base-uncased"]}}, "axes.model", "the same model"),
        ({"axes": {"model": ...}}, "axes.model", "is required"),
        (
            {"axes": {"model": ..., "learning_rate": [1e-4]}, "baselines": ["tfidf"]},
            "axes.learning_rate",
            "axis `model`",
        ),
        ({"axes": {"variant": ["b"]}, "variants": {"bb": {}}}, "axes.variant[0]", "no such variant"),
        (
            {"axes": {"variant": ["a"]}, "variants": {"a": {"recipe": {"epochs": 0}}}},
            "variants.a.recipe.epochs",
            "at least 1",
        ),
        ({"variants": {"a": {"lora": {"r": 2}}}}, "variants", "add axes.variant: [a]"),
        ({"axes": {"variant": ["a", "b"]}, "variants": {"a": {}, "b": {}}}, "variants.b", "the same as variants.a"),
        (
            {"axes": {"variant": ["a"], "epochs": [1]}, "variants": {"a": {"recipe": {"epochs": 3}}}},
            "variants.a.recipe.epochs",
            "axis epochs as well",
        ),
        ({"exclude": [{}]}, "exclude[0]", "at least one"),
        ({"exclude": [{"sed": 1}]}, "exclude[0].sed", "did you mean seed?"),
        ({"exclude": [{"epochs": 1}]}, "exclude[0].epochs", "no axis"),
        ({"exclude": [{"model": "tiny-brt"}]}, "exclude[0].model", "did you mean tiny-bert?"),
        ({"exclude": [{"seed": [0, 9]}]}, "exclude[0].seed", "no value of this axis"),
        ({"exclude": [{"strategy": "tfidf"}]}, "exclude[0].strategy", "no axis"),
    ],
)
def test_single_faults(changes: dict[str, Any], path: str, words: str) -> None:
    found = problems_of(**changes)
    assert [problem.path for problem in found] == [path]
    assert words in str(found[0])


def of_two_models(**changes: Any) -> dict[str, Any]:
    axes = {"strategy": ["full", "lora"], "num_labels": [2], "seed": ..., **changes.pop("axes", {})}
    return {"axes": axes, **changes}


def test_strategies_and_models_change_their_own_cells() -> None:
    made = cells_of(
        **of_two_models(
            axes={"variant": ["hot"]},
            recipe={"learning_rate": 1e-4, "patience": 10},
            per_strategy={"full": {"recipe": {"learning_rate": 2e-5, "epochs": 3}}, "lora": {"lora": {"r": 16}}},
            per_model={"tiny-gpt2": {"recipe": {"patience": 20, "epochs": 9}}},
            variants={"hot": {"recipe": {"weight_decay": 0.1}}},
        )
    )
    cells = {(cell.model.name, str(cell.strategy)): cell for cell in made if cell.model}
    bert_full, gpt_full = cells["tiny-bert", "full"].recipe, cells["tiny-gpt2", "full"].recipe
    assert (bert_full.learning_rate, bert_full.epochs, bert_full.patience) == (2e-5, 3, 10)
    assert (gpt_full.learning_rate, gpt_full.epochs, gpt_full.patience) == (2e-5, 3, 20)
    assert cells["tiny-gpt2", "lora"].recipe.epochs == 9 and cells["tiny-bert", "lora"].recipe.learning_rate == 1e-4
    assert cells["tiny-bert", "lora"].lora is not None and cells["tiny-bert", "lora"].lora.r == 16
    assert all(cell.recipe.weight_decay == 0.1 for cell in cells.values())


def test_changes_for_what_no_axis_has_are_refused() -> None:
    problems = problems_of(
        **of_two_models(
            axes={"strategy": ["lora"], "learning_rate": [1e-3]},
            per_strategy={"fulll": {"recipe": {"epochs": 3}}, "lora": {"recipe": {"learning_rate": 1e-4, "epoch": 3}}},
            per_model={"tiny-bertt": {"recipe": {"patience": 2}}},
        )
    )
    assert {problem.path for problem in problems} == {
        "per_strategy.fulll",
        "per_strategy.lora.recipe.learning_rate",
        "per_strategy.lora.recipe.epoch",
        "per_model.tiny-bertt",
    }


def test_changes_for_a_strategy_that_is_left_out_are_noted() -> None:
    own = {"full": {"recipe": {"epochs": 3, "learning_rate": 1e-5}}, "lora": {"lora": {"r": 16}}}
    axes = {"strategy": ["lora"], "learning_rate": [1e-3]}
    config = config_of(**of_two_models(axes=axes, per_strategy=own, exclude=[{"strategy": ["full"], "num_labels": 2}]))
    assert config.notes == (
        "per_strategy.full has no effect: full is not on the axis strategy",
        "exclude[0] has no effect: full is not on the axis strategy",
    )
    assert config_of(**of_two_models(per_strategy={"full": own["full"]})).notes == ()


def test_what_set_takes_off_an_axis_may_stay_named(tmp_path: Path) -> None:
    whole = document(
        axes={"strategy": ["full", "lora"], "learning_rate": [1e-3, 1e-4]},
        per_model={"tiny-gpt2": {"recipe": {"epochs": 3}}},
        exclude=[{"learning_rate": 1e-3, "num_labels": 2}],
    )
    path = tmp_path / "grid.yaml"
    path.write_text(json.dumps(whole), encoding="utf-8")
    narrow = ["axes.model=[tiny-bert]", "axes.learning_rate=[1e-4]"]
    assert load_config(str(path), overrides=narrow).notes == (
        "per_model.tiny-gpt2 has no effect: tiny-gpt2 is not on the axis model",
        "exclude[0] has no effect: 0.001 is not on the axis learning_rate",
    )
    with pytest.raises(ConfigError, match="tiny-bart"):
        load_config(str(path), overrides=["per_model={tiny-bart: {recipe: {epochs: 1}}}"])


def test_an_impossible_recipe_of_one_model_is_found() -> None:
    impossible = {"tiny-gpt2": {"recipe": {"patience": 2, "select_on": "last"}}}
    assert [problem.path for problem in problems_of(**of_two_models(per_model=impossible))] == ["recipe.patience"]
