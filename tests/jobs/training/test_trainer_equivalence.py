"""One cell through our engine equals HF Trainer + PEFT: every loss, every trained tensor, the test predictions.

Same rows, order, padding on the right, initial weights, fp32, no dropout anywhere; more than 50 optimiser steps with
warm-up, cosine schedule, weight decay, clipping and a short last batch in every epoch.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from jobs.models.loading import Base
from jobs.spec import LoraSpec, QuantizationSpec, RecipeSpec, Strategy
from jobs.training.cell_run import CellRun
from jobs.training.engine import PackEngine
from tests.jobs.training.helpers import cache_without_dropout, engine_for, make_run, own_tensors, tiny_base
from tests.jobs.training.trainer_reference import Reference, plain_name, train_with_trainer

LORA = LoraSpec(r=4, alpha=8)
FEED_FORWARD = LoraSpec(r=4, alpha=8, targets=("query", "intermediate.dense", "output.dense"), layers=(1,))
NUM_TRAIN = 34
"""Eight batches of four rows and one of two."""
LONGEST = 40
"""Tokens; longer than the sliding window of the tiny Gemma."""

LOSS_TOLERANCE = 1e-5
TENSOR_TOLERANCE = 1e-4
ZERO_SHARE = 1e-6
"""Largest share of the gradient's norm that counts as zero."""

ZERO_GRADIENT: dict[str, dict[str, slice]] = {
    "bert": {f"base.encoder.layer.{i}.attention.self.key.bias": slice(None) for i in range(2)},
    "distilbert": {f"base.transformer.layer.{i}.attention.k_lin.bias": slice(None) for i in range(2)},
    "roberta": {f"base.encoder.layer.{i}.attention.self.key.bias": slice(None) for i in range(2)},
    "gpt2": {f"base.h.{i}.attn.c_attn.bias": slice(64, 128) for i in range(2)},
}
"""Strategy full: key biases. A constant added to all keys adds the same to all scores of a query, which softmax does
not see; Adam turns what rounding leaves of the gradient into steps. With rotary positions (Qwen2) it is no constant."""


@dataclass(frozen=True, kw_only=True)
class Case:
    """One comparison."""

    family: str
    strategy: Strategy
    mode: str = "resident"
    accumulation: int = 1
    kind: str = "nf4"
    lora: LoraSpec = LORA
    task: str = "single_label"

    def __str__(self) -> str:
        """Name of the test."""
        mode = f"-{self.mode}" if self.strategy is Strategy.QLORA else ""
        parts = [f"{self.family}-{self.strategy}{mode}"]
        parts += ["accumulation"] if self.accumulation > 1 else []
        parts += [self.kind] if self.kind != "nf4" else []
        parts += ["feed-forward"] if self.lora != LORA else []
        parts += ["several-labels"] if self.task == "multi_label" else []
        return "-".join(parts)

    @property
    def recipe(self) -> RecipeSpec:
        """Nine or five steps an epoch."""
        return RecipeSpec(
            epochs=6 if self.accumulation == 1 else 11,
            batch_size=4,
            gradient_accumulation=self.accumulation,
            learning_rate=5e-4 if self.strategy is Strategy.FULL else 3e-3,
            schedule="cosine",
            warmup_steps=6,
            weight_decay=0.01,
            max_grad_norm=1.0,
        )

    @property
    def quantization(self) -> QuantizationSpec | None:
        """4-bit storage of qlora."""
        return QuantizationSpec(type=self.kind) if self.strategy is Strategy.QLORA else None

    @property
    def zero(self) -> dict[str, slice]:
        """What is left out because its true gradient is zero."""
        return ZERO_GRADIENT.get(self.family, {}) if self.strategy is Strategy.FULL else {}


FIVE = ("bert", "qwen2", "llama", "gpt2", "gemma3")
ALL = (*FIVE, "qwen3", "distilbert", "roberta")
CASES = (
    *(Case(family=family, strategy=Strategy.LORA) for family in ALL),
    *(Case(family=family, strategy=Strategy.QLORA, mode=m) for family in FIVE for m in ("quantized", "resident")),
    *(Case(family=family, strategy=Strategy.HEAD) for family in FIVE),
    *(Case(family=family, strategy=Strategy.FULL) for family in ALL),
    *(Case(family=family, strategy=Strategy.LORA, accumulation=2) for family in ("bert", "llama")),
    Case(family="llama", strategy=Strategy.QLORA, mode="quantized", kind="fp4"),
    Case(family="bert", strategy=Strategy.LORA, lora=FEED_FORWARD),
    *(Case(family="bert", strategy=s, task="multi_label") for s in (Strategy.LORA, Strategy.HEAD, Strategy.FULL)),
    Case(family="qwen2", strategy=Strategy.LORA, task="multi_label"),
)


@pytest.mark.filterwarnings("ignore:.*is_gradient_checkpointing.*:FutureWarning")
@pytest.mark.parametrize("case", CASES, ids=str)
def test_one_cell_trains_as_with_hf_trainer(case: Case, cache: Path, tmp_path: Path) -> None:
    own_cache = cache_without_dropout(case.family, cache, tmp_path / "cache")
    base = load(case, own_cache)
    run = make_run(
        base,
        11,
        strategy=case.strategy,
        recipe=case.recipe,
        lora=case.lora,
        num_train=NUM_TRAIN,
        longest=LONGEST,
        task=case.task,
        **({"quantization": case.quantization} if case.quantization else {}),
    )
    expected = train_with_trainer(
        run, base, family=case.family, cache=own_cache, folder=tmp_path / "trainer", watched=case.zero
    )
    check_reference(case, expected)
    engine = engine_for(base, [run])
    check_losses(train(engine, run), expected.losses)
    ours = {plain_name(name, base): t for name, t in own_tensors(engine, run).items()}
    initial = {plain_name(name, base): tensor for name, tensor in run.initial.items()}
    check_tensors(case, ours, initial, expected)
    np.testing.assert_allclose(engine.predict([run], "test")[0], expected.test_logits, rtol=0, atol=1e-4)


def load(case: Case, cache: Path) -> Base:
    base = tiny_base(
        case.family,
        cache,
        quantization=case.quantization,
        mode=case.mode,
        trainable=case.strategy is Strategy.FULL,
    )
    assert base.compute.base_mode == case.mode
    return base


def train(engine: PackEngine, run: CellRun) -> list[float]:
    losses = []
    while not run.finished:
        assert not engine.step()
        if run.step_completed:
            assert run.last_finite_loss is not None
            losses.append(run.last_finite_loss)
    return losses


def check_reference(case: Case, expected: Reference) -> None:
    """The comparison is worth something: long enough, clipped, and exactly what has no gradient is left out."""
    assert len(expected.losses) >= 50
    assert max(expected.gradient_norms) > 1.0
    assert {name for name, share in expected.shares.items() if share < ZERO_SHARE} == set(case.zero)


def check_losses(losses: list[float], expected: list[float]) -> None:
    assert len(losses) == len(expected)
    allowed = LOSS_TOLERANCE * np.maximum(1.0, np.abs(expected))
    far = np.abs(np.subtract(losses, expected)) > allowed
    assert not far.any(), f"losses differ first at step {1 + int(far.argmax())}: {losses} instead of {expected}"


def check_tensors(case: Case, ours: dict[str, Tensor], initial: dict[str, Tensor], expected: Reference) -> None:
    assert set(ours) == set(expected.tensors)
    far = {}
    for name, tensor in expected.tensors.items():
        compared = torch.ones_like(tensor)
        if name in case.zero:
            compared[case.zero[name]] = 0.0
        difference = float(((ours[name] - tensor) * compared).norm())
        movement = float(((tensor - initial[name]) * compared).norm())
        if not difference <= TENSOR_TOLERANCE * max(movement, case.recipe.learning_rate):
            far[name] = (difference, movement)
    assert far == {}, "tensors that differ, with the norms of difference and movement"
