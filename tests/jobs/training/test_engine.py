"""The engine: a packed cell equals the cell alone, and what happens to its neighbours changes nothing."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from jobs.spec import LoraSpec, QuantizationSpec, RecipeSpec
from jobs.training.cell_run import CellRun
from tests.jobs.training.helpers import cache_without_dropout, engine_for, make_run, tiny_base

RECIPE = RecipeSpec(epochs=3, batch_size=4, learning_rate=3e-3, warmup_steps=5, eval_every=8)
LORA = LoraSpec(r=4, alpha=8)


def train(engine: object, run: CellRun, steps: int) -> list[float]:
    losses = []
    for _ in range(steps):
        assert not engine.step()  # type: ignore[attr-defined]
        losses.append(run.last_finite_loss)
    return losses


@pytest.mark.parametrize("family", ["bert", "gemma3", "gpt2"])
@pytest.mark.parametrize("quantized", [True, False])
def test_packed_cells_equal_the_cell_alone(family: str, quantized: bool, cache: Path) -> None:
    """Unequal label counts, ranks, lengths and row counts, with dropout on and on a 4-bit base."""
    quantization = QuantizationSpec() if quantized else None
    base = tiny_base(family, cache, quantization=quantization, mode="quantized" if quantized else "resident")
    lora = LoraSpec(r=4, alpha=8, dropout=0.1)

    def fresh(seed: int) -> CellRun:
        rank = LoraSpec(r=2 + seed % 3, alpha=8, dropout=0.1) if seed != 5 else lora
        return make_run(base, seed, recipe=RECIPE, lora=rank, num_labels=2 + seed % 4, num_train=16 + seed)

    alone = fresh(5)
    engine = engine_for(base, [alone])
    alone_losses = train(engine, alone, 12)
    alone_logits = engine.predict([alone], "test")[0]

    runs = [fresh(seed) for seed in (3, 8, 5, 6)]
    packed = runs[2]
    engine = engine_for(base, runs)
    packed_losses = train(engine, packed, 12)
    packed_logits = engine.predict(runs, "test")[2]

    np.testing.assert_allclose(packed_losses, alone_losses, rtol=2e-4, atol=2e-5)
    np.testing.assert_allclose(packed_logits, alone_logits, rtol=5e-3, atol=5e-3)


def test_a_diverging_neighbour_leaves_and_changes_nothing(cache: Path) -> None:
    base = tiny_base("bert", cache)
    calm = make_run(base, 1, recipe=RECIPE, lora=LORA)
    wild = make_run(base, 2, recipe=RECIPE, lora=LORA)
    engine = engine_for(base, [wild, calm])
    engine.row_of(wild).fill_(float("nan"))
    found = engine.step()
    assert [d.run for d in found] == [wild]
    assert "step 1" in found[0].reason
    engine.release(wild)
    alone = make_run(base, 1, recipe=RECIPE, lora=LORA)
    other = engine_for(base, [alone])
    other.step()
    for _ in range(4):
        assert not engine.step()
        other.step()
    torch.testing.assert_close(engine.row_of(calm), other.row_of(alone), rtol=1e-3, atol=1e-5)


def test_every_cell_learns_and_a_released_cell_stands_still(cache: Path) -> None:
    base = tiny_base("llama", cache)
    runs = [make_run(base, seed, recipe=RECIPE, lora=LORA) for seed in (1, 2, 3)]
    engine = engine_for(base, runs)
    for _ in range(6):
        engine.step()
    for run in runs:
        tensors = engine.tensors_of(run)
        assert all(tensors[name].abs().sum() > 0 for name in tensors if name.endswith("lora_B"))
    frozen = engine.row_of(runs[0]).clone()
    engine.release(runs[0])
    assert [run.cell_id for run in engine.live] == [runs[2].cell_id, runs[1].cell_id]
    before = engine.row_of(runs[2]).clone()
    engine.step()
    assert not torch.equal(before, engine.row_of(runs[2]))
    assert torch.isfinite(frozen).all()


def test_padding_of_small_cells_stays_zero(cache: Path) -> None:
    base = tiny_base("qwen2", cache)
    small = make_run(base, 1, recipe=RECIPE, lora=LoraSpec(r=2, alpha=4, targets=("q_proj",)), num_labels=2)
    large = make_run(base, 2, recipe=RECIPE, lora=LoraSpec(r=8, alpha=4), num_labels=7)
    engine = engine_for(base, [small, large])
    for _ in range(5):
        engine.step()
    own = engine.tensors_of(small)
    numbers = sum(int((tensor != 0).sum()) for tensor in own.values())
    assert int((engine.row_of(small) != 0).sum()) == numbers


def test_accumulation_equals_one_large_batch(cache: Path, tmp_path: Path) -> None:
    base = tiny_base("bert", cache_without_dropout("bert", cache, tmp_path))
    large = RecipeSpec(epochs=2, batch_size=8, learning_rate=3e-3, eval_every=100)
    split = RecipeSpec(epochs=2, batch_size=2, gradient_accumulation=4, learning_rate=3e-3, eval_every=100)
    rows = []
    for recipe, passes in ((large, 4), (split, 16)):
        run = make_run(base, 4, recipe=recipe, lora=LORA)
        engine = engine_for(base, [run])
        for _ in range(passes):
            engine.step()
        assert run.step == 4
        rows.append(engine.row_of(run).clone())
    torch.testing.assert_close(rows[0], rows[1], rtol=1e-3, atol=1e-5)


def test_eight_bit_optimizer_trains(cache: Path) -> None:
    base = tiny_base("bert", cache)
    recipe = RecipeSpec(epochs=4, batch_size=8, learning_rate=5e-3, optimizer="adamw_bnb_8bit")
    run = make_run(base, 4, recipe=recipe, lora=LORA)
    engine = engine_for(base, [run])
    losses = train(engine, run, 16)
    assert np.mean(losses[-4:]) < np.mean(losses[:4])


def test_cells_with_losses_of_every_kind_train_together_as_alone(cache: Path) -> None:
    base = tiny_base("bert", cache)
    declared = [
        {"recipe": RecipeSpec(epochs=2, learning_rate=3e-3)},
        {"recipe": RecipeSpec(epochs=2, learning_rate=3e-3, class_weights="inverse", focal_gamma=2.0)},
        {"recipe": RecipeSpec(epochs=2, learning_rate=3e-3), "task": "multi_label", "num_labels": 5},
        {
            "recipe": RecipeSpec(epochs=2, learning_rate=3e-3, class_weights="effective_number", resample=0.3),
            "task": "multi_label",
            "num_labels": 4,
        },
    ]

    def runs() -> list[CellRun]:
        return [make_run(base, 40 + seed, **settings) for seed, settings in enumerate(declared)]  # type: ignore[arg-type]

    together = runs()
    engine = engine_for(base, together)
    packed = [[run.last_finite_loss for run in together] for _ in range(12) if not engine.step()]
    predicted = engine.predict(together, "test")
    for place, run in enumerate(runs()):
        alone = engine_for(base, [run])
        losses = train(alone, run, 12)
        np.testing.assert_allclose([step[place] for step in packed], losses, rtol=1e-4)
        np.testing.assert_allclose(predicted[place], alone.predict([run], "test")[0], atol=2e-4)
