"""Configs as files: what is accepted, what becomes of `--set`, faults of all stages together, how many cells."""

from __future__ import annotations

from pathlib import Path

import pytest

from grid.config import MAX_CELLS, check_document, count_cells, load_config
from jobs.errors import ConfigError, Problem
from jobs.spec import (
    CheckpointSpec,
    ComputeSpec,
    DataSpec,
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


def test_byte_order_mark_is_accepted(tmp_path: Path) -> None:
    path = tmp_path / "c.yaml"
    path.write_bytes(b"\xef\xbb\xbf" + CONFIG.encode())
    assert load_config(str(path)).name == "mine"


# What is refused


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
