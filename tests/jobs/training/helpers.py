"""Cells over random tokens, so that the engine is tested without the data package."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from jobs.models.loading import Base, load_base
from jobs.models.tiny import tiny_folder
from jobs.spec import (
    CellSpec,
    ComputeSpec,
    DataSpec,
    Ia3Spec,
    LoraSpec,
    ModelSpec,
    PackedCell,
    PrefixSpec,
    QuantizationSpec,
    RecipeSpec,
    Strategy,
)
from jobs.training.bank import RowLayout
from jobs.training.cell_run import CellData, CellRun, start_cell
from jobs.training.engine import PackEngine
from jobs.training.engines import engine_class

DECODERS = ("qwen2", "qwen3", "llama", "gpt2", "gemma3")
ALL_FAMILIES = ("bert", *DECODERS, "distilbert", "roberta")


def tiny_base(
    family: str,
    cache: Path,
    *,
    quantization: QuantizationSpec | None = None,
    precision: str = "fp32",
    mode: str = "resident",
    numerics: str = "fast",
    trainable: bool = False,
    stock: bool = False,
) -> Base:
    return load_base(
        f"test-{family}",
        ModelSpec(name=f"tiny-{family}", source="tiny", location=family),
        quantization=quantization,
        compute_spec=ComputeSpec(precision=precision, base=mode, numerics=numerics),
        gpus=0,
        cache=cache,
        trainable=trainable,
        stock=stock,
    )


def cache_without_dropout(family: str, cache: Path, folder: Path) -> Path:
    """A cache whose only tiny member declares no dropout anywhere."""
    member = tiny_folder(family, cache)
    copy = folder / member.relative_to(cache)
    shutil.copytree(member, copy)
    config = json.loads((copy / "config.json").read_text())
    declared = [name for name in config if name.endswith(("drop", "dropout", "dropout_prob"))]
    off = {name: 0.0 for name in declared if config[name] is not None}
    (copy / "config.json").write_text(json.dumps(config | off))
    return folder


def random_data(
    seed: int,
    *,
    num_labels: int,
    num_train: int,
    vocabulary: int = 1000,
    longest: int = 14,
    task: str = "single_label",
) -> CellData:
    """Texts whose first tokens depend on the label, so that there is something to learn."""
    rng = np.random.default_rng(seed)
    tokens, labels, ids = {}, {}, {}
    for split, rows in (("train", num_train), ("validation", 24), ("test", 40)):
        labels[split] = rng.integers(0, num_labels, rows).astype(np.int64)
        texts = [rng.integers(200, vocabulary, rng.integers(4, longest)).astype(np.int32) for _ in range(rows)]
        for text, label in zip(texts, labels[split], strict=True):
            text[:2] = 150 + label
        tokens[split] = tuple(texts)
        if task == "multi_label":  # the label itself, and some more
            labels[split] = (np.eye(num_labels)[labels[split]] + (rng.random((rows, num_labels)) < 0.2) > 0).astype(
                "u1"
            )
        ids[split] = tuple(f"{split}-{i}" for i in range(rows))
    names = tuple(f"label{i}" for i in range(num_labels))
    return CellData(label_names=names, tokens=tokens, labels=labels, row_ids=ids, hashes={}, counts={}, marks=())


def packed_cell(
    seed: int,
    *,
    recipe: RecipeSpec,
    lora: LoraSpec | None = None,
    strategy: Strategy = Strategy.LORA,
    num_labels: int = 3,
    task: str = "single_label",
    **sections: Any,
) -> PackedCell:
    cell = CellSpec(
        cell_id=f"{seed:016x}",
        grid="test",
        strategy=strategy,
        seed=seed,
        data=DataSpec(source="builtin", num_labels=num_labels, task=task),
        recipe=recipe,
        model=ModelSpec(name="tiny", source="tiny", location="bert"),
        lora=(lora or LoraSpec()) if strategy.has_adapters else None,
        quantization=QuantizationSpec() if strategy is Strategy.QLORA else None,
        **{Strategy.IA3: {"ia3": Ia3Spec()}, Strategy.PREFIX: {"prefix": PrefixSpec(tokens=4)}}.get(strategy, {}),
    )
    cell = replace(cell, **sections)
    return PackedCell(cell=cell, epoch=1, attempt=1)


def make_run(
    base: Base,
    seed: int,
    *,
    num_labels: int = 3,
    num_train: int = 32,
    longest: int = 14,
    task: str = "single_label",
    **cell: object,
) -> CellRun:
    data = random_data(seed, num_labels=num_labels, num_train=num_train, longest=longest, task=task)
    return start_cell(packed_cell(seed, num_labels=num_labels, task=task, **cell), data, base)  # type: ignore[arg-type]


def engine_for(base: Base, runs: list[CellRun], *, slots: int | None = None) -> PackEngine:
    kind = engine_class(runs[0].packed.cell.strategy, base)
    engine = kind(base, RowLayout([run.shapes for run in runs]), slots=slots or len(runs))
    for run in runs[: slots or len(runs)]:
        engine.admit(run)
    return engine


def own_tensors(engine: PackEngine, run: CellRun) -> dict[str, Tensor]:
    """A live cell's tensors as they stand."""
    return engine.tensors_of(run)
