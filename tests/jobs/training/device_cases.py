"""Training where the device is not the CPU: nothing is mixed, the host waits where it must and nowhere else.

On a pretended device (benchmarks/pretended_device.py), whose numbers are the CPU's: what a GPU computes is not tested.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from jobs.models import device as devices
from jobs.spec import ComputeSpec, LoraSpec, QuantizationSpec, RecipeSpec, Strategy
from jobs.training.cell_run import CellRun
from jobs.training.engine import PackEngine
from jobs.trial import Workshop
from tests.jobs.test_trial import cell, pack, result_of, run
from tests.jobs.training.helpers import DECODERS, engine_for, make_run, tiny_base

BENCHMARKS = Path(__file__).resolve().parents[3] / "benchmarks"
RECIPE = RecipeSpec(epochs=3, batch_size=4, learning_rate=3e-3, warmup_steps=2, eval_every=8)
HOST = torch.device("cpu")


@pytest.fixture(scope="module")
def pretended() -> Iterator[Any]:
    """The module with the pretended device; scripts of one folder import each other by plain names."""
    sys.path.insert(0, str(BENCHMARKS))
    import pretended_device

    with pretended_device.counted():
        yield pretended_device
    sys.path.remove(str(BENCHMARKS))


Trainer = Callable[..., tuple[PackEngine, list[CellRun]]]


@pytest.fixture
def engine_on(monkeypatch: pytest.MonkeyPatch, cache: Path) -> Trainer:
    """Makes an engine with some cells on a device."""

    def make(
        device: torch.device, family: str, strategy: Strategy, cells: list[dict[str, Any]], **settings: Any
    ) -> tuple[PackEngine, list[CellRun]]:
        monkeypatch.setattr(devices, "_device", lambda *_: device)
        base = tiny_base(family, cache, trainable=strategy is Strategy.FULL, **settings)
        runs = [make_run(base, seed, recipe=RECIPE, strategy=strategy, **cell) for seed, cell in enumerate(cells, 1)]
        return engine_for(base, runs), runs

    return make


def unlike(count: int, *, dropout: float = 0.1) -> list[dict[str, Any]]:
    """Cells of several ranks and label counts."""
    return [
        {"num_labels": 2 + place % 3, "lora": LoraSpec(r=3 + place % 2, alpha=8, dropout=dropout)}
        for place in range(count)
    ]


def trained(engine: PackEngine, runs: list[CellRun], *, steps: int = 3) -> tuple[list[float], list[np.ndarray]]:
    for _ in range(steps):
        assert not engine.step()
    return [run.last_finite_loss for run in runs], engine.predict(runs, "test")


ADAPTED = [(family, Strategy.LORA) for family in ("bert", *DECODERS)]


@pytest.mark.parametrize(
    ("family", "strategy"), [*ADAPTED, ("bert", Strategy.HEAD), ("qwen2", Strategy.HEAD), ("bert", Strategy.FULL)]
)
def test_the_same_numbers_on_another_device(
    family: str, strategy: Strategy, engine_on: Trainer, pretended: Any
) -> None:
    """Wrong devices raise; ways that only other devices take (padding, masks, norms) compute the same."""
    cells = unlike(1 if strategy is Strategy.FULL else 3)
    with pretended.counted() as traffic:
        losses, logits = trained(*engine_on(pretended.DEVICE, family, strategy, cells))
    expected_losses, expected_logits = trained(*engine_on(HOST, family, strategy, cells))
    assert traffic.launches["bmm"] > 0, "nothing ran on the device"
    assert (traffic.launches["rms_norm"] > 0) == (family in ("qwen2", "qwen3", "llama", "gemma3"))
    np.testing.assert_allclose(losses, expected_losses, rtol=1e-5)
    for own, expected in zip(logits, expected_logits, strict=True):
        np.testing.assert_allclose(own, expected, rtol=1e-4, atol=1e-5)


def test_operands_of_two_devices_raise(pretended: Any) -> None:
    """The proof that the test above can fail."""
    here = torch.ones(3, device=pretended.DEVICE)
    with pytest.raises(RuntimeError, match="of the host among those of the device"):
        here + torch.ones(3)
    with pretended.counted() as traffic:
        assert here.sum().item() == 3.0
        torch.ones(3).to(pretended.DEVICE)
    assert traffic.waits == {"_local_scalar_dense": 1, "upload": 1}


@pytest.mark.parametrize(
    ("family", "dropouts", "precision"),
    [
        ("bert", (0.1, 0.1, 0.1), "fp32"),
        ("bert", (0.0, 0.1, 0.3), "fp16"),  # with a loss scale a cell
        ("qwen2", (0.0, 0.1, 0.3), "bf16"),
        ("gpt2", (0.1, 0.1, 0.1), "bf16"),
    ],
)
def test_a_step_waits_for_losses_and_for_norms(
    family: str, dropouts: tuple[float, ...], precision: str, engine_on: Trainer, pretended: Any
) -> None:
    cells = [unlike(1, dropout=dropout)[0] for dropout in dropouts]
    engine, runs = engine_on(pretended.DEVICE, family, Strategy.LORA, cells, precision=precision)
    engine.step()
    with pretended.counted() as traffic:
        engine.step()
    assert traffic.waits == {"tolist": 2}
    with pretended.counted() as traffic:
        engine.predict(runs, "test")
    assert set(traffic.waits) == {"download"}


def test_launches_do_not_grow_with_the_number_of_cells(engine_on: Trainer, pretended: Any) -> None:
    """The whole point of stacking; a few of a pass depend on whether rows happen to fill their places."""
    found = {}
    for count in (2, 4, 12):
        engine, _ = engine_on(pretended.DEVICE, "bert", Strategy.LORA, unlike(count))
        engine.step()
        with pretended.counted() as traffic:
            engine.step()
        found[count] = traffic.launches.total()
    assert max(found.values()) - min(found.values()) <= 0.02 * found[2], found


def test_layers_computed_twice_keep_the_numbers(engine_on: Trainer, pretended: Any) -> None:
    """The backward pass runs in a thread of the device, which knows nothing of the pass."""
    engine, runs = engine_on(pretended.DEVICE, "bert", Strategy.LORA, unlike(2))
    with pretended.counted() as traffic:
        kept, _ = trained(engine, runs)
    again_engine, again_runs = engine_on(pretended.DEVICE, "bert", Strategy.LORA, unlike(2))
    for own in again_runs:
        own.recomputes_layers = True
    with pretended.counted() as again_traffic:
        again, _ = trained(again_engine, again_runs)
    assert again == kept
    assert again_traffic.launches["gelu"] > traffic.launches["gelu"], "nothing was computed twice"


def test_a_cell_goes_on_from_a_state_that_lay_on_the_host(engine_on: Trainer, pretended: Any) -> None:
    engine, runs = engine_on(pretended.DEVICE, "bert", Strategy.LORA, unlike(2))
    engine.step()
    state = engine.state_of(runs[0], HOST)
    assert {tensor.device for tensor in state.tensors.values()} == {HOST}
    engine.release(runs[0])
    engine.admit(runs[0], state)
    losses, _ = trained(engine, runs, steps=2)
    other, expected = engine_on(pretended.DEVICE, "bert", Strategy.LORA, unlike(2))
    assert losses == trained(other, expected)[0]


def test_four_bit_weights_are_expanded_where_they_are_used(engine_on: Trainer, pretended: Any) -> None:
    with pytest.MonkeyPatch.context() as patch:
        # bitsandbytes stores weights on devices that it knows; they move when they are expanded.
        patch.setattr("jobs.models.wanted.four_bit_settings", _stored_on_host)
        settings = {"quantization": QuantizationSpec(), "mode": "resident"}
        losses, _ = trained(*engine_on(pretended.DEVICE, "llama", Strategy.QLORA, unlike(2), **settings))
        expected, _ = trained(*engine_on(HOST, "llama", Strategy.QLORA, unlike(2), **settings))
    np.testing.assert_allclose(losses, expected, rtol=1e-5)


@pytest.mark.parametrize("strategy", [Strategy.LORA, Strategy.HEAD, Strategy.FULL])
def test_a_whole_pack_from_its_specification_to_folders(
    strategy: Strategy, pretended: Any, cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Loading, probes, training, evaluation, checkpoints, export, the reload check in a process of its own (on the
    CPU), publishing."""
    compute = ComputeSpec(precision="fp32", numerics="fast")
    cells = [cell(seed, strategy=strategy, compute=compute) for seed in (1, 2)]
    found = {}
    for device in (pretended.DEVICE, HOST):
        monkeypatch.setattr(devices, "_device", lambda *_, chosen=device: chosen)
        events = run(pack(*cells), Workshop(tmp_path / device.type, cache))
        results = [result_of(events, packed) for packed in cells]
        found[device] = [m.value for result in results for m in result.metrics if m.name in ("loss", "accuracy")]
    assert len(found[HOST]) == 8, "loss and accuracy of validation and test, two cells"
    np.testing.assert_allclose(found[pretended.DEVICE], found[HOST], rtol=1e-4)


def _stored_on_host(quantization: Any, **settings: Any) -> dict[str, Any]:
    from jobs.models.four_bit import four_bit_settings

    return four_bit_settings(quantization, **{**settings, "device": "cpu"})
