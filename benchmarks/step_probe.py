"""Measures t(n) in one mode, in a process of its own so that peak memory is this mode's alone; prints JSON.

Started by step_table.py.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from column import Column, cell_data, model_of, step_cells
from command_line import add_source
from packed_modes import LivePack, live_pack, modes_named
from prepared import model_folder
from random_bases import random_cells, random_rows
from trainer_baseline import load_model, make_trainer
from transformers import AutoConfig, AutoTokenizer, PreTrainedTokenizerFast, TrainerCallback

from jobs.models.loading import quiet_libraries
from jobs.spec import CellSpec
from jobs.storage import cache_root
from jobs.training.cell_run import CellData
from jobs.training.peak_memory import forget_peak, peak_bytes
from jobs.trial import Workshop

WARM_UP_STEPS = 3
TRAINER = "trainer"


def main(arguments: list[str] | None = None) -> int:
    """Measure one mode; 0."""
    options = _parser().parse_args(arguments)
    torch.set_num_threads(options.threads)
    quiet_libraries()
    device = "cuda" if torch.cuda.is_available() else "cpu"
    counts = [int(text) for text in options.counts.split(",")]
    cells, data, tokenizer = _cells_and_rows(options, max(counts))
    if options.mode == TRAINER:
        rows = [trainer_row(cells[0], data[0], tokenizer, steps=options.steps, device=device)]
    else:
        rows = packed_rows(cells, data, counts, options, device)
    print(json.dumps({"mode": options.mode, "rows": rows}))
    return 0


def packed_rows(
    cells: tuple[CellSpec, ...], data: list[CellData], counts: list[int], options: argparse.Namespace, device: str
) -> list[dict[str, Any]]:
    """One row for each number of cells, fewest first; ends early where memory does."""
    mode = modes_named([options.mode])[0]
    rows: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory(prefix="step-probe-") as folder:
        workshop = Workshop(Path(folder), cache_root())
        for count in sorted(counts):
            column = Column(model=model_of(cells[0]), cells=cells[:count])
            compute = mode.compute(device=device, slots=count)
            pack = column.pack(compute, threads=options.threads, gpus=float(device == "cuda"))
            try:
                with live_pack(pack, data[:count], workshop) as live:
                    rows.append(_packed_row(live, count, options.steps, device))
            except torch.OutOfMemoryError as error:
                rows.append({"cells": count, "failed": f"out of memory: {str(error)[:120]}"})
                break
    return rows


def _packed_row(live: LivePack, count: int, steps: int, device: str) -> dict[str, Any]:
    forget_peak(torch.device(device))
    for _ in range(WARM_UP_STEPS):
        live.step()
    before = live.tokens_trained()
    seconds = []
    for _ in range(steps):
        started = _now(device)
        live.step()
        seconds.append(_now(device) - started)
    return _row(count, seconds, (live.tokens_trained() - before) / steps, device)


def trainer_row(cell: CellSpec, data: CellData, tokenizer: Any, *, steps: int, device: str) -> dict[str, Any]:
    """One cell with the Trainer, without evaluations."""
    forget_peak(torch.device(device))
    cell = replace(cell, recipe=replace(cell.recipe, eval_every=1 << 30))
    location = model_folder(model_of(cell), cache_root())
    model = load_model(location, cell, num_labels=len(data.label_names), device=device)
    clock = _StepClock(steps + WARM_UP_STEPS, device)
    with tempfile.TemporaryDirectory(prefix="step-probe-") as folder:
        trainer = make_trainer(model, cell, data, tokenizer, folder=folder, device=device)
        trainer.args.eval_strategy = "no"
        trainer.add_callback(clock)
        trainer.train()
    seconds = [later - sooner for sooner, later in zip(clock.times, clock.times[1:], strict=False)]
    tokens = statistics.mean(len(text) for text in data.tokens["train"]) * cell.recipe.batch_size
    return _row(1, seconds[WARM_UP_STEPS - 1 :], tokens, device)


class _StepClock(TrainerCallback):  # type: ignore[misc]  # the library has no types
    """Notes when each step ends and stops after some."""

    def __init__(self, steps: int, device: str) -> None:
        self.times: list[float] = []
        self._steps = steps
        self._device = device

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> Any:
        self.times.append(_now(self._device))
        control.should_training_stop = len(self.times) >= self._steps
        return control


def _row(count: int, seconds: list[float], tokens: float, device: str) -> dict[str, Any]:
    ordered = sorted(seconds)
    return {
        "cells": count,
        "step_ms": 1e3 * statistics.median(ordered),
        "fastest_ms": 1e3 * ordered[0],
        "slowest_ms": 1e3 * ordered[-1],
        "steps": len(ordered),
        "tokens": round(tokens),
        "peak_memory_bytes": peak_bytes(torch.device(device)),
    }


def _now(device: str) -> float:
    if device == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter()


def _cells_and_rows(options: argparse.Namespace, count: int) -> tuple[tuple[CellSpec, ...], list[CellData], Any]:
    if options.random_folder is not None:
        folder: Path = options.random_folder
        cells = random_cells(folder, count)
        highest = AutoConfig.from_pretrained(folder).vocab_size
        tokenizer = AutoTokenizer.from_pretrained(folder)
        return cells, [random_rows(cell, highest_token=highest) for cell in cells], tokenizer
    cells = step_cells(options.model, options.data, count, quick=options.quick)
    model = model_of(cells[0])
    loader = PreTrainedTokenizerFast if model.source == "tiny" else AutoTokenizer
    tokenizer = loader.from_pretrained(model_folder(model, cache_root()), padding_side="right")
    return cells, [cell_data(cell, tokenizer, cache_root()) for cell in cells], tokenizer


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__)
    add_source(parser, is_required=False)
    parser.add_argument("--random-folder", type=Path, help="instead: a folder written by random_bases")
    parser.add_argument("--mode", required=True, help=f"a packed mode, or {TRAINER}")
    parser.add_argument("--counts", required=True)
    parser.add_argument("--steps", type=int, required=True)
    parser.add_argument("--threads", type=int, required=True)
    parser.add_argument("--quick", action="store_true")
    return parser


if __name__ == "__main__":
    sys.exit(main())
