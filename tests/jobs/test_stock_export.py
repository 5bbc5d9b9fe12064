"""Cells of the stock engine, exported and loaded again by PEFT alone: every family, one classifier for all of them."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from jobs.export import ADAPTER
from jobs.models.families import FAMILIES
from jobs.peft_fields import without_adapters
from jobs.reload_check import Checker
from jobs.spec import WITHOUT_PREFIX, Ia3Spec, LoraSpec, PrefixSpec, RecipeSpec, Strategy
from jobs.training.reloading import compare
from jobs.training.stock_cell import mount, unmount
from tests.jobs.test_reload_check import exported, setup_for, texts_of
from tests.jobs.training.helpers import make_run, tiny_base

# PEFT asks transformers for it.
pytestmark = pytest.mark.filterwarnings("ignore:.*is_gradient_checkpointing.*:FutureWarning")

RECIPE = RecipeSpec(epochs=3, batch_size=8, learning_rate=1e-2)


@pytest.mark.parametrize("family", [family.key for family in FAMILIES])
def test_ia3_and_prefix_load_in_every_family(family: str, cache: Path, tmp_path: Path) -> None:
    """Label counts differ from cell to cell; nothing of one stays for the next."""
    base = tiny_base(family, cache, stock=True)
    checker = Checker(setup_for(base, cache, loads_base=True))
    cells: list[tuple[int, Strategy, dict[str, object]]] = [(3, Strategy.IA3, {"ia3": Ia3Spec()})]
    if family not in WITHOUT_PREFIX:
        has_network = FAMILIES[0].key != family
        cells += [(4, Strategy.PREFIX, {"prefix": PrefixSpec(tokens=3, projection=has_network)})]
    if family in ("bert", "deberta-v2"):
        cells += [(2, Strategy.IA3, {"ia3": Ia3Spec()})]
    for seed, (labels, strategy, sections) in enumerate(cells):
        run = make_run(base, seed, recipe=RECIPE, strategy=strategy, num_labels=labels, **sections)
        question, ours = exported(base, run, tmp_path / str(seed), cache, form=ADAPTER)
        found = compare(ours, checker.predict(question, texts_of(run)).numpy(), "fp32")
        assert found.marks == ()
        assert found.costs["reload_max_difference"] < 1e-4


def test_bf16_stays_within_what_rounding_explains(cache: Path, tmp_path: Path) -> None:
    base = tiny_base("llama", cache, stock=True, precision="bf16")
    checker = Checker(setup_for(base, cache, loads_base=True))
    for strategy in (Strategy.PREFIX, Strategy.IA3, Strategy.LORA):
        run = make_run(base, 1, recipe=RECIPE, strategy=strategy)
        question, ours = exported(base, run, tmp_path / strategy, cache)
        found = compare(ours, checker.predict(question, texts_of(run)).numpy(), "bf16")
        assert found.costs["reload_max_difference"] < 0.1


@pytest.mark.parametrize("family", ["bert", "deberta-v2"])
def test_a_classifier_is_as_before_when_adapters_are_off(family: str, cache: Path) -> None:
    base = tiny_base(family, cache, stock=True)
    names = [name for name, _ in base.model.named_modules()]
    for strategy, sections in (
        (Strategy.LORA, {"lora": LoraSpec(targets=("dense",))}),
        (Strategy.IA3, {}),
    ):
        run = make_run(base, 1, recipe=RECIPE, strategy=strategy, **sections)
        mounted = mount(base, run)
        assert any(name.endswith("base_layer") for name, _ in base.model.named_modules())
        unmount(base, mounted)
        assert [name for name, _ in base.model.named_modules()] == names
    assert without_adapters(mount(base, make_run(base, 1, recipe=RECIPE)).model) is base.model
    unmount(base, None)
    assert all(isinstance(parameter, torch.nn.Parameter) for parameter in base.model.parameters())
