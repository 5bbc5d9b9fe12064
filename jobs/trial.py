"""The story of one pack: load the base, train its cells, publish each as it finishes.

    python -m jobs.trial pack.json OUT/        (or s3://bucket/folder)

runs a pack without the driver: no ray, no SQL.
"""

from __future__ import annotations

import logging
import signal
import sys
from collections import deque
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jobs.device_memory import with_gpu_memory
from jobs.errors import FineGridError, classify
from jobs.pack_log import PackLog, forwarded_logging
from jobs.spec import Command, CommandKind, Event, EventKind, FailureKind, PackedCell, PackSpec, Strategy, loads
from jobs.storage import AttemptName, Layout, cache_root, results_of, results_path

if TYPE_CHECKING:
    from jobs.models.loading import Base

log = logging.getLogger(__name__)

Events = Generator[Event, Command | None, None]


class Workshop:
    """What a process keeps between packs: folders, and the last base, still warm."""

    def __init__(self, results: Path, cache: Path) -> None:
        """Start without a base."""
        self.layout = Layout(results)
        self.cache = cache
        self._base: Base | None = None
        self._base_bytes = 0
        """What the base alone takes on a CUDA device, measured when it was loaded."""

    def base_for(self, pack: PackSpec) -> Base:
        """The pack's base: the warm one when it is the same, else freshly loaded.

        Raises:
            UserError: unsupported model or settings.
            EnvironmentProblem: the checkpoint or the device is not there.
        """
        from jobs.models.loading import load_base, quiet_libraries

        if self._base is None or self._base.key != pack.base_key:
            quiet_libraries()
            self._base = None  # frees the old one before the new one needs its memory
            cell = pack.cells[0].cell
            if cell.model is None:
                raise ValueError(f"pack {pack.pack_id} has no model, yet asks for a base")
            self._base = load_base(
                pack.base_key,
                cell.model,
                quantization=cell.quantization if cell.strategy is Strategy.QLORA else None,
                compute_spec=cell.compute,
                gpus=pack.resources.gpus,
                cache=self.cache,
                trainable=cell.strategy is Strategy.FULL,
                stock=cell.strategy.is_stock,
                family=cell.family,
            )
            self._base_bytes = self._held_bytes()
        return self._base

    def is_clean(self) -> bool:
        """True when a pack left no memory behind on the device: the next one may use this process."""
        return self._held_bytes() <= 1.1 * self._base_bytes

    def _held_bytes(self) -> int:
        """What this process holds on its CUDA device; 0 without one."""
        if self._base is None or self._base.compute.device.type != "cuda":
            return 0
        import torch

        torch.cuda.empty_cache()
        return int(torch.cuda.memory_allocated(self._base.compute.device))


@dataclass
class Desk:
    """A pack in progress: its cells that wait, its log, and the events of the cells."""

    pack: PackSpec
    workshop: Workshop
    log: PackLog
    waiting: deque[PackedCell] = field(default_factory=deque)
    is_stopped: bool = False
    given_up: set[str] = field(default_factory=set)
    num_finished: int = 0

    def event(self, kind: EventKind, packed: PackedCell | None = None, /, **data: Any) -> Event:
        """An event of this pack, with the cell's identity and numbers when it concerns one."""
        if packed is None:
            return Event(kind=kind, pack_id=self.pack.pack_id, data=data)
        return Event(
            kind=kind,
            pack_id=self.pack.pack_id,
            cell_id=packed.cell.cell_id,
            epoch=packed.epoch,
            attempt=packed.attempt,
            data=data,
        )

    def heed(self, command: Command | None) -> None:
        """Take note of what the driver asks; it is acted upon between steps."""
        if command is None:
            return
        self.log.write("command", str(command.kind))
        if command.kind is CommandKind.STOP:
            self.is_stopped = True
        else:
            self.given_up.update(command.cell_ids)

    def finished(self, packed: PackedCell, folder: Path, accuracy: float | None) -> Event:
        """A cell's result stands on the disk."""
        self.num_finished += 1
        self.log.write("cell_finished", packed.cell.title, cell_id=packed.cell.cell_id, accuracy=accuracy)
        return self.event(EventKind.CELL_FINISHED, packed, folder=str(folder), accuracy=accuracy)

    def failed(self, packed: PackedCell, error: BaseException) -> Event:
        """A cell failed; the traceback goes to the log, the reason to the store."""
        kind, reason = classify(error)
        reason = with_gpu_memory(reason) if kind is FailureKind.OUT_OF_MEMORY else reason
        traced = None if isinstance(error, FineGridError) and error.__cause__ is None else error
        self.log.write(
            "cell_failed", reason, cell_id=packed.cell.cell_id, level="error", error=traced, failure=str(kind)
        )
        where = self.workshop.layout.relative(self.log.path)
        return self.event(EventKind.CELL_FAILED, packed, kind=str(kind), reason=reason, log=where)

    def interrupted(self, packed: PackedCell) -> Event:
        """A cell is given back unfinished."""
        self.log.write("cell_interrupted", packed.cell.title, cell_id=packed.cell.cell_id)
        return self.event(EventKind.CELL_INTERRUPTED, packed)


def run_pack(pack: PackSpec, workshop: Workshop) -> Events:
    """Train one pack.

    Args:
        pack: its cells with the attempt numbers they were handed out for.
        workshop: the process' folders and warm base.
    Yields:
        events, at least one a training step; accepts commands in return.
    Raises:
        FineGridError: the base cannot be loaded; then no cell of the pack can go on.
    Side effects:
        writes result folders and the pack's log.
    """
    path = workshop.layout.pack_log(pack.cells[0].epoch, pack.pack_id)
    with PackLog(path) as pack_log, forwarded_logging(pack_log):
        desk = Desk(pack, workshop, pack_log, deque(pack.cells))
        pack_log.write("pack_started", f"{len(pack.cells)} cells", base=pack.base_key)
        desk.heed((yield desk.event(EventKind.PACK_STARTED)))
        if pack.cells[0].cell.strategy.is_baseline:
            from jobs.baseline_pack import run_baselines as run
        elif pack.cells[0].cell.strategy is Strategy.CHAIN:
            from jobs.training.chain_pack import run_chains as run
        else:
            from jobs.training.pack import run_cells as run
        yield from run(desk)
        for packed in desk.waiting:
            desk.heed((yield desk.interrupted(packed)))
        pack_log.write("pack_finished")
        yield desk.event(EventKind.PACK_FINISHED)


def events_of(pack: PackSpec, workshop: Workshop, should_stop: Callable[[], bool] = lambda: False) -> Iterator[Event]:
    """Run a pack without a driver.

    Args:
        pack: its cells.
        workshop: the process' folders and warm base.
        should_stop: asked at every event; once true, cells are saved and given back.
    Yields:
        its events.
    """
    trial = run_pack(pack, workshop)
    was_told = False
    command: Command | None = None
    while True:
        try:
            yield trial.send(command)
        except StopIteration:
            return
        command = Command(kind=CommandKind.STOP) if should_stop() and not was_told else None
        was_told |= command is not None


def unfinished(pack: PackSpec, layout: Layout) -> PackSpec | None:
    """The pack without cells whose results of this very attempt are there; None: nothing is left to do."""
    left = []
    for packed in pack.cells:
        names = [AttemptName.parse(folder.name) for folder in results_of(layout, packed.cell.cell_id)]
        if (packed.epoch, packed.attempt) not in {(name.epoch, name.attempt) for name in names if name}:
            left.append(packed)
    return replace(pack, cells=tuple(left)) if left else None


def main(arguments: list[str]) -> int:
    """Run the pack in a file; results go to a folder.

    The same command again does what is left. SIGTERM: cells in training are saved and given back.

    Returns:
        0 when every cell finished, 1 when some did not, 143 after SIGTERM.
    """
    if len(arguments) != 2:
        sys.stderr.write("usage: python -m jobs.trial pack.json OUT/\n")
        return 2
    told: list[int] = []
    signal.signal(signal.SIGTERM, lambda number, frame: told.append(number))
    workshop = Workshop(results_path(arguments[1]).absolute(), cache_root())
    pack = unfinished(loads(PackSpec, Path(arguments[0]).read_text("utf-8")), workshop.layout)
    failures = 0
    for event in events_of(pack, workshop, lambda: bool(told)) if pack else ():
        if event.kind is not EventKind.HEARTBEAT:
            sys.stderr.write(f"{event.kind} {event.cell_id or ''} {dict(event.data)}\n")
        failures += event.kind in (EventKind.CELL_FAILED, EventKind.CELL_INTERRUPTED)
    return 128 + signal.SIGTERM if told and failures else 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
