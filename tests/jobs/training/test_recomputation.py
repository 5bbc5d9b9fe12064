"""Gradient checkpointing: fewer activations are kept, and not a bit of any gradient changes."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor

from jobs.models.loading import Base
from jobs.spec import LoraSpec, QuantizationSpec, RecipeSpec, Strategy
from jobs.training.cell_run import CellRun
from jobs.training.engine import PackEngine
from jobs.training.recomputation import recomputed_layers
from tests.jobs.training.helpers import engine_for, make_run, tiny_base

RECIPE = RecipeSpec(epochs=3, batch_size=4, learning_rate=3e-3, gradient_accumulation=2)
LORA = LoraSpec(r=4, alpha=8, dropout=0.1)


def gradients(base: Base, *, recompute: bool, strategy: Strategy = Strategy.LORA) -> dict[str, Tensor]:
    """Gradients that one pass leaves in the middle of an optimiser step."""
    run = make_run(base, 1, recipe=RECIPE, lora=LORA, strategy=strategy)
    run.recomputes_layers = recompute
    engine = engine_for(base, [run])
    assert not engine.step()
    tensors = engine.state_of(run).tensors
    engine.release(run)
    return {name: tensor for name, tensor in tensors.items() if name.startswith("grad/")}


def assert_equal_bits(first: dict[str, Tensor], second: dict[str, Tensor]) -> None:
    assert first.keys() == second.keys()
    assert any(tensor.any() for tensor in first.values())
    for name in first:
        assert torch.equal(first[name], second[name]), name


@pytest.mark.parametrize("family", ["bert", "llama", "gpt2", "gemma3", "distilbert"])
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_gradients_are_equal_bit_for_bit(family: str, precision: str, cache: Path) -> None:
    """Dropout of the base and of the adapters is on: the second pass draws the masks of the first."""
    base = tiny_base(family, cache, precision=precision)
    assert_equal_bits(gradients(base, recompute=False), gradients(base, recompute=True))


def test_on_a_4_bit_base(cache: Path) -> None:
    base = tiny_base("bert", cache, quantization=QuantizationSpec(), mode="quantized")
    assert_equal_bits(gradients(base, recompute=False), gradients(base, recompute=True))


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_weights_of_the_whole_model(precision: str, cache: Path) -> None:
    """In bf16 the layers run under autocast, and their second run must, too."""
    base = tiny_base("llama", cache, precision=precision, trainable=True)
    found = [gradients(base, recompute=recompute, strategy=Strategy.FULL) for recompute in (False, True)]
    assert_equal_bits(*found)


def test_layers_run_twice_for_the_cell_that_asks_for_it_and_once_for_others(
    cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    base = tiny_base("bert", cache)
    last = base.model.get_submodule(base.family.layers)[-1].attention  # type: ignore[index]
    calls: list[object] = []
    last.register_forward_hook(lambda *arguments: calls.append(arguments[0]))

    def step(*, recompute: bool) -> int:
        calls.clear()
        gradients(base, recompute=recompute)
        return len(calls)

    assert [step(recompute=recompute) for recompute in (False, True, False)] == [1, 2, 1]


def test_predictions_do_not_recompute(cache: Path) -> None:
    base = tiny_base("bert", cache)
    logits = []
    for recompute in (False, True):
        run = make_run(base, 1, recipe=RECIPE, lora=LORA)
        run.recomputes_layers = recompute
        logits.append(engine_for(base, [run]).predict([run], "test")[0])
    assert (logits[0] == logits[1]).all()


def test_the_backward_pass_may_run_in_a_thread_without_this_ones_state(
    cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On CUDA autograd's own threads run it: the pack state, which is a thread's own, has to come along."""
    base = tiny_base("bert", cache)
    expected = gradients(base, recompute=True)
    backward = Tensor.backward

    def without_state(tensor: Tensor) -> None:
        state = vars(base.state)
        kept = dict(state)
        state.update(batch=None, adapters=None, adapter_dropout=0.0)
        backward(tensor)
        assert state["batch"] is None
        state.update(kept)

    monkeypatch.setattr(Tensor, "backward", without_state)
    assert_equal_bits(expected, gradients(base, recompute=True))


def test_the_switch_is_off_again_after_a_failure(cache: Path) -> None:
    base = tiny_base("bert", cache)
    with pytest.raises(ZeroDivisionError), recomputed_layers(base, enabled=True):
        raise ZeroDivisionError
    run: CellRun = make_run(base, 1, recipe=RECIPE, lora=LORA)
    engine: PackEngine = engine_for(base, [run])
    assert not engine.step()
