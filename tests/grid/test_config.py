"""Configs: what is accepted, and that every fault is named with path, value, rule and nearest name, all at once."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from grid.config import MAX_CELLS, check_document, count_cells, load_config
from grid.tuning.arms import arms_of
from jobs.errors import ConfigError, Problem
from jobs.spec import (
    CheckpointSpec,
    ComputeSpec,
    DataSpec,
    EvaluationSpec,
    LoraSpec,
    QuantizationSpec,
    RecipeSpec,
    Strategy,
    from_json,
    to_json,
)
from tests.grid.documents import cells_of, config_of, document, problems_of

CONFIG = """
name: mine
axes:
  model: [tiny-bert]
  seed: [0, 1]
dataset: {source: builtin}
recipe: {learning_rate: 1e-4}
"""


@pytest.fixture
def config_file(tmp_path: Path) -> Path:
    path = tmp_path / "mine.yaml"
    path.write_text(CONFIG, encoding="utf-8")
    return path


def load_problems(path: Path | str, *overrides: str) -> tuple[Problem, ...]:
    with pytest.raises(ConfigError) as caught:
        load_config(str(path), overrides=overrides)
    return caught.value.problems


# What is accepted


def test_defaults_are_those_of_the_spec() -> None:
    config = config_of()
    assert config.recipe == RecipeSpec()
    assert config.lora == LoraSpec()
    assert config.quantization == QuantizationSpec()
    assert config.compute == ComputeSpec()
    assert config.data == DataSpec(source="builtin")
    assert config.strategies == (Strategy.QLORA,)


@pytest.mark.parametrize(("declared", "every_s"), [(30, 30.0), (0.5, 0.5), ("off", None), (None, None)])
def test_checkpoints_are_declared_beside_compute_and_change_no_identity(
    declared: object, every_s: float | None
) -> None:
    compute = config_of(checkpoint={"every_s": declared, "keep": 3}).compute
    assert compute == ComputeSpec(checkpoint=CheckpointSpec(every_s=every_s, keep=3))
    assert from_json(ComputeSpec, to_json(compute)) == compute
    assert from_json(ComputeSpec, {"numerics": "exact"}) == ComputeSpec(numerics="exact")  # as older results have it
    ids = [[cell.cell_id for cell in cells_of(checkpoint=c)] for c in (None, {"every_s": declared, "keep": 3})]
    assert ids[0] == ids[1]


def test_words_become_values() -> None:
    config = config_of(
        axes={"num_labels": ...},
        dataset={"num_labels": "all", "num_samples": "all", "labels": ["b", "a"]},
        recipe={
            "eval_every": "epoch",
            "patience": None,
            "learning_rate": 1,
            "select_on": "last",
            "length_bucketing": 8,
        },
        lora={"targets": ["query"]},
        compute={
            "slots": "auto",
            "cpus_per_trial": 2,
            "gpus_per_trial": 0.5,
            "reload_check": False,
            "cost_probe": False,
        },
    )
    assert (config.data.num_labels, config.data.num_samples, config.data.labels) == (None, None, ("b", "a"))
    assert config.recipe.eval_every is None
    assert type(config.recipe.learning_rate) is float
    assert config.recipe.length_bucketing == 8
    assert config.lora.targets == ("query",)
    assert (config.compute.reload_check, config.compute.cost_probe) == (False, False)
    assert (config.compute.slots, config.request.cpus_per_trial, config.request.gpus_per_trial) == (None, 2, 0.5)


def test_relative_data_path_becomes_absolute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "rows.csv").write_text("text,label\n", encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    config = config_of(dataset={"source": "files", "path": "rows.csv"})
    assert config.data.path == str(tmp_path / "rows.csv")


def test_file_with_overrides(config_file: Path) -> None:
    config = load_config(
        str(config_file), overrides=["axes.seed=[7]", "recipe.learning_rate=2e-3", "lora={r: 2}", "name=other"]
    )
    assert config.name == "other"
    assert config.axis("seed") == (7,)
    assert (config.recipe.learning_rate, config.lora.r) == (2e-3, 2)


def test_a_mapping_is_replaced_as_a_whole(config_file: Path) -> None:
    config = load_config(str(config_file), overrides=["recipe={epochs: 2}"])
    assert config.recipe == RecipeSpec(epochs=2)


def test_override_of_an_axis_finds_its_other_spelling(tmp_path: Path) -> None:
    path = tmp_path / "c.yaml"
    path.write_text(CONFIG.replace("seed: [0, 1]", "recipe.learning_rate: [1e-3]"), encoding="utf-8")
    config = load_config(str(path), overrides=["axes.learning_rate=[1e-4, 1e-5]"])
    assert config.axis("learning_rate") == (1e-4, 1e-5)
    config = load_config(str(path), overrides=["axes.recipe.learning_rate=[5e-5]", "axes.recipe.epochs=[1, 2]"])
    assert config.axis("learning_rate") == (5e-5,)
    assert config.axis("epochs") == (1, 2)


def test_document_survives_as_json(config_file: Path) -> None:
    first = load_config(str(config_file), overrides=["axes.seed=[7]"]).to_json()
    assert '"seed": [7]' in first
    assert first == load_config(str(config_file), overrides=["axes.seed=[7]"]).to_json()


# What is refused


@pytest.mark.parametrize(
    ("changes", "path", "words"),
    [
        ({"recipe": {"epohcs": 1}}, "recipe.epohcs", "did you mean epochs?"),
        ({"recipie": {}}, "recipie", "did you mean recipe?"),
        ({"axes": {"variant": ["a"]}, "variants": {"a": {"recpie": {}}}}, "variants.a.recpie", "did you mean recipe?"),
        ({"recipe": {"epochs": True}}, "recipe.epochs", "whole number"),
        ({"recipe": {"epochs": 2.0}}, "recipe.epochs", "whole number"),
        ({"recipe": {"epochs": "3"}}, "recipe.epochs", "remove the quotes"),
        ({"recipe": {"learning_rate": True}}, "recipe.learning_rate", "a number"),
        ({"recipe": {"learning_rate": "1e-4"}}, "recipe.learning_rate", "remove the quotes"),
        ({"recipe": {"learning_rate": "nan"}}, "recipe.learning_rate", "a finite one"),
        ({"dataset": {"source": "files", "path": "no.csv"}}, "dataset.path", "counts from the folder where"),
        ({"recipe": {"learning_rate": float("inf")}}, "recipe.learning_rate", "finite"),
        ({"recipe": {"learning_rate": float("nan")}}, "recipe.learning_rate", "finite"),
        ({"recipe": {"learning_rate": -1e-4}}, "recipe.learning_rate", "above 0"),
        ({"recipe": {"learning_rate": 0}}, "recipe.learning_rate", "above 0"),
        ({"recipe": {"patience": -1}}, "recipe.patience", "at least 1"),
        ({"recipe": {"select_on": "acuracy"}}, "recipe.select_on", "did you mean accuracy?"),
        ({"recipe": {"eval_every": "epohc"}}, "recipe.eval_every", "did you mean epoch?"),
        ({"recipe": {"length_bucketing": 1}}, "recipe.length_bucketing", "at least 2"),
        ({"recipe": {"length_bucketing": 65_537}}, "recipe.length_bucketing", "at most 65536"),
        ({"recipe": {"length_bucketing": True}}, "recipe.length_bucketing", "whole number"),
        ({"recipe": {"lenght_bucketing": 8}}, "recipe.lenght_bucketing", "did you mean length_bucketing?"),
        ({"axes": {"length_bucketing": [None, 1]}}, "axes.length_bucketing[1]", "at least 2"),
        ({"lora": {"dropout": 1.0}}, "lora.dropout", "below 1"),
        ({"quantization": {"type": "nf8"}}, "quantization.type", "nf4 or fp4"),
        ({"quantization": {"double": 1}}, "quantization.double", "true or false"),
        ({"dataset": {"source": "hubb"}}, "dataset.source", "did you mean hub?"),
        ({"dataset": {"labels": ["a"]}}, "dataset.labels", "at least 2 items"),
        ({"dataset": {"labels": ["a", True]}}, "dataset.labels[1]", "text"),
        ({"dataset": None}, "dataset", "is required"),
        ({"name": None}, "name", "is required"),
        ({"name": "../up"}, "name", "plain name"),
        ({"name": "-rf"}, "name", "plain name"),
        ({"name": "a\x00b"}, "name", "plain name"),
        ({"compute": {"slots": 0}}, "compute.slots", "at least 1 or auto"),
        ({"compute": {"reload_check": "off"}}, "compute.reload_check", "true or false"),
        ({"compute": {"cost_probe": "off"}}, "compute.cost_probe", "true or false"),
        ({"compute": {"cost_prob": True}}, "compute.cost_prob", "did you mean cost_probe?"),
        ({"compute": {"gpus_per_trial": -1}}, "compute.gpus_per_trial", "at least 0"),
        ({"checkpoint": {"every_s": 0}}, "checkpoint.every_s", "above 0 or off"),
        ({"checkpoint": {"every_s": -60}}, "checkpoint.every_s", "above 0 or off"),
        ({"checkpoint": {"every_s": float("inf")}}, "checkpoint.every_s", "finite"),
        ({"checkpoint": {"every_s": True}}, "checkpoint.every_s", "a number or off"),
        ({"checkpoint": {"every_s": "never"}}, "checkpoint.every_s", "off"),
        ({"checkpoint": {"keep": 0}}, "checkpoint.keep", "at least 1"),
        ({"checkpoint": {"every": 60}}, "checkpoint.every", "did you mean every_s?"),
        ({"checkpoint": "off"}, "checkpoint", "a mapping"),
        ({"axes": {"checkpoint.keep": [1, 2]}}, "axes.checkpoint.keep", "no such key"),
        ({"baselines": ["tfid"]}, "baselines[0]", "did you mean tfidf?"),
        ({"keep_weights": "adapter"}, "keep_weights", "did you mean adapters?"),
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
        ({"revisions": {"tiny-bert": "main"}}, "revisions.tiny-bert", "no hub model"),
    ],
)
def test_single_faults(changes: dict[str, Any], path: str, words: str) -> None:
    found = problems_of(**changes)
    assert [problem.path for problem in found] == [path]
    assert words in str(found[0])


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


def test_all_faults_come_at_once() -> None:
    found = problems_of(
        name="..",
        recipe={"epohcs": 1, "epochs": -1},
        lora={"r": True},
        axes={"seed": [], "model": ["tiny-brt"], "nothing": [1]},
        baselines=["x"],
    )
    assert {problem.path for problem in found} == {
        "name",
        "recipe.epochs",
        "recipe.epohcs",
        "lora.r",
        "axes.seed",
        "axes.model[0]",
        "axes.nothing",
        "baselines[0]",
    }


def test_faults_of_yaml_overrides_and_schema_come_together(tmp_path: Path) -> None:
    path = tmp_path / "c.yaml"
    path.write_text(CONFIG + "recipe: {epochs: 1}\nlora: {r: 0}\n", encoding="utf-8")
    found = load_problems(path, "novalue", "axes.seed=[", "name.x=1", "lora.alhpa=3")
    assert [problem.path for problem in found] == [
        f"{path}:8",
        "--set novalue",
        "--set axes.seed:1",
        "--set name.x",
        "lora.r",
        "lora.alhpa",
    ]


@pytest.mark.parametrize("value", [None, [], 3, "text"])
@pytest.mark.parametrize(
    "section", ["axes", "dataset", "recipe", "lora", "variants", "exclude", "baselines", "revisions", "compute"]
)
def test_a_section_of_the_wrong_kind_is_a_problem_not_a_crash(section: str, value: Any) -> None:
    broken = {**document(), section: value}
    config, problems = check_document(broken)
    if section in ("exclude", "baselines") and value == []:
        assert config is not None
    else:
        assert section in {problem.path for problem in problems}


@pytest.mark.parametrize("text", ["", "# nothing", "- a\n- b", "just text"])
def test_a_file_without_a_mapping(tmp_path: Path, text: str) -> None:
    path = tmp_path / "c.yaml"
    path.write_text(text, encoding="utf-8")
    assert len(load_problems(path)) == 1


def test_missing_config_names_the_nearest_shipped_one(tmp_path: Path) -> None:
    (problem,) = load_problems("goemotoins")
    assert problem.suggestion == "did you mean goemotions?"
    (problem,) = load_problems(tmp_path)
    assert "is a folder" in problem.rule


def test_unreadable_bytes(tmp_path: Path) -> None:
    path = tmp_path / "c.yaml"
    path.write_bytes(b"name: \xff\xfe")
    (problem,) = load_problems(path)
    assert "UTF-8" in problem.rule


def test_byte_order_mark_is_accepted(tmp_path: Path) -> None:
    path = tmp_path / "c.yaml"
    path.write_bytes(b"\xef\xbb\xbf" + CONFIG.encode())
    assert load_config(str(path)).name == "mine"


def test_no_secret_in_any_message() -> None:
    secret = "hf_" + "a1B2" * 8
    found = problems_of(hf_token=secret, name=secret + "/", recipe={"api_key": secret}, dataset={"source": secret})
    assert len(found) == 4
    assert secret not in "\n".join(str(problem) for problem in found)


# How many cells


def test_a_million_cells_need_yes() -> None:
    changes = {"axes": {"seed": list(range(1000)), "max_length": list(range(4, 504))}}
    found = problems_of(**changes)
    assert [problem.path for problem in found] == ["axes"]
    assert "2,000,000 cells" in found[0].rule
    assert "--yes" in str(found[0])
    assert check_document(document(**changes), allow_large=True)[1] == []


def test_a_billion_cells_are_refused_without_being_made() -> None:
    changes = {"axes": {"seed": list(range(1000)), "r": list(range(1, 1001)), "alpha": list(range(1, 1001))}}
    _, found = check_document(document(**changes), allow_large=True)
    assert "4,000,000,000 cells" in found[0].rule


def test_count_leaves_out_axes_that_do_not_touch_a_strategy() -> None:
    config = config_of(
        axes={"strategy": ["full", "lora", "qlora"], "r": [4, 8], "double": [True, False], "epochs": [1, 2, 3]},
        baselines=["tfidf", "majority"],
    )
    base = 2 * 2 * 2  # models, label counts, seeds
    assert count_cells(config) == base * 3 + base * 3 * 2 + base * 3 * 4 + 2 * (2 * 2)
    assert count_cells(config) < MAX_CELLS


# Anything at all

FULL: dict[str, Any] = document(
    axes={"strategy": ["lora", "qlora"], "variant": ["a", "b"], "targets": [["query"], None], "recipe.epochs": [1, 2]},
    variants={"a": {"recipe": {"batch_size": 2}}, "b": {"lora": {"r": 2}}},
    exclude=[{"model": "tiny-bert", "seed": [0, 1]}, {"targets": ["query"]}],
    recipe={"patience": 3},
    lora={"dropout": 0.1},
    quantization={"type": "fp4"},
    compute={"slots": 4},
    baselines=["tfidf"],
    revisions={},
    keep_weights="best",
)
ANYTHING = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=5)
    | st.sampled_from(["all", "tiny-bert"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["seed", "recipe", "x"]), inner),
    max_leaves=4,
)


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Paths of everything inside a document."""
    found = [path] if path else []
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in items:
        found += places(inner, (*path, key))
    return found


@settings(max_examples=150, deadline=None)
@given(place=st.sampled_from(places(FULL)), value=ANYTHING)
def test_no_value_anywhere_can_crash_the_checks(place: tuple[Any, ...], value: Any) -> None:
    broken = copy.deepcopy(FULL)
    target: Any = broken
    for key in place[:-1]:
        target = target[key]
    target[place[-1]] = value
    config, problems = check_document(broken)
    assert (config is None) == bool(problems)
    assert all(str(problem).isprintable() for problem in problems)


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
