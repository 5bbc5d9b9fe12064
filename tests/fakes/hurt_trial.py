"""The real trial with a fault built in, chosen by a variable: what only hardware or luck would bring otherwise.

FINEGRID_TEST_HURT=nan:SEED:STEP      the loss of that seed's cell is NaN in that optimiser step
FINEGRID_TEST_HURT=memory:SEED        no training step of that seed's cell ever fits into memory
FINEGRID_TEST_HURT=memory_for:COUNT   no training step of more than COUNT cells fits
Without the variable it is `jobs.trial`.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from jobs.training.cell_run import CellRun, MicroBatch
from jobs.training.engine import PackEngine
from jobs.training.slots import Divergence, SlotGroup
from jobs.trial import Workshop, run_pack

__all__ = ["HURT_VARIABLE", "Workshop", "run_pack"]

HURT_VARIABLE = "FINEGRID_TEST_HURT"


def _lose_a_loss(seed: int, step: int) -> None:
    update = SlotGroup.update

    def spoiled(self: SlotGroup, losses_n: Tensor, taken: Sequence[MicroBatch]) -> list[Divergence]:
        for place, run in enumerate(self.live):
            if run.packed.cell.seed == seed and run.step + 1 == step:
                losses_n[place] = float("nan")
        return update(self, losses_n, taken)

    SlotGroup.update = spoiled  # type: ignore[method-assign]


def _lack_memory(is_too_much: Any) -> None:
    run_base = PackEngine._run_base

    def limited(self: PackEngine, batch: Any, parts: Any, training: bool) -> Tensor:
        runs: list[CellRun] = [run for part in parts for run in part.runs]
        if training and is_too_much(runs):
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")
        return run_base(self, batch, parts, training)

    PackEngine._run_base = limited  # type: ignore[method-assign]


_what, *_numbers = os.environ.get(HURT_VARIABLE, "").split(":")
if _what == "nan":
    _lose_a_loss(int(_numbers[0]), int(_numbers[1]))
elif _what == "memory":
    _lack_memory(lambda runs: any(run.packed.cell.seed == int(_numbers[0]) for run in runs))
elif _what == "memory_for":
    _lack_memory(lambda runs: len(runs) > int(_numbers[0]))
