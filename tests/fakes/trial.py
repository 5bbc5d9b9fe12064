"""A trial without torch: the cell's `variant` is its script, its numbers follow from its seed.

Scripts: done (also None), slow[.STEPS], fail.KIND, flaky (transient once), raise, raise.KIND, die (SIGKILL to itself),
die_once, publish_and_die_once, hang (until STOP), deaf[.SECONDS] (hangs and hears nothing), hang_once,
deaf_once[.SECONDS], eat_once (memory, for some seconds), oom_unless_alone. `once`: at the first attempt of a run.
With FINEGRID_FAKE_CALM=1 every script is `done`: the undisturbed run of the same cells.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Generator
from pathlib import Path

from jobs.errors import EnvironmentProblem, TransientProblem, UserError
from jobs.spec import CellResult, Command, CommandKind, Event, EventKind, MetricValue, PackedCell, PackSpec
from jobs.storage import Layout, publish

STEP_S = 0.02
EATEN_MIB = 800
ERRORS = {"environment": EnvironmentProblem, "user": UserError, "transient": TransientProblem}


class Workshop:
    """Counts the packs of this process, to tell a warm one from a cold one."""

    def __init__(self, results: Path, cache: Path) -> None:
        self.layout = Layout(results)
        self.num_packs = 0

    def is_clean(self) -> bool:
        return True


def run_pack(pack: PackSpec, workshop: Workshop) -> Generator[Event, Command | None, None]:
    workshop.num_packs += 1
    facts = {"pid": os.getpid(), "packs_in_process": workshop.num_packs, "threads": os.environ.get("OMP_NUM_THREADS")}
    command = yield Event(kind=EventKind.PACK_STARTED, pack_id=pack.pack_id, data=facts)
    waiting = list(pack.cells)
    while waiting:
        if command is not None and command.kind is CommandKind.STOP:
            for packed in waiting:
                yield say(pack, packed, EventKind.CELL_INTERRUPTED)
            break
        if command is not None and command.kind is CommandKind.GIVE_UP_CELLS:
            for packed in [packed for packed in waiting if packed.cell.cell_id in command.cell_ids]:
                waiting.remove(packed)
                yield say(pack, packed, EventKind.CELL_INTERRUPTED)
            command = None
            continue
        packed = waiting[0]
        is_through, command = yield from run_cell(pack, packed, workshop)
        if is_through:
            waiting.pop(0)
    yield Event(kind=EventKind.PACK_FINISHED, pack_id=pack.pack_id)


def run_cell(
    pack: PackSpec, packed: PackedCell, workshop: Workshop
) -> Generator[Event, Command | None, tuple[bool, Command | None]]:
    """Play one cell's script; False when a command came before it was through."""
    is_calm = os.environ.get("FINEGRID_FAKE_CALM") == "1"
    script, _, detail = ("done" if is_calm else packed.cell.variant or "done").partition(".")
    command = yield say(pack, packed, EventKind.CELL_STARTED)
    workshop.layout.root.mkdir(parents=True, exist_ok=True)
    (workshop.layout.root / "begun").touch()
    is_first = packed.attempt == 1
    slow_steps = int(detail or 20) if script == "slow" else 2
    for _ in range({"slow": slow_steps, "hang": 10_000, "hang_once": 10_000 if is_first else 2}.get(script, 2)):
        if command is not None:
            return False, command
        time.sleep(STEP_S)
        command = yield Event(kind=EventKind.HEARTBEAT, pack_id=pack.pack_id, data={"live": 1})
    if script == "deaf" or (script == "deaf_once" and is_first):
        (workshop.layout.root / "deaf").touch()
        time.sleep(float(detail or 60))
    if script == "eat_once" and is_first:
        eaten = bytearray(os.urandom(1 << 20) * EATEN_MIB)
        (workshop.layout.root / "eating").touch()
        time.sleep(20)
        del eaten
    if script == "raise":
        raise ERRORS.get(detail, RuntimeError)(f"scripted {detail or 'bug'}")
    if script == "die" or (script == "die_once" and is_first):
        os.kill(os.getpid(), signal.SIGKILL)
    if script == "fail" or (script == "flaky" and is_first) or (script == "oom_unless_alone" and len(pack.cells) > 1):
        kind = {"flaky": "transient", "oom_unless_alone": "out_of_memory"}.get(script, detail)
        command = yield say(pack, packed, EventKind.CELL_FAILED, kind=kind, reason=f"scripted {kind}", log="")
        return True, command
    folder = publish(workshop.layout, result(packed), {})
    if script == "publish_and_die_once" and is_first:
        os.kill(os.getpid(), signal.SIGKILL)
    command = yield say(pack, packed, EventKind.CELL_FINISHED, folder=str(folder), accuracy=accuracy(packed))
    return True, command


def accuracy(packed: PackedCell) -> float:
    return (packed.cell.seed % 10) / 10


def result(packed: PackedCell) -> CellResult:
    """A small complete result whose numbers depend on the cell alone."""
    return CellResult(
        cell=packed.cell,
        epoch=packed.epoch,
        attempt=packed.attempt,
        metrics=(
            MetricValue(split="test", name="accuracy", value=accuracy(packed)),
            MetricValue(split="test", name="f1_macro", undefined="a class is absent"),
        ),
        counts={"num_train": 8, "num_validation": 2, "num_test": 4},
        hashes={"train": "0" * 64},
        costs={"train_seconds": 0.1},
        provenance={"device": "cpu"},
        epochs=1.0,
        label_names=("a", "b"),
    )


def say(pack: PackSpec, packed: PackedCell, kind: EventKind, /, **data: object) -> Event:
    ids = {"cell_id": packed.cell.cell_id, "epoch": packed.epoch, "attempt": packed.attempt}
    return Event(kind=kind, pack_id=pack.pack_id, data=data, **ids)
