"""Small cells and results for tests of files and of the store."""

import dataclasses

from jobs.spec import (
    CellResult,
    CellSpec,
    DataSpec,
    LoraSpec,
    MetricValue,
    ModelSpec,
    QuantizationSpec,
    RecipeSpec,
    Strategy,
)


def cell(number=1, *, grid="sample", **changes):
    """A QLoRA cell whose id ends in `number`."""
    spec = CellSpec(
        cell_id=f"{number:016x}",
        grid=grid,
        strategy=Strategy.QLORA,
        seed=number,
        data=DataSpec(source="builtin", num_labels=2, num_samples=100),
        recipe=RecipeSpec(),
        model=ModelSpec(name="tiny-bert", source="tiny", location="bert", revision="1"),
        lora=LoraSpec(),
        quantization=QuantizationSpec(),
        axes={"model": "tiny-bert", "seed": number},
    )
    return dataclasses.replace(spec, **changes)


def result(spec=None, *, epoch=1, attempt=1, accuracy=0.75, **changes):
    """A finished cell with a few metrics, one of them undefined."""
    spec = spec or cell()
    metrics = (
        MetricValue(split="test", name="accuracy", value=accuracy),
        MetricValue(split="test", name="f1_macro", undefined="class joy is not in the split"),
        MetricValue(split="test", name="f1", label="joy", undefined="class joy is not in the split"),
        MetricValue(split="test", name="f1", label="anger", value=1 / 3),
        MetricValue(split="validation", name="loss", value=0.1 + 0.2),
    )
    finished = CellResult(
        cell=spec,
        epoch=epoch,
        attempt=attempt,
        metrics=metrics,
        counts={"num_train": 100, "num_test": 20, "best_step": 50, "texts_truncated": 3},
        hashes={"train": "a" * 64, "weights": "b" * 64},
        costs={"train_seconds": 1.5, "peak_memory_bytes": 2e9},
        provenance={"device": "cpu", "dtype": "float32", "host": "node-7", "pid": 4321, "threads": 2},
        epochs=5.0,
        marks=("base: resident",),
        label_names=("joy", "anger"),
    )
    return dataclasses.replace(finished, **changes)
