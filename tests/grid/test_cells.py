"""Cells: the product of the axes, each point complete, nothing twice, exclusions and baselines as documented."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from grid.cells import declared_cells
from grid.config import check_document, count_cells
from grid.resolve import OfflineResolver
from jobs.errors import ConfigError
from jobs.spec import TINY_VERSION, CellSpec, LoraSpec, QuantizationSpec, RecipeSpec, Strategy, from_json, to_json
from tests.grid.documents import cells_of, config_of


def test_product_in_axis_order() -> None:
    cells = cells_of()
    assert [(c.axes["model"], c.data.num_labels, c.seed) for c in cells] == [
        (model, labels, seed) for model in ("tiny-bert", "tiny-gpt2") for labels in (2, 4) for seed in (0, 1)
    ]
    assert len({cell.cell_id for cell in cells}) == 8
    assert all(len(cell.cell_id) == 16 and int(cell.cell_id, 16) >= 0 for cell in cells)


def test_a_cell_is_complete() -> None:
    cell = cells_of(
        axes={"learning_rate": [1e-3], "r": [2], "variant": ["fp4"], "strategy": ["qlora"]},
        recipe={"epochs": 2},
        lora={"alpha": 4},
        variants={"fp4": {"quantization": {"type": "fp4"}, "recipe": {"batch_size": 2}}},
        compute={"numerics": "fast"},
        keep_weights="all",
    )[0]
    assert cell.recipe == RecipeSpec(epochs=2, learning_rate=1e-3, batch_size=2)
    assert cell.lora == LoraSpec(r=2, alpha=4)
    assert cell.quantization == QuantizationSpec(type="fp4")
    assert cell.model is not None
    assert (cell.model.source, cell.model.location, cell.model.revision) == ("tiny", "bert", TINY_VERSION)
    assert (cell.compute.numerics, cell.keep_weights, cell.variant, cell.grid) == ("fast", "all", "fp4", "small")
    assert list(cell.axes) == [
        "model",
        "num_labels",
        "num_samples",
        "seed",
        "learning_rate",
        "r",
        "variant",
        "strategy",
    ]
    assert from_json(CellSpec, to_json(cell)) == cell


def test_strategies_get_what_they_use_and_are_not_repeated_for_the_rest() -> None:
    cells = cells_of(axes={"strategy": ["full", "head", "lora", "qlora"], "r": [4, 8], "type": ["nf4", "fp4"]})
    per_point = 2 * 2 * 2
    counts = Counter(str(cell.strategy) for cell in cells)
    assert counts == {"full": per_point, "head": per_point, "lora": 2 * per_point, "qlora": 4 * per_point}
    for cell in cells:
        assert (cell.lora is not None) == cell.strategy.has_adapters
        assert (cell.quantization is not None) == (cell.strategy is Strategy.QLORA)
    full = next(cell for cell in cells if cell.strategy is Strategy.FULL)
    assert (full.axes["r"], full.axes["type"]) == (None, None)


def test_variants_equal_for_a_strategy_are_one_cell() -> None:
    cells = cells_of(
        axes={
            "model": ["tiny-bert"],
            "num_labels": [2],
            "seed": [0],
            "strategy": ["full", "lora"],
            "variant": ["a", "b"],
        },
        variants={"a": {"lora": {"r": 4}}, "b": {"lora": {"r": 16}}},
    )
    assert [(str(cell.strategy), cell.variant) for cell in cells] == [("full", "a"), ("lora", "a"), ("lora", "b")]


def test_baselines_are_not_crossed_with_models_or_recipes() -> None:
    cells = cells_of(
        axes={"learning_rate": [1e-3, 1e-4], "r": [1, 2], "test_per_label": [10, 20]}, baselines=["tfidf", "majority"]
    )
    baselines = [cell for cell in cells if cell.strategy.is_baseline]
    assert len(baselines) == 2 * (2 * 1 * 2 * 2)
    assert list(cells[-len(baselines) :]) == baselines
    for cell in baselines:
        assert (cell.model, cell.lora, cell.quantization, cell.variant) == (None, None, None, None)
        assert (cell.axes["model"], cell.axes["learning_rate"], cell.recipe) == (None, None, RecipeSpec())


def test_baselines_alone() -> None:
    cells = cells_of(axes={"model": ...}, baselines=["majority"])
    assert {cell.strategy for cell in cells} == {Strategy.MAJORITY}
    assert len(cells) == 4


def test_exclusions_match_all_their_axes() -> None:
    cells = cells_of(
        axes={"strategy": ["lora", "qlora"]},
        baselines=["tfidf"],
        exclude=[
            {"model": "tiny-gpt2", "num_labels": 4},
            {"seed": [1], "strategy": ["qlora", "tfidf"]},
        ],
    )
    assert not [c for c in cells if c.axes["model"] == "tiny-gpt2" and c.data.num_labels == 4]
    assert not [c for c in cells if c.seed == 1 and c.strategy in (Strategy.QLORA, Strategy.TFIDF)]
    assert len(cells) == (2 * 2 * 2 * 2 + 4) - 4 - 2 * 2 - 2 + 1


def test_excluding_everything_is_refused() -> None:
    with pytest.raises(ConfigError, match="none of the 8"):
        cells_of(exclude=[{"num_samples": 80}])


def test_all_and_per_label_sizes() -> None:
    cell = cells_of(axes={"num_labels": ["all"], "num_samples": ["all"]})[0]
    assert (cell.data.num_labels, cell.data.num_samples) == (None, None)
    assert (cell.axes["num_labels"], cell.axes["num_samples"]) == ("all", "all")


def test_lists_on_an_axis_are_shown_as_text() -> None:
    cells = cells_of(axes={"targets": [["query"], ["query", "value"], None]})
    assert {cell.axes["targets"] for cell in cells} == {"query", "query, value", None}
    assert {cell.lora.targets for cell in cells if cell.lora} == {("query",), ("query", "value"), None}


def make_model(folder: Path, config: str) -> str:
    folder.mkdir(parents=True)
    (folder / "config.json").write_text(config, encoding="utf-8")
    return str(folder)


def test_folders_with_equal_names_are_told_apart(tmp_path: Path) -> None:
    first, second = make_model(tmp_path / "a" / "m", "{}"), make_model(tmp_path / "b" / "m", "{ }")
    cells = cells_of(axes={"model": [first, second], "num_labels": [2], "seed": [0]})
    assert [cell.axes["model"] for cell in cells] == ["a/m", "b/m"]
    assert cells[0].cell_id != cells[1].cell_id


def test_folders_with_equal_files_are_the_same_model(tmp_path: Path) -> None:
    first, second = make_model(tmp_path / "a", "{}"), make_model(tmp_path / "b", "{}")
    with pytest.raises(ConfigError, match="the files are equal"):
        cells_of(axes={"model": [first, second]})


def test_the_data_is_resolved_once_for_many_cells() -> None:
    calls = []

    def fingerprint(data: object) -> str:
        calls.append(data)
        return "1"

    declared_cells(config_of(axes={"seed": list(range(20))}), OfflineResolver(fingerprint=fingerprint))
    assert len(calls) == 1


@settings(max_examples=30, deadline=None)
@given(
    seeds=st.lists(st.integers(0, 99), min_size=1, max_size=4, unique=True),
    ranks=st.lists(st.integers(1, 9), min_size=1, max_size=3, unique=True),
    strategies=st.lists(st.sampled_from(["full", "head", "lora", "qlora"]), min_size=1, unique=True),
    baselines=st.lists(st.sampled_from(["tfidf", "majority"]), unique=True),
)
def test_the_count_is_that_of_the_cells(
    seeds: list[int], ranks: list[int], strategies: list[str], baselines: list[str]
) -> None:
    axes = {"seed": seeds, "r": ranks, "strategy": strategies}
    cells = cells_of(axes=axes, baselines=baselines)
    assert len(cells) == count_cells(config_of(axes=axes, baselines=baselines))
    assert len({cell.cell_id for cell in cells}) == len(cells)


@settings(max_examples=20, deadline=None)
@given(st.permutations(["model", "num_labels", "num_samples", "seed", "learning_rate"]))
def test_ids_do_not_depend_on_the_order_of_keys(order: list[str]) -> None:
    values = {"num_samples": [80], "num_labels": [4, 2], "seed": [1, 0], "learning_rate": [1e-4, 3e-4]}
    values["model"] = ["tiny-gpt2", "tiny-bert"]  # type: ignore[list-item]
    expected = {cell.cell_id for cell in cells_of(axes={"learning_rate": [1e-4, 3e-4]})}
    found, problems = check_document(
        {"dataset": {"source": "builtin"}, "axes": {name: values[name] for name in order}, "name": "small"}
    )
    assert problems == []
    assert found is not None
    cells = declared_cells(found, OfflineResolver(fingerprint=lambda data: "1"))
    assert {cell.cell_id for cell in cells} == expected
