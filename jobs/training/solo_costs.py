"""Solo figures for the cells of a pack: one probe for all cells that cost the same, kept in the cache folder.

Cells cost the same when model, strategy, device, numeric form, rows' origin and every setting that decides the
work of a step are equal; seeds, label counts, sample sizes, rates and schedules are not among them. A grid therefore
pays for one probe per (model, strategy, device) unless it varies such a setting, whatever the number of its packs.
"""

from __future__ import annotations

import hashlib
import json
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from jobs.data.diskcache import read_cached, write_cached
from jobs.errors import classify
from jobs.models.loading import Base
from jobs.provenance import machine
from jobs.spec import CellSpec, FailureKind, PackedCell, dumps, from_json, to_json
from jobs.training.cell_run import CellData
from jobs.training.cost_probe import SoloCosts, probe
from jobs.training.peak_memory import forget_peak

log = logging.getLogger(__name__)

CACHE_FOLDER = "solo-costs"
PROBE_VERSION = 1
"""Raised when a figure changes its meaning: older ones in the cache are then measured anew."""
PACK_BUDGET_S = 60.0
"""No further probe is begun for a pack after this time; what is missing is left to its next pack."""

_DATA = ("source", "id", "subset", "path", "revision", "text_column", "task", "protocol", "rows")
_RECIPE = ("batch_size", "gradient_accumulation", "optimizer", "max_length", "length_bucketing")
_LORA = ("r", "dropout", "targets")


@dataclass(frozen=True, kw_only=True)
class Solo:
    """What is known of a cell's solo costs, for its result."""

    provenance: Mapping[str, Any]
    costs: Mapping[str, float] = field(default_factory=dict)
    marks: tuple[str, ...] = ()


OFF = Solo(provenance={"solo_probe": "off"})
_LEFT_OUT = Solo(provenance={"solo_probe": "not measured in this pack"})


def probe_pack(
    cells: Sequence[PackedCell],
    base: Base,
    *,
    data_of: Callable[[PackedCell], CellData],
    cache: Path,
    should_stop: Callable[[], bool],
) -> SoloBook:
    """Find or measure the solo costs of a pack's cells, before any of them trains.

    Args:
        cells: the pack's cells.
        base: the shared base, with nobody in training on it; the threads are those that the pack will use.
        data_of: loads a cell's rows; asked only for cells that are measured.
        cache: FineGrid's cache folder.
        should_stop: asked before each probe, which takes some seconds; what is missing then stays so.
    Returns:
        the figures; a probe that failed is told there (mark and reason), in the log, and stops nothing.
    Side effects:
        writes the cache; the process' peak memory starts anew, so that the pack's own peak does not hold the probe's.
    """
    book = SoloBook(base, cache)
    end = time.monotonic() + PACK_BUDGET_S
    for packed in cells:
        if time.monotonic() < end and not should_stop():
            book.find_or_measure(packed, data_of)
    forget_peak(base.compute.device)
    return book


class SoloBook:
    """The solo costs known for one base in one pack."""

    def __init__(self, base: Base, cache: Path) -> None:
        """Start empty; the present number of threads is part of what figures belong to."""
        self._base = base
        self._folder = cache / CACHE_FOLDER
        self._threads = torch.get_num_threads()
        self._known: dict[str, Solo] = {}

    def of(self, cell: CellSpec) -> Solo:
        """What is known for a cell, or why there is nothing."""
        if not cell.compute.cost_probe:
            return OFF
        return self._known.get(self._settings(cell), _LEFT_OUT)

    def find_or_measure(self, packed: PackedCell, data_of: Callable[[PackedCell], CellData]) -> None:
        """Take the figures of a cell's settings from this pack or from the cache, else measure them."""
        settings = self._settings(packed.cell)
        if not packed.cell.compute.cost_probe or settings in self._known:
            return
        cached = self._read(settings)
        if cached is not None:
            self._known[settings] = self._found(cached, "cached")
            return
        try:
            data = data_of(packed)
        except Exception as error:
            # Not hidden: the cell meets the same error when its turn comes, and fails with it.
            log.info("no cost probe with cell %s: its rows cannot be loaded (%s)", packed.cell.cell_id, error)
            return
        self._known[settings] = self._measure(packed, data, settings)

    def _measure(self, packed: PackedCell, data: CellData, settings: str) -> Solo:
        started = time.perf_counter()
        try:
            costs = probe(packed, data, self._base)
        except Exception as error:
            return _failed(packed, error)
        log.info(
            "cost probe: %.4g s a step alone, %d bytes (%s, took %.1f s)",
            costs.step_seconds, costs.peak_memory_bytes, packed.cell.title, time.perf_counter() - started,
        )  # fmt: skip
        body = {"settings": json.loads(settings), "costs": to_json(costs)}
        write_cached(self._path(settings), dumps(body).encode())
        return self._found(costs, "measured")

    def _found(self, costs: SoloCosts, how: str) -> Solo:
        figures = {
            "solo_step_seconds": costs.step_seconds,
            "solo_train_samples_per_second": costs.train_samples_per_second,
            "solo_inference_samples_per_second": costs.inference_samples_per_second,
            "solo_peak_memory_bytes": float(costs.peak_memory_bytes),
        }
        if costs.feature_seconds_per_text:
            figures["solo_feature_seconds_per_text"] = costs.feature_seconds_per_text
        provenance = {"solo_probe": how, "solo_steps": costs.num_steps, "solo_threads": self._threads}
        return Solo(provenance=provenance, costs=figures)

    def _read(self, settings: str) -> SoloCosts | None:
        body = read_cached(self._path(settings))
        return None if body is None else from_json(SoloCosts, json.loads(body)["costs"])

    def _path(self, settings: str) -> Path:
        return self._folder / f"{hashlib.sha256(settings.encode()).hexdigest()[:32]}.json"

    def _settings(self, cell: CellSpec) -> str:
        """Everything that a cell's cost depends on, as canonical JSON."""
        return dumps({"probe": PROBE_VERSION, **cost_settings(cell, self._base, threads=self._threads)})


def cost_settings(cell: CellSpec, base: Base, *, threads: int) -> dict[str, Any]:
    """Everything that a cell's cost depends on: cells with equal settings cost the same."""
    compute, facts = base.compute, machine()
    on_cuda = compute.device.type == "cuda"
    return {
        "versions": facts["versions"],
        "device": torch.cuda.get_device_name(compute.device) if on_cuda else facts["cpu"],
        "threads": threads,
        "dtype": compute.dtype_name,
        "base_mode": compute.base_mode,
        "numerics": compute.numerics,
        "base": base.key,
        "model": base.tokenizer_key,
        "strategy": cell.strategy,
        "data": _chosen(cell.data, _DATA),
        "recipe": _chosen(cell.recipe, _RECIPE),
        "lora": _chosen(cell.lora, _LORA),
        **{name: to_json(getattr(cell, name)) for name in ("ia3", "prefix") if getattr(cell, name) is not None},
    }


def _chosen(section: object, names: Sequence[str]) -> dict[str, Any] | None:
    return None if section is None else {name: getattr(section, name) for name in names}


def _failed(packed: PackedCell, error: Exception) -> Solo:
    kind, reason = classify(error)
    what = "ran out of memory" if kind is FailureKind.OUT_OF_MEMORY else "failed"
    log.warning("cost probe %s (%s): %s", what, packed.cell.title, reason, exc_info=error)
    return Solo(provenance={"solo_probe": what}, marks=(f"solo cost probe {what}: {reason}",))
