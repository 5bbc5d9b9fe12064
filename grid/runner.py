"""What every runner promises, and the one way in which a pack is driven.

A runner works through a queue: it takes packs, advances `run_pack` of the trial module wherever it
pleases (in this process, in Ray workers) and reports every event to the driver. It never writes the
store. A pack that raises or whose worker dies becomes one PACK_LOST event; nothing a trial does
makes a runner raise.
"""

from __future__ import annotations

import importlib
from collections import deque
from collections.abc import Callable, Generator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, cast

from grid.queue import Queue
from grid.stacks import stacks_of_all_threads
from jobs.device_memory import with_gpu_memory
from jobs.errors import classify
from jobs.pack_log import PackLog
from jobs.spec import Command, CommandKind, Event, EventKind, FailureKind, PackSpec
from jobs.storage import Layout

OnEvent = Callable[[Event], None]
ShouldStop = Callable[[], bool]
Trial = Generator[Event, Command | None, None]


@dataclass(frozen=True, kw_only=True)
class Site:
    """Where trials find their code and leave their files; the same paths on every node."""

    results: Path
    cache: Path
    trial_module: str = "jobs.trial"
    """Module with `Workshop` and `run_pack`, imported where the trial runs."""


class Runner(Protocol):
    """Something that can work through a queue."""

    def run_pass(self, queue: Queue, on_event: OnEvent, should_stop: ShouldStop) -> None:
        """Work until the queue is finished, or until told to stop; all packs taken have ended then.

        Args:
            queue: source of packs; the runner calls only `next_pack` and its read-only questions.
            on_event: called in this thread with every event, in order within a pack. It feeds the queue.
            should_stop: asked often; once true, nothing more is handed out and running packs are
                told to stop at their next chance.
        Raises:
            Exception: what `on_event` raised, after running packs were told to stop.
            EnvironmentProblem: the machines cannot run what the queue asks for.
        """
        ...

    def close(self) -> None:
        """Release processes and memory; the runner is not used again."""
        ...


class WarmState(Protocol):
    """A trial module's long-lived state of one process (the base that is still loaded)."""

    def is_clean(self) -> bool:
        """True when the device's memory is free enough for another pack."""
        ...


class TrialModule(Protocol):
    """What a runner needs of `jobs.trial`."""

    def Workshop(self, results: Path, cache: Path) -> WarmState:
        """Build the state that lives as long as the process."""
        ...

    def run_pack(self, pack: PackSpec, workshop: WarmState) -> Trial:
        """Train one pack, yielding events and accepting commands."""
        ...


def load_trial(site: Site) -> TrialModule:
    """Import the trial module; heavy, so only where and when a trial runs."""
    return cast(TrialModule, importlib.import_module(site.trial_module))


class PackSession:
    """One pack under way in this process.

    `advance` gives events until None; the last event is always PACK_FINISHED or PACK_LOST.
    """

    def __init__(self, pack: PackSpec, start: Callable[[], Trial], layout: Layout) -> None:
        """Keep what is needed; nothing runs before the first `advance`."""
        self.pack = pack
        self.has_raised = False
        self._start = start
        self._layout = layout
        self._trial: Trial | None = None
        self._commands: deque[Command] = deque()
        self._is_over = False
        self._was_stopped = False

    @property
    def was_stopped(self) -> bool:
        """True once `stop` was called."""
        return self._was_stopped

    def tell(self, command: Command) -> None:
        """Queue a command for the trial's next step."""
        self._commands.append(command)
        self._was_stopped |= command.kind is CommandKind.STOP

    def stop(self) -> None:
        """Ask the trial once to end at its next chance."""
        if not self._was_stopped:
            self.tell(Command(kind=CommandKind.STOP))

    def advance(self) -> Event | None:
        """Run the trial up to its next event.

        Returns:
            the event; None when the pack has ended.
        """
        if self._is_over:
            return None
        try:
            event = self._step()
        except StopIteration:
            event = Event(kind=EventKind.PACK_FINISHED, pack_id=self.pack.pack_id)
        except Exception as error:
            event = self._lost(error)
        if event.kind in (EventKind.PACK_FINISHED, EventKind.PACK_LOST):
            self.close()
        return event

    def leave_stacks(self, message: str) -> None:
        """Write to the pack's log where every thread of this process is; any thread may call it."""
        write_pack_log(self._layout, self.pack, "no_progress", message, stacks=stacks_of_all_threads())

    def close(self) -> None:
        """End the trial where it stands, without further events."""
        self._is_over = True
        trial, self._trial = self._trial, None
        if trial is not None:
            trial.close()

    def _step(self) -> Event:
        if self._trial is None:
            self._trial = self._start()
            return next(self._trial)
        return self._trial.send(self._commands.popleft() if self._commands else None)

    def _lost(self, error: Exception) -> Event:
        self.has_raised = True
        kind, reason = classify(error)
        reason = with_gpu_memory(reason) if kind is FailureKind.OUT_OF_MEMORY else reason
        log = write_pack_log(self._layout, self.pack, "pack_lost", reason, error)
        return lost(self.pack.pack_id, kind, reason, log=log)


def lost(pack_id: str, kind: FailureKind, reason: str, *, log: str = "") -> Event:
    """The event for a pack that died or raised."""
    return Event(kind=EventKind.PACK_LOST, pack_id=pack_id, data={"kind": str(kind), "reason": reason, "log": log})


def given_back(queue: Queue, pack_id: str) -> list[Event]:
    """Events that return every open cell of a pack unharmed, the pack's end included."""
    events = [
        Event(
            kind=EventKind.CELL_INTERRUPTED,
            pack_id=pack_id,
            cell_id=packed.cell.cell_id,
            epoch=packed.epoch,
            attempt=packed.attempt,
        )
        for packed in queue.open_cells(pack_id)
    ]
    return [*events, Event(kind=EventKind.PACK_FINISHED, pack_id=pack_id)]


def write_pack_log(
    layout: Layout, pack: PackSpec, event: str, message: str, error: BaseException | None = None, **facts: str
) -> str:
    """Append one line to the pack's log.

    Args:
        layout: the results folder.
        pack: whose log.
        event: machine-readable word.
        message: one line for people.
        error: its traceback is added.
        facts: further texts.
    Returns:
        the log's path relative to the results folder; empty when the disk refuses (the message still
        reaches the store).
    """
    path = layout.pack_log(pack.cells[0].epoch, pack.pack_id)
    try:
        with PackLog(path) as log:
            log.write(event, message, level="error", error=error, **facts)
    except OSError:
        return ""
    return layout.relative(path)
