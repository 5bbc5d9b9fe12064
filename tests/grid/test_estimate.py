"""Estimates: the right order of magnitude, and never a crash for a model that cannot be read."""

from __future__ import annotations

import dataclasses
import json
import struct
from pathlib import Path

import pytest

from grid.devices import Devices
from grid.estimate import (
    UNKNOWN_PARAMETERS,
    cell_disk_bytes,
    cell_flops,
    cell_seconds,
    parameters,
)
from jobs.spec import ModelSpec, Strategy
from tests.grid.documents import cells_of

CELL = cells_of()[0]


def model(location: str, source: str = "hub") -> ModelSpec:
    return ModelSpec(name="m", source=source, location=location)


def write_safetensors(path: Path, shapes: dict[str, list[int]]) -> None:
    header = {name: {"dtype": "F32", "shape": shape, "data_offsets": [0, 0]} for name, shape in shapes.items()}
    text = json.dumps({"__metadata__": {"format": "pt"}, **header}).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text)


@pytest.mark.parametrize(
    ("location", "count"),
    [
        ("Qwen/Qwen2.5-7B", 7e9),
        ("x/llama-350m", 3.5e8),
        ("x/pythia-1.4b-deduped", 1.4e9),
        ("x/bert", UNKNOWN_PARAMETERS),
    ],
)
def test_size_from_a_name(location: str, count: float) -> None:
    assert parameters(model(location))[0] == count


def test_size_from_files(tmp_path: Path) -> None:
    write_safetensors(tmp_path / "a.safetensors", {"embeddings.word.weight": [100, 8], "layer.0.weight": [8, 8]})
    write_safetensors(tmp_path / "b.safetensors", {"layer.1.weight": [8, 8]})
    assert parameters(model(str(tmp_path), "folder")) == (928, 128)


@pytest.mark.parametrize("content", [b"", b"\x00" * 4, b"\xff" * 64, struct.pack("<Q", 4) + b"[1,]"])
def test_unreadable_files_give_a_guess(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.safetensors").write_bytes(content)
    assert parameters(model(str(tmp_path), "folder"))[0] == UNKNOWN_PARAMETERS


def test_mission_cell_takes_hours_on_a_core_and_minutes_on_a_gpu() -> None:
    big = dataclasses.replace(
        CELL,
        model=model("openai-community/gpt2-xl"),
        data=dataclasses.replace(CELL.data, num_labels=16, num_samples=2400),
    )
    assert 3600 < cell_seconds(big, Devices(cpus=1), 1) < 100 * 3600
    assert 10 < cell_seconds(big, Devices(cpus=8, gpus=1), 7) < 600


def test_more_work_costs_more() -> None:
    lora = dataclasses.replace(CELL, strategy=Strategy.LORA)
    assert (
        cell_flops(dataclasses.replace(CELL, strategy=Strategy.HEAD))
        < cell_flops(lora)
        < cell_flops(dataclasses.replace(CELL, strategy=Strategy.FULL))
    )
    baseline = dataclasses.replace(CELL, model=None, lora=None, strategy=Strategy.TFIDF)
    assert 0 < cell_seconds(baseline, Devices(cpus=1), 1) < cell_seconds(lora, Devices(cpus=1), 1) * 10


def test_disk_grows_with_what_is_kept() -> None:
    big = dataclasses.replace(CELL, model=model("openai-community/gpt2"))
    assert cell_disk_bytes(CELL) < cell_disk_bytes(big) < 50_000_000
    full = dataclasses.replace(big, strategy=Strategy.FULL, lora=None, keep_weights="best")
    assert cell_disk_bytes(full) > 4 * 124_000_000
