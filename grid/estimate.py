"""Rough sizes and times before anything has run: for order and balance of packs, and to warn of a long run.

Every number here is an estimate from parameter counts and a constant throughput. Nothing is decided by it
that a wrong guess could spoil: only the order of packs, their size, and a warning.
"""

from __future__ import annotations

import json
import math
import re
import struct
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from grid.devices import Devices, gpu_count
from grid.gpu_table import pack_flops
from grid.known_models import known_location
from grid.workload import Rows, guessed_rows, size_of
from jobs.spec import CellSpec, ModelSpec, Strategy

CPU_FLOPS_PER_CORE = 5e10
"""fp32, small matrices: measured 5.8e10 on an AVX-512 core (notes on packed training, stacked 12)."""
GPU_FLOPS = 2e13
"""Of a GPU that `grid.gpu_table` does not know: between a T4 and an A100 in 16 bit; not measured by us."""
CPU_STEP_S = 0.002
GPU_STEP_S = 0.006
"""Overhead of a step that no arithmetic explains, already shared by the cells of a pack."""
BASELINE_SECONDS = 0.4
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


@dataclass(frozen=True, kw_only=True)
class Rates:
    """Seconds that the parts of a cell take."""

    row: float
    """A training row, in one epoch."""
    step: float
    """What an optimiser step takes whatever its rows."""
    evaluated: float
    """A row that is evaluated."""
    cell: float
    """Whatever its size."""

    @property
    def parts(self) -> tuple[float, float, float, float]:
        """In the order of `grid.workload.Size.features`."""
        return self.row, self.step, self.evaluated, self.cell


def cell_flops(cell: CellSpec, rows: Rows | None = None) -> float:
    """Floating-point operations of one cell: training, evaluations, the final test."""
    if cell.model is None:
        return 0.0
    rows = rows or guessed_rows(cell)
    size = size_of(cell, rows)
    trained, evaluated = _flops_a_row(cell, rows)
    return trained * size.rows + evaluated * (size.evaluated + size.tested)


def _flops_a_row(cell: CellSpec, rows: Rows) -> tuple[float, float]:
    """Operations of a row that is trained on, and of one that is evaluated."""
    if cell.model is None:
        return 0.0, 0.0
    compute = parameters(cell.model)[1] * rows.tokens
    if cell.strategy in (Strategy.HEAD, Strategy.CHAIN):
        # The frozen base sees every text once, whatever the number of epochs.
        return 2.0 * compute / max(1, cell.recipe.epochs), 2.0 * compute
    # Forward 2 a weight and token; the backward pass 2 for activations and, when all weights train, 2 for them.
    return (6.0 if cell.strategy is Strategy.FULL else 4.0) * compute, 2.0 * compute


def arithmetic_rates(cell: CellSpec, rows: Rows, devices: Devices, cpus: int) -> Rates:
    """Seconds of a cell's parts by the size of its model alone.

    Args:
        cell: with a model.
        rows: what it sees.
        devices: what there is.
        cpus: cores of its pack.
    """
    trained, evaluated = _flops_a_row(cell, rows)
    if gpu_count(cell.compute.device, devices):
        flops, step = pack_flops(devices) or GPU_FLOPS, GPU_STEP_S
    else:
        flops, step = CPU_FLOPS_PER_CORE * cpus, CPU_STEP_S
    return Rates(row=trained / flops, step=step, evaluated=evaluated / flops, cell=CELL_OVERHEAD_S)


def cell_seconds(cell: CellSpec, devices: Devices, cpus: int, rows: Rows | None = None) -> float:
    """Estimate how long a cell keeps its pack's share of the machine busy.

    Args:
        cell: any cell.
        devices: what there is.
        cpus: cores of its pack.
        rows: what it sees; None: guessed.

    Returns:
        seconds, a rough estimate.
    """
    if cell.model is None:
        return BASELINE_SECONDS
    rows = rows or guessed_rows(cell)
    rates = arithmetic_rates(cell, rows, devices, cpus)
    features = size_of(cell, rows).features(1.0)
    return sum(rate * feature for rate, feature in zip(rates.parts, features, strict=True))


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
