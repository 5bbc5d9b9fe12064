"""The stock engine equals HF Trainer + PEFT, goes on after a break bit by bit, and leaves nothing on the classifier."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from jobs.errors import UserError
from jobs.models.tiny import tiny_folder
from jobs.spec import Ia3Spec, LoraSpec, PrefixSpec, QuantizationSpec, RecipeSpec, Strategy
from jobs.training.adapters import scaled_layers
from jobs.training.cell_run import CellRun
from jobs.training.engine import PackEngine
from jobs.training.finish import counts_of
from tests.jobs.training.helpers import cache_without_dropout, engine_for, make_run, tiny_base
from tests.jobs.training.stock_reference import train_stock_with_trainer

pytestmark = pytest.mark.filterwarnings(
    "ignore:.*is_gradient_checkpointing.*:FutureWarning"
)  # PEFT asks transformers so

NUM_TRAIN = 34
"""Eight batches of four rows and one of two."""
RECIPE = RecipeSpec(epochs=3, batch_size=4, learning_rate=3e-3, warmup_steps=4, weight_decay=0.01)
LORA = LoraSpec(r=4, alpha=8)


@dataclass(frozen=True, kw_only=True)
class Case:
    """One comparison with the Trainer."""

    family: str
    strategy: Strategy
    sections: dict[str, Any]
    zero: str = "-"
    """Tensors with this in their name have no gradient but rounding, which Adam turns into steps."""

    def __str__(self) -> str:
        """Name of the test."""
        prefix = self.sections.get("prefix")
        return f"{self.family}-{self.strategy}" + ("-projection" if prefix and prefix.projection else "")


CASES = (
    Case(family="bert", strategy=Strategy.IA3, sections={}),
    Case(family="bert", strategy=Strategy.PREFIX, sections={"prefix": PrefixSpec(tokens=4)}),
    Case(family="qwen2", strategy=Strategy.PREFIX, sections={"prefix": PrefixSpec(tokens=4, projection=True)}),
    Case(family="deberta-v2", strategy=Strategy.LORA, sections={"lora": LORA}),
    Case(family="deberta-v2", strategy=Strategy.FULL, sections={}, zero="key_proj.bias"),
)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_one_cell_trains_as_with_hf_trainer(case: Case, cache: Path, tmp_path: Path) -> None:
    own_cache = cache_without_dropout(case.family, cache, tmp_path / "cache")
    base = tiny_base(case.family, own_cache, stock=True, trainable=case.strategy is Strategy.FULL)
    rate = 5e-4 if case.strategy is Strategy.FULL else RECIPE.learning_rate
    recipe = replace(RECIPE, learning_rate=rate)
    run = make_run(base, 11, strategy=case.strategy, recipe=recipe, num_train=NUM_TRAIN, **case.sections)
    expected = train_stock_with_trainer(
        run, base, location=tiny_folder(case.family, own_cache), folder=tmp_path / "trainer"
    )
    assert expected.shapes == run.shapes
    assert len(expected.losses) == run.total_steps >= 20
    engine = engine_for(base, [run])
    np.testing.assert_allclose(train(engine, run), expected.losses, rtol=0, atol=1e-5)
    ours = engine.tensors_of(run)
    moving = [name for name in expected.tensors if case.zero not in name]
    far = {n: float((ours[n] - expected.tensors[n]).norm()) for n in moving}
    moved = {n: float((expected.tensors[n] - run.initial[n]).norm()) for n in moving}
    assert min(moved.values()) > 0
    assert {n: f for n, f in far.items() if f > 1e-4 * max(moved[n], rate)} == {}
    np.testing.assert_allclose(engine.predict([run], "test")[0], expected.test_logits, rtol=0, atol=1e-4)
    if expected.trainable:
        found = counts_of(run, base)
        assert (found["trainable_parameters"], found["total_parameters"]) == (expected.trainable, expected.total)


def train(engine: PackEngine, run: CellRun, *, steps: int | None = None) -> list[float]:
    losses = []
    while not run.finished and (steps is None or len(losses) < steps):
        assert not engine.step()
        if run.step_completed:
            assert run.last_finite_loss is not None
            losses.append(run.last_finite_loss)
    return losses


CELLS = (
    (Strategy.IA3, {}),
    (Strategy.PREFIX, {}),
    (Strategy.LORA, {"lora": replace(LORA, dropout=0.2)}),
    (Strategy.FULL, {}),
    (Strategy.HEAD, {}),
)


@pytest.mark.parametrize(("strategy", "sections"), CELLS, ids=[str(strategy) for strategy, _ in CELLS])
def test_a_break_and_other_cells_in_between_change_no_bit(
    strategy: Strategy, sections: dict[str, Any], cache: Path
) -> None:
    """Dropout is on. The break comes within an optimiser step of two micro-batches."""
    base = tiny_base("bert", cache, stock=True, trainable=strategy is Strategy.FULL)
    recipe = replace(RECIPE, epochs=1, gradient_accumulation=2)

    def new(seed: int) -> CellRun:
        return make_run(base, seed, strategy=strategy, recipe=recipe, num_train=24, **sections)

    before = {name: tensor.clone() for name, tensor in base.pristine.items()}
    undisturbed = new(1)
    engine = engine_for(base, [undisturbed])
    losses = train(engine, undisturbed)
    wanted, logits = engine.tensors_of(undisturbed), engine.predict([undisturbed], "test")[0]
    engine.release(undisturbed)

    broken = new(1)
    engine = engine_for(base, [broken])
    first = train(engine, broken, steps=1)
    assert not engine.step()
    state = engine.state_of(broken)
    engine.release(broken)
    other = new(2)
    others = engine_for(base, [other])
    train(others, other, steps=1)
    others.release(other)
    torch.manual_seed(99)  # nobody else's randomness counts
    engine.admit(broken, state)
    assert first + train(engine, broken) == losses
    assert all(torch.equal(tensor, wanted[name]) for name, tensor in engine.tensors_of(broken).items())
    assert np.array_equal(engine.predict([broken], "test")[0], logits)
    engine.release(broken)
    assert all(torch.equal(tensor, before[name]) for name, tensor in base.pristine.items())
    assert not any(parameter.requires_grad for parameter in base.model.parameters())


@pytest.mark.parametrize("strategy", [Strategy.IA3, Strategy.LORA])
def test_layers_computed_twice_change_nothing(strategy: Strategy, cache: Path) -> None:
    base = tiny_base("deberta-v2", cache, stock=True)
    tensors = []
    for recomputes in (False, True):
        run = make_run(base, 3, strategy=strategy, recipe=replace(RECIPE, epochs=1), num_train=12)
        run.recomputes_layers = recomputes
        engine = engine_for(base, [run])
        assert engine.can_recompute(run)
        train(engine, run)
        tensors.append(engine.tensors_of(run))
        engine.release(run)
    assert all(torch.equal(tensor, tensors[1][name]) for name, tensor in tensors[0].items())


def test_what_cannot_be_computed_twice_says_so(cache: Path) -> None:
    base = tiny_base("bert", cache, stock=True)
    for strategy in (Strategy.PREFIX, Strategy.HEAD):
        run = make_run(base, 3, strategy=strategy, recipe=RECIPE)
        engine = engine_for(base, [run])
        assert not engine.can_recompute(run)
        engine.release(run)


@pytest.mark.parametrize(("kind", "mode"), [("nf4", "resident"), ("fp4", "quantized")])
def test_deberta_trains_over_a_base_of_4_bits(kind: str, mode: str, cache: Path) -> None:
    base = tiny_base("deberta-v2", cache, quantization=QuantizationSpec(type=kind), mode=mode)
    assert base.is_stock
    four_bit = [name for name, module in base.model.named_modules() if type(module).__name__ == "Linear4bit"]
    assert bool(four_bit) == (mode == "quantized")
    assert not any(name.startswith(("pooler", "classifier")) for name in four_bit)
    run = make_run(base, 1, strategy=Strategy.QLORA, recipe=replace(RECIPE, learning_rate=1e-2), lora=LORA)
    losses = train(engine_for(base, [run]), run)
    assert losses[-1] < 0.7 * losses[0]


def test_prefixes_are_refused_where_a_model_takes_no_past(cache: Path) -> None:
    for family in ("distilbert", "deberta-v2"):
        base = tiny_base(family, cache, stock=True)
        with pytest.raises(UserError, match=f"strategy prefix: model type {family} takes no keys"):
            make_run(base, 1, strategy=Strategy.PREFIX, recipe=RECIPE)


def test_layers_of_ia3(cache: Path) -> None:
    base = tiny_base("bert", cache, stock=True)
    layer = "bert.encoder.layer.{}."

    def found(ia3: Ia3Spec) -> tuple[set[str], set[str]]:
        scaled, feedforward = scaled_layers(base, ia3)
        return {n.removeprefix(layer.format(n[19])) for n in scaled}, {
            n.removeprefix(layer.format(n[19])) for n in feedforward
        }

    outputs = {"attention.output.dense", "output.dense"}
    assert found(Ia3Spec()) == ({"attention.self.key", "attention.self.value"} | outputs, outputs)
    assert found(Ia3Spec(targets=("query",))) == ({"attention.self.query"}, set())
    assert found(Ia3Spec(targets=("query", "intermediate.dense"), feedforward=("intermediate.dense",))) == (
        {"attention.self.query", "intermediate.dense"},
        {"intermediate.dense"},
    )
    assert found(Ia3Spec(targets=("key", "output.dense"), feedforward=())) == ({"attention.self.key"} | outputs, set())
    with pytest.raises(UserError, match=r"ia3\.targets: 'nothing' matches no linear layer"):
        found(Ia3Spec(targets=("nothing",)))
    with pytest.raises(UserError, match=r"ia3\.feedforward: 'value' matches"):
        found(Ia3Spec(targets=("key",), feedforward=("value",)))
