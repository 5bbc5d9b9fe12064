"""What a run has to do: declared minus done, grouped into packs, longest first, every cell with its reason."""

from __future__ import annotations

import hashlib
import heapq
import math
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

from grid.cost_model import CostModel, Estimated, device_kind
from grid.devices import Devices, ResourceRequest, gpu_count
from grid.estimate import pack_bytes
from grid.expectations import ARITHMETIC, Expectations
from grid.shares import Share, share_out
from jobs.device_memory import gpu_memory_in
from jobs.spec import RESUMED_KINDS, CellSpec, CellState, FailureKind, Resources, Strategy

LearnCosts = Callable[[Devices, int], CostModel]
"""From devices and the cores of a pack to what is known about costs there."""

BASELINE_KEY = "baseline"
MAX_PACK_CELLS = 256
"""Keeps one pack's description below a megabyte."""
MIN_SPLIT_CELLS = 4
"""A pack is not halved below this for balance alone: packing is where the speed comes from."""
_BALANCE = 1.1
_LARGER = 1.1
"""What a driver and a library call the memory of one GPU differs by some hundredths."""


class KnownCell(Protocol):
    """What the plan reads of a row of the store."""

    @property
    def state(self) -> CellState:
        """Where the cell stands."""

    @property
    def kind(self) -> FailureKind | None:
        """Kind of the failure of a failed cell."""

    @property
    def reason(self) -> str | None:
        """Its reason in one line."""


@dataclass(frozen=True, kw_only=True)
class PlannedCell:
    """A cell and why it runs, or why not."""

    cell: CellSpec
    reason: str
    """new, interrupted, "failed as transient: ..., tried again", done, ..."""
    is_done: bool = False
    """True for skipped cells that are finished; the other skipped ones wait for someone."""
    seconds: float | None = None
    """Estimated share of the device of a cell that runs."""


@dataclass(frozen=True, kw_only=True)
class PlannedPack:
    """Cells that share a base, to be trained by one trial."""

    pack_id: str
    base_key: str
    cells: tuple[PlannedCell, ...]
    resources: Resources
    estimated_seconds: float
    """Of its devices; as good as what it rests on."""
    basis: str = ARITHMETIC
    """What the estimate rests on, for most of its cells."""


@dataclass(frozen=True, kw_only=True)
class Plan:
    """All packs, longest first, and what is left alone."""

    packs: tuple[PlannedPack, ...]
    skipped: tuple[PlannedCell, ...]
    """Done, or failed and waiting."""
    parallel: int = 1
    """Packs that run at the same time."""

    @property
    def num_cells(self) -> int:
        """Cells to run."""
        return sum(len(pack.cells) for pack in self.packs)

    @property
    def done(self) -> tuple[PlannedCell, ...]:
        """Skipped because they are finished."""
        return tuple(planned for planned in self.skipped if planned.is_done)

    @property
    def waiting(self) -> tuple[PlannedCell, ...]:
        """Failed, and not tried again by this command."""
        return tuple(planned for planned in self.skipped if not planned.is_done)

    @property
    def estimated_seconds(self) -> float:
        """From the first pack to the last, packs side by side; a rough estimate."""
        return makespan((pack.estimated_seconds for pack in self.packs), self.parallel)


def make_plan(
    cells: Sequence[CellSpec],
    states: Mapping[str, KnownCell],
    devices: Devices,
    retry_failed: frozenset[FailureKind] = frozenset(),
    request: ResourceRequest | None = None,
    costs: LearnCosts = lambda devices, cpus: CostModel(expectations=Expectations(devices=devices, cpus=cpus)),
    at_once: int | None = None,
) -> Plan:
    """Decide what runs, in which packs and in which order.

    Args:
        cells: all declared cells.
        states: what the store knows, by cell id; empty before the first run.
        devices: what there is to run on.
        retry_failed: kinds of failures that wait otherwise and are to be tried again (--retry-failed).
        request: what the config asks for each trial.
        costs: gives what is known about costs of these devices; default: nothing.
        at_once: packs that run at a time, at most; None: as many as there are devices for.

    Returns:
        the plan; the same arguments give the same plan, pack ids included.
    """
    request = request or ResourceRequest()
    decided = [decide(cell, states.get(cell.cell_id), retry_failed, devices) for cell in cells]
    todo = [planned for planned, runs in decided if runs]
    share = _share(cells, devices, request)
    parallel, resources = min(share.parallel, at_once or share.parallel), share.resources
    groups: dict[str, list[PlannedCell]] = {}
    for planned in todo:
        groups.setdefault(base_key(planned.cell), []).append(planned)
    model = costs(devices, resources.cpus) if todo else CostModel()
    found = _estimates(groups.values(), devices, model)
    seconds = {cell_id: one.seconds for cell_id, one in found.items()}
    batches = _balanced(_capped(groups, seconds, parallel), seconds, parallel)
    batches.sort(key=lambda batch: (-_total(batch, seconds), base_key(batch[0].cell), pack_id(batch)))
    has_spare = devices.cpus > parallel * resources.cpus
    packs = [
        PlannedPack(
            pack_id=pack_id(batch),
            base_key=base_key(batch[0].cell),
            cells=tuple(replace(planned, seconds=seconds[planned.cell.cell_id]) for planned in batch),
            resources=Resources() if batch[0].cell.model is None else resources,
            estimated_seconds=model.pack_seconds(
                [planned.cell for planned in batch],
                _total(batch, seconds),
                device=device_kind(devices, batch[0].cell.compute.device),
                is_fresh=place < parallel,
                has_spare=has_spare,
            ),
            basis=_most_common(found[planned.cell.cell_id].basis for planned in batch),
        )
        for place, batch in enumerate(batches)
    ]
    skipped = tuple(planned for planned, runs in decided if not runs)
    return Plan(packs=tuple(packs), skipped=skipped, parallel=parallel)


def _estimates(groups: Iterable[Sequence[PlannedCell]], devices: Devices, model: CostModel) -> dict[str, Estimated]:
    """Seconds of every cell, with those around it that share its base."""
    return {
        planned.cell.cell_id: model.seconds(
            planned.cell, device=device_kind(devices, planned.cell.compute.device), company=len(group)
        )
        for group in groups
        for planned in group
    }


def _most_common(bases: Iterable[str]) -> str:
    return Counter(bases).most_common(1)[0][0]


def decide(
    cell: CellSpec, known: KnownCell | None, retry_failed: frozenset[FailureKind], devices: Devices
) -> tuple[PlannedCell, bool]:
    """Apply the resume rule to one cell.

    Args:
        cell: a declared cell.
        known: its row in the store, if any.
        retry_failed: kinds that are tried again although they wait otherwise.
        devices: what there is to run on now.

    Returns:
        the cell with its reason, and whether it runs.
    """
    if known is None:
        return PlannedCell(cell=cell, reason="new"), True
    if known.state is CellState.DONE:
        return PlannedCell(cell=cell, reason="done", is_done=True), False
    if known.state is CellState.FAILED:
        return _decide_failed(cell, known, retry_failed, devices)
    reason = {
        CellState.PENDING: "not started yet",
        CellState.RUNNING: "was running when an earlier run ended",
        CellState.INTERRUPTED: "interrupted",
    }[known.state]
    return PlannedCell(cell=cell, reason=reason), True


def _decide_failed(
    cell: CellSpec, known: KnownCell, retry_failed: frozenset[FailureKind], devices: Devices
) -> tuple[PlannedCell, bool]:
    kind = known.kind or FailureKind.BUG
    failed = f"failed as {kind}" + (f" ({known.reason})" if known.reason else "")
    if kind in RESUMED_KINDS:
        return PlannedCell(cell=cell, reason=f"{failed}: tried again"), True
    if kind in retry_failed:
        return PlannedCell(cell=cell, reason=f"{failed}: tried again because of --retry-failed"), True
    if kind is FailureKind.OUT_OF_MEMORY and (now_bytes := _larger_gpu(cell, known, devices)):
        reason = f"{failed}: tried again, the GPUs have {now_bytes / 2**30:.1f} GiB now"
        return PlannedCell(cell=cell, reason=reason), True
    waits_for = {
        FailureKind.OUT_OF_MEMORY: "a larger device or a smaller recipe",
        FailureKind.DIVERGED: "a changed recipe",
    }.get(kind, "a changed config or data")
    return PlannedCell(cell=cell, reason=f"{failed}: waits for {waits_for}, or --retry-failed {kind}"), False


def _larger_gpu(cell: CellSpec, known: KnownCell, devices: Devices) -> int | None:
    """Memory that every GPU has, if it is more than that of the one on which memory ran out."""
    then_bytes = gpu_memory_in(known.reason)
    if then_bytes is None or not gpu_count(cell.compute.device, devices) or not devices.gpu_memory_bytes:
        return None
    now_bytes = min(devices.gpu_memory_bytes)
    return now_bytes if now_bytes > _LARGER * then_bytes else None


_USED: Mapping[Strategy, str] = {
    Strategy.FULL: "trainable",  # a base that trains cannot be shared
    Strategy.HEAD: "frozen",  # seen once for each text: another engine than that of adapters
    Strategy.IA3: "stock",  # the stock classifier, which PEFT changes for one cell at a time
    Strategy.PREFIX: "stock",
    Strategy.CHAIN: "features",
}
"""Strategies that use a base in a way of their own: an engine trains cells of one way only."""


def base_key(cell: CellSpec) -> str:
    """Name the loaded base that a cell needs; cells with equal keys can be packed together."""
    if cell.model is None:
        return BASELINE_KEY
    stored = _USED.get(cell.strategy, "full-precision")
    if cell.strategy is Strategy.QLORA and cell.quantization is not None:
        stored = cell.quantization.type + ("-double" if cell.quantization.double else "")
    revision = cell.model.revision or "unresolved"
    compute = f"{cell.compute.device}/{cell.compute.precision}/{cell.compute.base}/{cell.compute.numerics}"
    return f"{cell.model.source}:{cell.model.location}@{revision} {stored} {compute}"


def pack_id(batch: Iterable[PlannedCell]) -> str:
    """Twelve hex characters over the cells of a pack, in any order."""
    text = ",".join(sorted(planned.cell.cell_id for planned in batch))
    return hashlib.sha256(text.encode("ascii")).hexdigest()[:12]


def makespan(seconds: Iterable[float], parallel: int) -> float:
    """Time until the last of some packs ends when each, longest first, goes to the device that is free first."""
    devices = [0.0] * max(1, parallel)
    for duration in sorted(seconds, reverse=True):
        heapq.heappush(devices, heapq.heappop(devices) + duration)
    return max(devices)


def _share(cells: Sequence[CellSpec], devices: Devices, request: ResourceRequest) -> Share:
    trained = [cell for cell in cells if cell.model is not None]
    if not trained:
        return Share(parallel=max(1, devices.cpus), resources=Resources())
    models = {cell.model.location: cell.model for cell in trained if cell.model is not None}
    return share_out(
        devices,
        request,
        device=trained[0].compute.device,
        num_cells=len(trained),
        pack_bytes=max(pack_bytes(model) for model in models.values()),
    )


def _capped(
    groups: Mapping[str, list[PlannedCell]], seconds: Mapping[str, float], parallel: int
) -> list[list[PlannedCell]]:
    """Split each base's cells so that no pack is longer than one device's fair share."""
    fair = sum(seconds.values()) / parallel
    batches: list[list[PlannedCell]] = []
    for group in groups.values():
        by_time = math.ceil(_total(group, seconds) / fair - 1e-9) if fair > 0 else 1
        by_size = math.ceil(len(group) / MAX_PACK_CELLS)
        batches += _split(group, min(len(group), max(1, by_time, by_size)), seconds)
    return batches


def _balanced(batches: list[list[PlannedCell]], seconds: Mapping[str, float], parallel: int) -> list[list[PlannedCell]]:
    """Halve the longest pack while devices would stand idle for it."""
    batches = list(batches)
    if parallel == 1 or not batches:
        return batches
    fair = sum(seconds.values()) / parallel
    times = [_total(batch, seconds) for batch in batches]
    for _ in range(4 * parallel):
        needs_more = len(batches) < parallel
        if not needs_more and makespan(times, parallel) <= _BALANCE * fair:
            break
        at_least = 2 if needs_more else 2 * MIN_SPLIT_CELLS
        candidates = [index for index, batch in enumerate(batches) if len(batch) >= at_least]
        if not candidates:
            break
        longest = max(candidates, key=lambda index: (times[index], -index))
        halves = _split(batches[longest], 2, seconds)
        batches[longest : longest + 1] = halves
        times[longest : longest + 1] = [_total(half, seconds) for half in halves]
    return batches


def _split(group: list[PlannedCell], parts: int, seconds: Mapping[str, float]) -> list[list[PlannedCell]]:
    """Deal cells out into parts of about equal time; each part keeps the longest first."""
    ordered = sorted(group, key=lambda planned: -seconds[planned.cell.cell_id])
    loads = [(0.0, index) for index in range(parts)]
    result: list[list[PlannedCell]] = [[] for _ in range(parts)]
    for planned in ordered:
        load, index = heapq.heappop(loads)
        result[index].append(planned)
        heapq.heappush(loads, (load + seconds[planned.cell.cell_id], index))
    return [part for part in result if part]


def _total(batch: Iterable[PlannedCell], seconds: Mapping[str, float]) -> float:
    return sum(seconds[planned.cell.cell_id] for planned in batch)


def without(plan: Plan, models: Mapping[str, str]) -> tuple[Plan, tuple[PlannedCell, ...]]:
    """Take the cells of unavailable models out of a plan (--skip-unavailable).

    Args:
        plan: any plan.
        models: reason by model location.

    Returns:
        the rest of the plan, and the cells taken out with the reason, to be recorded as failed.
    """
    out: list[PlannedCell] = []
    packs: list[PlannedPack] = []
    for pack in plan.packs:
        model = pack.cells[0].cell.model
        if model is not None and model.source == "hub" and model.location in models:
            out += [replace(planned, reason=models[model.location]) for planned in pack.cells]
        else:
            packs.append(pack)
    return replace(plan, packs=tuple(packs)), tuple(out)
