"""Which modules get adapters: targets, and the layers that a cell limits them to."""

from __future__ import annotations

from pathlib import Path

import pytest

from jobs.errors import UserError
from jobs.spec import LoraSpec, RecipeSpec
from jobs.training.adapters import adapter_shapes
from tests.jobs.training.helpers import ALL_FAMILIES, engine_for, make_run, tiny_base


@pytest.mark.parametrize("family", ALL_FAMILIES)
def test_layers_limit_the_targets(family: str, cache: Path) -> None:
    base = tiny_base(family, cache)
    every, last = adapter_shapes(base, LoraSpec()), adapter_shapes(base, LoraSpec(layers=(1,)))
    assert last and set(last) == {name for name in every if ".1." in f".{name}"} != set(every)
    assert adapter_shapes(base, LoraSpec(layers=(1, 0))) == every


def test_a_layer_that_is_not_there_is_refused(cache: Path) -> None:
    with pytest.raises(UserError, match=r"lora\.layers = 2, 7: this model's targets stand in layers 0 to 1"):
        adapter_shapes(tiny_base("bert", cache), LoraSpec(layers=(1, 2, 7)))


def test_cells_with_different_layers_train_together(cache: Path) -> None:
    base = tiny_base("llama", cache)
    recipe, choices = RecipeSpec(learning_rate=1e-3), ((0,), (1,), None)
    runs = [make_run(base, n, recipe=recipe, lora=LoraSpec(layers=layers)) for n, layers in enumerate(choices)]
    engine = engine_for(base, runs)
    for _ in range(3):
        assert engine.step() == []
    for run in runs:
        moved = engine.tensors_of(run)
        assert set(moved) == set(run.initial)
        assert all(moved[name].abs().sum() > 0 for name in moved if name.endswith("lora_B"))
