"""Rough sizes and times before anything has run: for order and balance of packs, and to warn of a long run.

Every number here is an estimate from parameter counts and a constant throughput. Nothing is decided by it
that a wrong guess could spoil: only the order of packs, their size, and a warning.
"""

from __future__ import annotations

import json
import math
import re
import struct
from functools import lru_cache
from pathlib import Path

from grid.devices import Devices, gpu_count
from grid.gpu_table import pack_flops
from grid.known_models import known_location
from jobs.spec import CellSpec, DataSpec, ModelSpec, Strategy

CPU_FLOPS_PER_CORE = 5e10
"""fp32, small matrices: measured 5.8e10 on an AVX-512 core (notes on packed training, stacked 12)."""
GPU_FLOPS = 2e13
"""Of a GPU that `grid.gpu_table` does not know: between a T4 and an A100 in 16 bit; not measured by us."""
CPU_STEP_S = 0.002
GPU_STEP_S = 0.006
"""Overhead of a step that no arithmetic explains, already shared by the cells of a pack."""
TYPICAL_TOKENS = 24
"""Tokens of a short comment; GoEmotions has 12 words on average."""
BASELINE_SECONDS = 0.4
UNKNOWN_ROWS = 40_000
UNKNOWN_LABELS = 28
UNKNOWN_PARAMETERS = 500_000_000
CELL_OVERHEAD_S = 0.5
PROCESS_BYTES = 800_000_000
"""Python with torch and transformers loaded."""

_SIZE_IN_NAME = re.compile(r"(?<![\d.])(\d+(?:\.\d+)?)([bm])(?![a-z])", re.IGNORECASE)
_EMBEDDING = re.compile(r"(embed|\bwte\b|\bwpe\b)")
_MAX_HEADER_BYTES = 100_000_000


def parameters(model: ModelSpec) -> tuple[int, int]:
    """Estimate a model's size.

    Args:
        model: any model.

    Returns:
        all weights, and those outside the embeddings: from the table, from the folder's file headers, from a
        size in the name (`1.5B`), else half a billion.
    """
    known = known_location(model.source, model.location)
    if known is not None:
        return known.parameters, known.compute_parameters
    if model.source == "folder":
        return folder_parameters(model.location)
    match = _SIZE_IN_NAME.search(model.location.rpartition("/")[2])
    if match is None:
        return UNKNOWN_PARAMETERS, UNKNOWN_PARAMETERS
    count = round(float(match[1]) * (1e9 if match[2].lower() == "b" else 1e6))
    return count, count


@lru_cache(maxsize=256)
def folder_parameters(folder: str) -> tuple[int, int]:
    """Count the weights of a model folder from the headers of its safetensors files.

    Args:
        folder: path of the folder.

    Returns:
        all weights, and those outside the embeddings; a guess where the files cannot be read: loading says why.
    """
    total = compute = 0
    for path in sorted(Path(folder).glob("*.safetensors")):
        try:
            shapes = _safetensors_shapes(path)
        except (OSError, ValueError, KeyError, TypeError, struct.error):
            return UNKNOWN_PARAMETERS, UNKNOWN_PARAMETERS
        for name, shape in shapes.items():
            count = math.prod(shape)
            total += count
            compute += 0 if _EMBEDDING.search(name) else count
    return (total, compute) if total else (UNKNOWN_PARAMETERS, UNKNOWN_PARAMETERS)


def _safetensors_shapes(path: Path) -> dict[str, list[int]]:
    with path.open("rb") as file:
        (length,) = struct.unpack("<Q", file.read(8))
        if length > _MAX_HEADER_BYTES:
            raise ValueError(f"{path}: header of {length} bytes")
        header = json.loads(file.read(length))
    return {name: entry["shape"] for name, entry in header.items() if name != "__metadata__"}


def training_rows(data: DataSpec) -> int:
    """Training rows of a cell; a guess where the data's own size decides."""
    labels = data.num_labels or UNKNOWN_LABELS
    if data.num_samples is None:
        return int(data.rows * 0.8) if data.source == "builtin" else UNKNOWN_ROWS
    return data.num_samples * labels if data.num_samples_per == "label" else data.num_samples


def training_steps(cell: CellSpec) -> int:
    """Optimiser steps of a cell without early stopping."""
    rows_a_step = cell.recipe.batch_size * cell.recipe.gradient_accumulation
    return math.ceil(training_rows(cell.data) / rows_a_step) * cell.recipe.epochs


def num_evaluations(cell: CellSpec) -> int:
    """Evaluations on validation rows of a cell without early stopping."""
    return training_steps(cell) // cell.recipe.eval_every if cell.recipe.eval_every else cell.recipe.epochs


def validation_rows(data: DataSpec) -> int:
    """Validation rows of a cell; a guess where the data's own splits decide."""
    return _held_out_rows(data, data.validation_per_label)


def tested_rows(data: DataSpec) -> int:
    """Test rows of a cell; a guess where the data's own splits decide."""
    return _held_out_rows(data, data.test_per_label)


def _held_out_rows(data: DataSpec, per_label: int) -> int:
    if data.protocol == "official":
        return (data.rows if data.source == "builtin" else UNKNOWN_ROWS) // 10
    return per_label * (data.num_labels or UNKNOWN_LABELS)


def cell_flops(cell: CellSpec) -> float:
    """Floating-point operations of one cell: training, evaluations, the final test."""
    if cell.model is None:
        return 0.0
    _, compute = parameters(cell.model)
    # Forward 2 a weight and token; the backward pass 2 for activations and, when all weights train, 2 for them.
    training_factor = {Strategy.FULL: 6.0, Strategy.HEAD: 2.0, Strategy.CHAIN: 2.0}.get(cell.strategy, 4.0)
    evaluated_rows = (num_evaluations(cell) + 1) * validation_rows(cell.data) + tested_rows(cell.data)
    tokens = min(TYPICAL_TOKENS, cell.recipe.max_length)
    trained = training_factor * compute * tokens * training_rows(cell.data) * cell.recipe.epochs
    return trained + 2.0 * compute * tokens * evaluated_rows


def cell_seconds(cell: CellSpec, devices: Devices, cpus: int) -> float:
    """Estimate how long a cell keeps its pack's share of the machine busy.

    Args:
        cell: any cell.
        devices: what there is.
        cpus: cores of its pack.

    Returns:
        seconds, a rough estimate.
    """
    if cell.model is None:
        return BASELINE_SECONDS
    if gpu_count(cell.compute.device, devices):
        flops = pack_flops(devices) or GPU_FLOPS
        return CELL_OVERHEAD_S + cell_flops(cell) / flops + training_steps(cell) * GPU_STEP_S
    return CELL_OVERHEAD_S + cell_flops(cell) / (CPU_FLOPS_PER_CORE * cpus) + training_steps(cell) * CPU_STEP_S


def pack_bytes(model: ModelSpec) -> int:
    """Memory of a pack on the host: the process and one fp32 copy of the base."""
    return PROCESS_BYTES + 4 * parameters(model)[0]


def cell_disk_bytes(cell: CellSpec) -> int:
    """Disk that a finished cell keeps, and its checkpoints while it runs; generous."""
    if cell.model is None:
        return 300_000
    total, compute = parameters(cell.model)
    hidden = max(32.0, math.sqrt(compute / 12 / 12))
    adapter = 0
    if cell.lora is not None:
        # Two matrices of rank r on each of a few square-ish layers: about r / hidden of the weights they sit on.
        adapter = int(4 * compute * min(1.0, 2 * cell.lora.r / hidden))
    if cell.prefix is not None:
        # Keys and values as wide as a layer, where a layer has 12 hidden^2 weights; or a network that makes them.
        adapter = int(4 * compute * (1 / 6 if cell.prefix.projection else cell.prefix.tokens / hidden / 6))
    keeps_model = cell.strategy is Strategy.FULL or cell.keep_weights == "all"
    copies = 4 if keeps_model and cell.keep_weights != "adapters" else 0
    return 500_000 + 4 * adapter + copies * total
