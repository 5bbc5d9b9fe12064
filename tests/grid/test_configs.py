"""The shipped configs: each is right, and is the grid that the documents promise."""

from __future__ import annotations

from pathlib import Path

import pytest

from grid.cells import declared_cells
from grid.config import DEFAULT_CONFIG, load_config, shipped_configs
from grid.config_yaml import parse_yaml
from grid.devices import Devices
from grid.known_models import KNOWN_MODELS
from grid.plan import make_plan
from grid.preflight import check_data
from grid.resolve import OfflineResolver
from jobs.errors import ConfigError
from jobs.spec import CheckpointSpec, ComputeSpec, LoraSpec, QuantizationSpec, RecipeSpec, Strategy, to_json

REAL_DATA = Path(__file__).parents[3] / "shared" / "data" / "goemotions"
OVERRIDES = {"goemotions-local": ["dataset.path={folder}"]}


def test_the_promised_configs_are_there() -> None:
    assert {"demo", "quickstart", "goemotions", "goemotions-local"} <= set(shipped_configs())
    assert DEFAULT_CONFIG == "goemotions"


@pytest.mark.parametrize("name", shipped_configs())
def test_each_is_right_and_named_like_its_file(name: str, tmp_path: Path) -> None:
    config = load_config(name, overrides=[text.format(folder=tmp_path) for text in OVERRIDES.get(name, [])])
    assert config.name == name
    assert shipped_configs()[name].startswith("# ")


def test_demo_is_the_promised_grid_and_offline() -> None:
    config = load_config("demo")
    cells = declared_cells(config, OfflineResolver())
    trained = [cell for cell in cells if cell.model is not None]
    assert len(trained) == 5 * 4 * 3 * 2
    assert len(cells) - len(trained) == 2 * 4 * 3 * 2
    assert {KNOWN_MODELS[cell.axes["model"]].family for cell in trained} == {"bert", "qwen2", "llama", "gpt2", "gemma3"}
    assert {cell.strategy for cell in trained} == {Strategy.QLORA}
    assert {cell.quantization for cell in trained} == {QuantizationSpec(type="nf4", double=True)}
    assert all(cell.data.revision and (cell.model is None or cell.model.revision) for cell in cells)
    assert check_data(cells).faults == ()


def test_demo_is_planned_as_minutes_on_two_cores() -> None:
    cells = declared_cells(load_config("demo"), OfflineResolver(fingerprint=lambda data: "1"))
    assert make_plan(cells, {}, Devices(cpus=2)).estimated_seconds < 600


def test_quickstart_needs_no_licence() -> None:
    config = load_config("quickstart")
    assert not any(KNOWN_MODELS[model.declared].gated for model in config.models)
    assert config.axis("num_labels") == (2, 4, 8, 16)
    assert config.axis("num_samples") == (800,)


def test_goemotions_is_the_missions_grid() -> None:
    config = load_config(None)
    cells = declared_cells(config, OfflineResolver(fingerprint=lambda data: None))
    assert len([cell for cell in cells if cell.model is not None]) == 5 * 4 * 3 * 5
    assert config.recipe == RecipeSpec(warmup_steps=100, eval_every=50, patience=10)
    assert config.lora == LoraSpec(r=4, alpha=32, dropout=0.05)
    assert {cell.data.protocol for cell in cells} == {"nested"}


def test_goemotions_spells_out_every_setting() -> None:
    document, problems = parse_yaml(shipped_configs()["goemotions"], "goemotions.yaml")
    assert problems == []
    recipe = set(to_json(RecipeSpec())) - {"warmup_ratio"}
    assert recipe <= set(document["recipe"])
    assert set(to_json(LoraSpec())) <= set(document["lora"])
    assert set(to_json(QuantizationSpec())) <= set(document["quantization"])
    assert set(to_json(ComputeSpec())) - {"checkpoint"} <= set(document["compute"])
    assert set(to_json(CheckpointSpec())) == set(document["checkpoint"])


def test_local_config_asks_for_the_folder() -> None:
    with pytest.raises(ConfigError, match=r"dataset\.path.*--set dataset\.path=DATA"):
        load_config("goemotions-local")


@pytest.mark.real_data
@pytest.mark.skipif(not REAL_DATA.is_dir(), reason="the GoEmotions files are not on this machine")
def test_local_config_on_the_real_rows() -> None:
    config = load_config("goemotions-local", overrides=[f"dataset.path={REAL_DATA}"])
    cells = declared_cells(config, OfflineResolver())
    assert len(cells) == 36
    assert check_data(cells).faults == ()
