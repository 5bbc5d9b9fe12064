"""Grids whose models and data lie on the fake hub: what the fault tests of hub, prefetch and secrets share."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from tests.fakes.hub import FakeHub
from tests.faults.harness import FAKE, Grid, merged, write_document

LABELS = ["joy", "anger", "neutral"]
ROWS_A_LABEL = 40
MODEL_FILES = {
    "config.json": b'{"model_type": "bert"}',
    "tokenizer.json": b"{}",
    "model.safetensors": b"\0" * 20_000,
    "pytorch_model.bin": b"a pickle that nobody fetches",
    "README.md": b"words",
}
"""Enough of a model for the fake trial, which never loads it."""

DOCUMENT: dict[str, Any] = {
    "name": "hub",
    "axes": {
        "model": ["owner/bert"],
        "strategy": ["lora"],
        "num_labels": [2],
        "num_samples": [24],
        "variant": ["done"],
        "seed": [0],
    },
    "dataset": {"source": "hub", "id": "owner/emo", "test_per_label": 5, "validation_per_label": 5},
    "variants": {"done": {"recipe": {"learning_rate": 0.001}}},
}


def rows_file(word: str = "text") -> dict[str, bytes]:
    """A data set of three labels, as one file of a repository."""
    feature = {"names": LABELS, "_type": "ClassLabel"}
    features = {"text": {"dtype": "string", "_type": "Value"}, "labels": feature}
    schema = pa.schema(
        {"text": pa.string(), "labels": pa.int64()},
        metadata={"huggingface": json.dumps({"info": {"features": features}})},
    )
    count = ROWS_A_LABEL * len(LABELS)
    cells = {
        "text": [f"{word} {number} {LABELS[number % 3]}" for number in range(count)],
        "labels": [number % 3 for number in range(count)],
    }
    buffer = io.BytesIO()
    pq.write_table(pa.table(cells, schema=schema), buffer)
    return {"data/train-00000-of-00001.parquet": buffer.getvalue()}


def hub_grid(hub: FakeHub, folder: Path, *, trial_module: str = FAKE, fills: bool = True, **changes: Any) -> Grid:
    """A grid of one cell over the fake hub, with caches of its own.

    Args:
        hub: running; `owner/bert` and `owner/emo` are added unless `fills` is False.
        folder: the test's own.
        trial_module: the fake trial or the real one.
        fills: add the two repositories.
        changes: laid over DOCUMENT.
    """
    if fills:
        hub.add_repo("model", "owner/bert", MODEL_FILES)
        hub.add_repo("dataset", "owner/emo", rows_file())
    home = folder / "caches" / "huggingface"
    env = {**hub.environment(home), "FINEGRID_HUB_PATIENCE_S": "0"}
    config = write_document(folder, merged(DOCUMENT, changes))
    cache = folder / "caches" / "finegrid"
    return Grid(folder=folder / "results", config=config, trial_module=trial_module, cache=cache, env=env)


def nothing_created(grid: Grid) -> bool:
    """Whether a refused run left no results folder."""
    return not grid.folder.exists()
