"""Simulated GPUs under the real planner, queue and splitter: makespan over a lower bound, beside simpler ways.

    python benchmarks/fleet.py [--cells 10000] [--gpus 1 8 64] [--seeds 3] [--json FILE]

Time is simulated: starting a worker and loading a base cost seconds; one round advances every cell in training by a
step and costs a fixed part, whoever shares it, and a part for each cell. What cells really cost differs from what the
planner believes: a factor a model, noise a cell, and cells that stop early. Not simulated: failures, lost machines.
"""

from __future__ import annotations

import heapq
import json
import random
import statistics
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from command_line import new_parser

from grid.cells import declared_cells
from grid.config import check_document
from grid.devices import Devices, NodeKind
from grid.estimate import GPU_FLOPS, cell_flops, cell_seconds
from grid.plan import base_key, make_plan
from grid.queue import Batch, Queue
from grid.resolve import OfflineResolver
from grid.splitting import Splitter
from grid.workload import training_steps
from jobs.spec import CellSpec, CommandKind, Event, EventKind, PackedCell, PackSpec

START_S = 15.0
"""A worker's process with torch and transformers."""
LOAD_S = 30.0
"""A base from a warm disk onto the device."""
TRIAL_S = 2.0
"""A pack handed to a warm worker: Ray Tune's trial, rows, tokens."""
ROUND_S = 0.03
"""The part of a step that does not grow with the cells in it."""
SLOTS = 8
"""Cells in training at a time."""
ORDER_S = 1.0
"""A command reaches a trial."""
LOOK_S = 5.0
"""The driver looks for idle devices."""
POLICIES = ("finegrid", "no splitting", "FIFO packs", "one cell a trial")


@dataclass(frozen=True)
class Cost:
    """What a cell really takes."""

    rounds: int
    round_s: float
    """Its own part of a round."""


@dataclass(frozen=True)
class Outcome:
    """One simulated run."""

    policy: str
    gpus: int
    cells: int
    seed: int
    makespan_s: float
    bound_s: float
    planning_s: float
    packs: int

    @property
    def over_bound(self) -> float:
        """Makespan as a multiple of the lower bound."""
        return self.makespan_s / self.bound_s


def grid_cells(number: int) -> tuple[CellSpec, ...]:
    """Five models x four label counts x five sizes x seeds: at least `number` cells, cut to it."""
    document = {
        "name": "fleet",
        "axes": {
            "model": ["bert-base-uncased", "qwen2.5-1.5b", "llama-3.2-1b", "gpt2-xl", "gemma-3-1b"],
            "strategy": ["qlora"],
            "num_labels": [2, 4, 8, 16],
            "num_samples": [400, 800, 1200, 1600, 2400],
            "seed": list(range(-(-number // 100))),
        },
        "dataset": {"source": "builtin"},
        "recipe": {"epochs": 5, "batch_size": 4, "eval_every": 50, "patience": 10},
    }
    config, problems = check_document(document, allow_large=True)
    if config is None:
        raise ValueError(problems)
    cells = declared_cells(config, OfflineResolver(fingerprint=lambda data: "1"))
    return tuple(random.Random(0).sample(cells, number)) if number < len(cells) else cells


def true_costs(cells: Sequence[CellSpec], seed: int) -> dict[str, Cost]:
    """Costs as the planner does not know them."""
    rng = random.Random(seed)
    by_model = {name: rng.lognormvariate(0, 0.4) for name in sorted({str(cell.axes["model"]) for cell in cells})}
    costs = {}
    for cell in cells:
        steps = training_steps(cell)
        round_s = cell_flops(cell) / GPU_FLOPS / steps * by_model[str(cell.axes["model"])] * rng.lognormvariate(0, 0.1)
        stops_at = rng.uniform(0.4, 1.0) if rng.random() < 0.4 else 1.0
        costs[cell.cell_id] = Cost(rounds=max(1, round(steps * stops_at)), round_s=round_s)
    return costs


def lower_bound_s(cells: Sequence[CellSpec], costs: dict[str, Cost], gpus: int) -> float:
    """No schedule is faster: all slots full all the time, every base loaded once, every device used from the start."""
    bases = len({base_key(cell) for cell in cells})
    work = sum(cost.rounds * (ROUND_S / SLOTS + cost.round_s) for cost in costs.values())
    longest = max(cost.rounds * (ROUND_S + cost.round_s) for cost in costs.values())
    return START_S + max(work / gpus + LOAD_S * max(1.0, bases / gpus), LOAD_S + longest)


@dataclass
class Device:
    """One GPU and the pack on it."""

    base: str | None = None
    pack: PackSpec | None = None
    at_s: float = 0.0
    """Up to when the pack was advanced; before it, the device loads."""
    waiting: list[PackedCell] = field(default_factory=list)
    live: dict[str, list[float]] = field(default_factory=dict)
    """Rounds left, and seconds of a round, of each cell in training."""
    cells: dict[str, PackedCell] = field(default_factory=dict)
    version: int = 0
    """Of its next event: older ones in the calendar no longer count."""

    def take(self, pack: PackSpec, now_s: float) -> None:
        """Begin a pack."""
        ready_s = now_s + (START_S if self.base is None else TRIAL_S) + (LOAD_S if self.base != pack.base_key else 0.0)
        self.base, self.pack, self.at_s = pack.base_key, pack, ready_s
        self.waiting, self.cells = list(pack.cells), {packed.cell.cell_id: packed for packed in pack.cells}

    def next_end_s(self) -> float:
        """When the next cell is through."""
        round_s = ROUND_S + sum(cost for _, cost in self.live.values())
        return self.at_s + min(rounds for rounds, _ in self.live.values()) * round_s

    def advance(self, to_s: float) -> None:
        """Train up to a moment at which no cell has ended yet."""
        if to_s > self.at_s:
            round_s = ROUND_S + sum(cost for _, cost in self.live.values())
            for state in self.live.values():
                state[0] -= (to_s - self.at_s) / round_s
            self.at_s = to_s


class Simulation:
    """Devices, a calendar of what happens when, and the real queue."""

    def __init__(
        self, batches: Sequence[Batch], costs: dict[str, Cost], gpus: int, *, slots: int, splits: bool
    ) -> None:
        """Everything idle at time 0."""
        self.now_s = 0.0
        self._costs, self._slots = costs, slots
        self.queue = Queue(batches, epoch=1, attempts=lambda cell_id: 1, clock=lambda: self.now_s)
        estimate = partial(cell_seconds, devices=Devices(cpus=8, gpus=1), cpus=1)
        known = {cell.cell_id: estimate(cell) for batch in batches for cell in batch.cells}
        self._splitter = Splitter(self.queue, lambda cell: known[cell.cell_id], clock=lambda: self.now_s)
        self._splits = splits
        self._devices = [Device() for _ in range(gpus)]
        self._calendar: list[tuple[float, int, int]] = []
        self.num_packs = 0

    def run(self) -> float:
        """Simulate to the end; the makespan in seconds."""
        self._hand_out()
        end_s = 0.0
        next_look_s = LOOK_S
        while self._calendar:
            at_s, number, version = heapq.heappop(self._calendar)
            while self._splits and next_look_s < at_s and self._is_anyone_idle():
                self.now_s = next_look_s
                next_look_s += LOOK_S
                self._split()
            next_look_s = max(next_look_s, at_s)
            device = self._devices[number]
            if device.version != version:
                continue
            self.now_s = end_s = at_s
            self._step(number, device)
            self._hand_out()
        if not self.queue.is_finished:
            raise AssertionError("the simulated fleet stopped before its queue was finished")
        return end_s

    def _is_anyone_idle(self) -> bool:
        return any(device.pack is None for device in self._devices)

    def _hand_out(self) -> None:
        for number, device in enumerate(self._devices):
            if device.pack is None and (pack := self.queue.next_pack(device.base)) is not None:
                self.num_packs += 1
                device.take(pack, self.now_s)
                self._tell(EventKind.PACK_STARTED, device)
                self._schedule(number, device, device.at_s)

    def _step(self, number: int, device: Device) -> None:
        """Either the base has been loaded, or a cell is through."""
        device.advance(self.now_s)
        for cell_id in [cell_id for cell_id, (rounds, _) in device.live.items() if rounds <= 1e-6]:
            del device.live[cell_id]
            self._tell(EventKind.CELL_FINISHED, device, cell_id)
        self._admit(number, device)

    def _admit(self, number: int, device: Device) -> None:
        while device.waiting and len(device.live) < self._slots:
            cell_id = device.waiting.pop(0).cell.cell_id
            cost = self._costs[cell_id]
            device.live[cell_id] = [float(cost.rounds), cost.round_s]
            self._tell(EventKind.CELL_STARTED, device, cell_id)
        if device.live:
            self._schedule(number, device, device.next_end_s())
        else:
            self._tell(EventKind.PACK_FINISHED, device)
            device.pack = None

    def _schedule(self, number: int, device: Device, at_s: float) -> None:
        device.version += 1
        heapq.heappush(self._calendar, (at_s, number, device.version))

    def _split(self) -> None:
        """What the driver does now and then: hear of all packs, count idle devices, send commands."""
        for device in self._devices:
            if device.pack is not None and device.at_s <= self.now_s:
                device.advance(self.now_s)
                done = sum(self._costs[cell_id].rounds - rounds for cell_id, (rounds, _) in device.live.items())
                total = sum(self._costs[cell_id].rounds for cell_id in device.live)
                self._tell(EventKind.HEARTBEAT, device, step=done, total_steps=total)
        idle = sum(device.pack is None for device in self._devices)
        by_pack = {device.pack.pack_id: (number, device) for number, device in enumerate(self._devices) if device.pack}
        orders = self._splitter.commands(idle)
        if orders:
            self.now_s += ORDER_S
        for pack_id, command in orders:
            if command.kind is not CommandKind.GIVE_UP_CELLS:
                raise AssertionError(f"the simulated trial does not know {command.kind}")
            number, device = by_pack[pack_id]
            if device.live and device.next_end_s() > self.now_s:
                device.advance(self.now_s)
            given_up = set(command.cell_ids)
            for cell_id in command.cell_ids:
                if cell_id in device.live:
                    rounds, round_s = device.live.pop(cell_id)
                    self._costs[cell_id] = Cost(rounds=max(1, round(rounds)), round_s=round_s)
                    self._tell(EventKind.CELL_INTERRUPTED, device, cell_id)
            gone = [packed for packed in device.waiting if packed.cell.cell_id in given_up]
            device.waiting = [packed for packed in device.waiting if packed.cell.cell_id not in given_up]
            for packed in gone:
                self._tell(EventKind.CELL_INTERRUPTED, device, packed.cell.cell_id)
            self._admit(number, device)
        self._hand_out()

    def _tell(self, kind: EventKind, device: Device, cell_id: str | None = None, /, **data: Any) -> None:
        if device.pack is None:
            raise AssertionError("a device without a pack has nothing to tell")
        event = Event(kind=kind, pack_id=device.pack.pack_id, cell_id=cell_id, data=data)
        self._splitter.on_event(event)
        self.queue.on_event(event)


def simulate(cells: Sequence[CellSpec], gpus: int, seed: int, policy: str) -> Outcome:
    """One run of a fleet."""
    costs = true_costs(cells, seed)
    bound_s = lower_bound_s(cells, costs, gpus)
    per_node = min(8, gpus)
    devices = Devices.of_nodes(
        (NodeKind(cpus=8 * per_node, gpus=per_node, count=gpus // per_node),), where="a simulated fleet"
    )
    began_s = time.perf_counter()
    plan = make_plan(cells, {}, devices)
    planning_s = time.perf_counter() - began_s
    batches = [
        Batch(cells=tuple(planned.cell for planned in pack.cells), base_key=pack.base_key) for pack in plan.packs
    ]
    if policy == "FIFO packs":
        batches = fifo_packs(cells)
    elif policy == "one cell a trial":
        batches = [Batch(cells=(cell,), base_key=base_key(cell)) for cell in cells]
    slots = 1 if policy == "one cell a trial" else SLOTS
    simulation = Simulation(batches, dict(costs), gpus, slots=slots, splits=policy == "finegrid")
    makespan_s = simulation.run()
    return Outcome(policy, gpus, len(cells), seed, makespan_s, bound_s, planning_s, simulation.num_packs)


def fifo_packs(cells: Sequence[CellSpec], size: int = 64) -> list[Batch]:
    """What one would write first: cells of a base in declared order, so many a pack, first come first served."""
    groups: dict[str, list[CellSpec]] = {}
    for cell in cells:
        groups.setdefault(base_key(cell), []).append(cell)
    return [
        Batch(cells=tuple(group[start : start + size]), base_key=key)
        for key, group in groups.items()
        for start in range(0, len(group), size)
    ]


def table(outcomes: Sequence[Outcome]) -> str:
    """Markdown: makespan over the lower bound, mean and worst over the seeds."""
    lines = ["| GPUs | lower bound | " + " | ".join(POLICIES) + " | planning |", "|-" * (len(POLICIES) + 3) + "|"]
    for gpus in sorted({outcome.gpus for outcome in outcomes}):
        here = [outcome for outcome in outcomes if outcome.gpus == gpus]
        parts = []
        for policy in POLICIES:
            ratios = [outcome.over_bound for outcome in here if outcome.policy == policy]
            parts.append(f"{statistics.mean(ratios):.3f} ({max(ratios):.3f})" if ratios else "")
        bound_h = statistics.mean(outcome.bound_s for outcome in here) / 3600
        planning_s = statistics.mean(outcome.planning_s for outcome in here)
        lines.append(f"| {gpus} | {bound_h:.1f} h | " + " | ".join(parts) + f" | {planning_s:.2f} s |")
    return "\n".join(lines)


def main() -> None:
    """Simulate, print the table, keep the figures."""
    parser = new_parser(__doc__)
    parser.add_argument("--cells", type=int, default=10_000)
    parser.add_argument("--gpus", type=int, nargs="+", default=[1, 8, 64])
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--policies", nargs="+", default=list(POLICIES), choices=POLICIES)
    parser.add_argument("--json", type=Path, help="write all outcomes there")
    options = parser.parse_args()
    cells = grid_cells(options.cells)
    outcomes = [
        simulate(cells, gpus, seed, policy)
        for gpus in options.gpus
        for seed in range(options.seeds)
        for policy in options.policies
    ]
    print(table(outcomes))
    if options.json:
        rows = [asdict(outcome) | {"over_bound": outcome.over_bound} for outcome in outcomes]
        options.json.write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
