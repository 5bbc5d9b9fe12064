"""A store of many finished cells without any training: invented answers, all else by the product's own functions.

Cells are declared from a config, results are published as folders and taken in by the store. A test set is answered by
two dozen invented models a label count, evaluated as trained ones are; every cell gets the numbers and predictions of
one of them. Nothing is synced to the disk: who measures reading needs no store that survives a power cut.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np

from grid.cells import declared_cells
from grid.config import check_document
from grid.resolve import OfflineResolver
from grid.store import Store
from jobs.evaluation.evaluate import SplitLogits, evaluate_cell
from jobs.result_files import predictions_writer
from jobs.spec import CellResult, CellSpec, MetricValue, PackedCell
from jobs.storage import publish

MODELS = ("tiny-bert", "tiny-gpt2", "tiny-llama-3.2", "tiny-qwen2.5", "tiny-gemma-3")
LABELS = (2, 4, 8, 16)
SAMPLES = (800, 1600, 2400)
RATES = (1e-4, 2e-4, 5e-4, 1e-3, 2e-3, 5e-3, 1e-2, 2e-2)
SEEDS = 4
SKILLS = 24
"""Invented models a label count."""
ROWS = {"test": 100, "validation": 25}
"""A label, as `protocol: nested` has them unless told otherwise."""
_SEED = 20260101
_PARAMETERS = {"lora": 20_000, "qlora": 20_000, "full": 4_000_000}


@dataclass(frozen=True, kw_only=True)
class Invented:
    """What one invented model leaves behind on the rows of one label count."""

    metrics: tuple[MetricValue, ...]
    predictions: bytes
    label_names: tuple[str, ...]


def make_store(folder: Path, cells: int) -> int:
    """Make a store.

    Args:
        folder: the results folder, which must not exist.
        cells: how many at least; learning rates are added until there are as many.
    Returns:
        how many there are, all of them done.
    """
    config, problems = check_document(_document(cells), allow_large=True)
    if config is None:
        raise ValueError(f"the benchmark's own config is wrong: {problems}")
    declared = declared_cells(config, OfflineResolver())
    invented = {labels: list(_invented(labels, folder.parent)) for labels in LABELS}
    with mock.patch("os.fsync"):
        store = Store.open(folder, grid=config.name)
        store.claim(config.to_json())
        store.declare(declared)
        for start in range(0, len(declared), 500):
            _take_in(store, declared[start : start + 500], invented)
        store.finish_run(0)
        store.close()
    return len(declared)


def _document(cells: int) -> dict[str, Any]:
    one_rate = len(MODELS) * 7 * len(LABELS) * len(SAMPLES) * SEEDS  # 3 ranks of lora and qlora each, and full
    rates = min(len(RATES), math.ceil(cells / one_rate))
    return {
        "name": "report-size",
        "axes": {
            "model": list(MODELS),
            "strategy": list(_PARAMETERS),
            "learning_rate": list(RATES[:rates]),
            "r": [4, 8, 16],
            "num_labels": list(LABELS),
            "num_samples": list(SAMPLES),
            "seed": list(range(math.ceil(cells / (one_rate * rates)) * SEEDS)),
        },
        "dataset": {"source": "builtin"},
        "baselines": ["majority", "tfidf"],
    }


def _take_in(store: Store, cells: Sequence[CellSpec], invented: dict[int, list[Invented]]) -> None:
    packed = [PackedCell(cell=cell, epoch=store.epoch, attempt=1) for cell in cells]
    store.start(packed, "pack", "logs/pack.jsonl")
    for one in packed:
        found = invented[one.cell.data.num_labels or 0][_skill(one.cell)]
        store.ingest(publish(store.layout, _result(one, found), {"predictions.parquet": _writer(found.predictions)}))


def _writer(content: bytes) -> Callable[[Path], None]:
    def write(path: Path) -> None:
        path.write_bytes(content)

    return write


def _skill(cell: CellSpec) -> int:
    """Later models, more rows and middle rates do better; the seed adds a little."""
    if cell.strategy.is_baseline:
        return 0 if cell.strategy == "majority" else 5
    rate = RATES.index(cell.recipe.learning_rate)
    place = 3 * MODELS.index(cell.model.name if cell.model else "") + 2 * SAMPLES.index(cell.data.num_samples or 0)
    return min(SKILLS - 1, 3 + place - abs(rate - 3) + int(cell.cell_id[:4], 16) % 3)


def _result(packed: PackedCell, found: Invented) -> CellResult:
    cell = packed.cell
    share = int(cell.cell_id[:6], 16) / 0xFFFFFF
    train = str(cell.seed % 10) * 64
    counts = {f"num_{split}": rows * len(found.label_names) for split, rows in ROWS.items()}
    counts |= {"num_train": cell.data.num_samples or 0, "best_step": 100, "stopped_step": 200 + round(100 * share)}
    costs = {"train_seconds": 10 + share, "train_samples_per_second": 100.0, "peak_memory_bytes": 2e9}
    if not cell.strategy.is_baseline:
        trained = _PARAMETERS[str(cell.strategy)] * (cell.lora.r if cell.lora else 1)
        counts |= {"trainable_parameters": trained, "total_parameters": 4_400_000, "effective_batch_size": 4}
        costs |= {"solo_step_seconds": 0.01 * (1 + MODELS.index(cell.model.name if cell.model else ""))}
        costs |= {"solo_peak_memory_bytes": 1e8 + trained}
    return CellResult(
        cell=cell,
        epoch=packed.epoch,
        attempt=packed.attempt,
        metrics=found.metrics,
        counts=counts,
        hashes={"train": train, "validation": "b" * 64, "test": str(len(found.label_names))[0] * 64},
        costs=costs,
        provenance={"device": "cpu", "dtype": "float32", "base_mode": "resident", "numerics": "exact", "threads": 1},
        epochs=5.0,
        label_names=found.label_names,
    )


def _invented(labels: int, scratch: Path) -> Iterator[Invented]:
    """Models of growing skill on the same rows, which are as difficult for one as for the other."""
    random = np.random.default_rng([_SEED, labels])
    names = tuple(f"label {index}" for index in range(labels))
    truth = {split: np.repeat(np.arange(labels), rows) for split, rows in ROWS.items()}
    difficulty = {split: random.standard_normal(len(each)) for split, each in truth.items()}
    ids = {split: [f"{split}:{index}" for index in random.permutation(len(each))] for split, each in truth.items()}
    path = scratch / f"invented-{labels}.parquet"
    for skill in range(SKILLS):
        parts = {}
        for split, each in truth.items():
            logits = random.standard_normal((len(each), labels)).astype(np.float32)
            logits[np.arange(len(each)), each] += 3.0 * skill / SKILLS + difficulty[split]
            parts[split] = SplitLogits(logits_nC=logits, labels=each)
        found = evaluate_cell(label_names=names, test=parts["test"], validation=parts["validation"])
        predictions_writer({split: (ids[split], part.labels, part.logits_nC) for split, part in parts.items()})(path)
        yield Invented(metrics=tuple(found.metrics), predictions=path.read_bytes(), label_names=names)
    path.unlink()
