"""Gauges for a plan: which kinds of cells this machine is to be measured for, and what was measured earlier.

Only plans measure, and only on the machine they run on; runs use what is there. `FINEGRID_GAUGE_S` says how many
seconds a plan may spend on it, 0: none.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from statistics import median
from typing import Final

from grid.deadlines import GAUGING
from grid.devices import Devices, gpu_count
from grid.work_process import ask
from grid.workload import Rows, RowsOf
from jobs.errors import FineGridError
from jobs.gauging.book import key_of, read_gauge
from jobs.gauging.messages import Answer, Gauge, Request, Wish
from jobs.spec import CellSpec, Strategy

MODULE: Final = "jobs.gauging"


class Gauges:
    """What is known of this machine, looked up once for each kind of cell."""

    def __init__(self, cache: Path, devices: Devices, threads: int, rows_of: RowsOf) -> None:
        """Look nothing up yet.

        Args:
            cache: FineGrid's cache folder.
            devices: what is planned for; nothing is known unless it is a CPU of this machine.
            threads: cores of a pack.
            rows_of: says how long texts are.
        """
        self._cache = cache
        self._is_here = devices.where == Devices(cpus=1).where and not devices.nodes
        self._devices = devices
        self._threads = threads
        self._rows_of = rows_of
        self._keys: dict[tuple[object, ...], str] = {}
        self._known: dict[str, Gauge | None] = {}

    def of(self, cell: CellSpec) -> Gauge | None:
        """The gauge of a cell's kind; None: there is none."""
        if not self._can_gauge(cell):
            return None
        key = self._key(cell, self._rows_of(cell))
        if key not in self._known:
            self._known[key] = read_gauge(self._cache, key)
        return self._known[key]

    def stretch(self, cells: Iterable[CellSpec], arithmetic: Callable[[CellSpec], float]) -> float | None:
        """How much longer than by arithmetic steps take here: the median over kinds that were measured.

        Args:
            cells: of a plan.
            arithmetic: seconds of one training row of a cell.
        Returns:
            a factor; None: nothing was measured.
        """
        ratios: dict[int, float] = {}
        for cell in cells:
            gauge = self.of(cell)
            if gauge is not None and id(gauge) not in ratios and cell.strategy is not Strategy.HEAD:
                ratios[id(gauge)] = gauge.step_seconds / cell.recipe.batch_size / arithmetic(cell)
        return median(ratios.values()) if ratios else None

    def wishes(self, cells: Iterable[CellSpec], seconds: Callable[[CellSpec], float]) -> tuple[Wish, ...]:
        """Kinds that were not measured yet, those that take longest first.

        Args:
            cells: of a plan.
            seconds: estimate of a cell, for the order.
        """
        found: dict[str, Wish] = {}
        weights: dict[str, float] = {}
        for cell in cells:
            if not self._can_gauge(cell) or self.of(cell) is not None:
                continue
            rows = self._rows_of(cell)
            key = self._key(cell, rows)
            found.setdefault(key, Wish(key=key, cell=cell, lengths=rows.lengths, threads=self._threads))
            weights[key] = weights.get(key, 0.0) + seconds(cell)
        return tuple(sorted(found.values(), key=lambda wish: -weights[wish.key]))

    def _can_gauge(self, cell: CellSpec) -> bool:
        is_trained = cell.model is not None and cell.strategy is not Strategy.CHAIN
        return self._is_here and is_trained and not gpu_count(cell.compute.device, self._devices)

    def _key(self, cell: CellSpec, rows: Rows) -> str:
        kind = (
            cell.model, cell.strategy, cell.compute, cell.lora, cell.quantization, cell.ia3, cell.prefix, cell.family,
            cell.recipe.batch_size, cell.recipe.optimizer, cell.recipe.max_length, cell.recipe.length_bucketing,
            rows.lengths,
        )  # fmt: skip
        if kind not in self._keys:
            self._keys[kind] = key_of(cell, lengths=rows.lengths, threads=self._threads)
        return self._keys[kind]


def measure(wishes: tuple[Wish, ...], *, cache: Path, seconds: float, say: Callable[[str], object]) -> list[str]:
    """Measure kinds of cells in a process of its own.

    Args:
        wishes: what is to be measured, the most important first.
        cache: FineGrid's cache folder.
        seconds: no further kind is begun after so long; imports come on top.
        say: takes a line of progress for each kind.
    Returns:
        why kinds have no gauge, each reason once; their estimates rest on arithmetic.
    Side effects:
        keeps gauges in the cache folder.
    """
    if not wishes or not seconds:
        return []
    request = Request(wishes=wishes, budget_s=seconds, cache=str(cache))
    try:
        answer = ask(MODULE, request, Answer, say)
    except FineGridError as error:
        return [str(error)]  # a plan without a gauge is a rougher plan
    reasons = [one.reason for one in answer.gauged if one.gauge is None]
    left = len(wishes) - len(answer.gauged)
    reasons += [f"no time for {left} more kinds of cells: plan again, or raise {GAUGING.variable}"] if left else []
    return list(dict.fromkeys(reasons))
