"""What the cluster's machines have free just now, and which of them are about to go."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping

import ray
from ray._private import state

from grid.deadlines import MACHINES
from grid.devices import ACCELERATOR_PREFIX
from jobs.errors import EnvironmentProblem, UserError
from jobs.spec import Resources

MACHINES_VARIABLE = "FINEGRID_MACHINES"
"""How many machines a cluster is made of, where none is started by need."""

ACCELERATOR_SHARE = 0.001
"""Ray gives each machine 1 of its accelerator type: a mark, not something that is used up."""
_MANY = 10**6


def bundle(request: Resources) -> dict[str, float]:
    """A request in Ray's words."""
    wanted = {"CPU": float(request.cpus)}
    if request.gpus:
        wanted["GPU"] = float(request.gpus)
    if request.memory_bytes:
        wanted["memory"] = float(request.memory_bytes)
    if request.accelerator_type:
        wanted[ACCELERATOR_PREFIX + request.accelerator_type] = ACCELERATOR_SHARE
    return wanted


def meets(node: Mapping[str, float], request: Resources) -> bool:
    """True when a machine with these resources can run the request."""
    return rooms_on(node, request) > 0


def rooms_on(node: Mapping[str, float], request: Resources) -> int:
    """How often a machine's resources hold a request.

    A share of a GPU must lie on one device, so that two of 0.6 do not fit on one and a half.
    """
    rooms = _MANY
    for name, wanted in bundle(request).items():
        has = node.get(name, 0.0) + 1e-6
        by_share = int(has) * int(1 / wanted + 1e-6) if name == "GPU" and wanted < 1 <= has else int(has / wanted)
        rooms = min(rooms, by_share)
    return rooms


def free_rooms(request: Resources) -> int:
    """How many packs with this request could start now; machines that are about to go do not count."""
    going = draining()
    available = state.available_resources_per_node()
    return sum(rooms_on(free, request) for node_id, free in available.items() if node_id not in going)


def draining() -> frozenset[str]:
    """Ids of machines that were announced to go, such as spot machines with a notice."""
    return frozenset(state.state.get_draining_nodes())


def declared_machines() -> int:
    """How many machines a run waits for before it plans; 1 where nobody said.

    Raises:
        UserError: the variable is no number of machines.
    """
    text = os.environ.get(MACHINES_VARIABLE, "1")
    if not text.isdigit() or int(text) < 1:
        raise UserError(f"{MACHINES_VARIABLE}={text!r}: a number of machines from 1 is expected")
    return int(text)


def live_machines() -> int:
    """How many machines the cluster has now."""
    return sum(bool(machine["Alive"]) for machine in ray.nodes())


def wait_for_machines(
    number: int,
    *,
    count: Callable[[], int] = live_machines,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> None:
    """Wait until so many machines have joined: what comes later would be left out of the plan.

    Raises:
        EnvironmentProblem: they did not within the deadline.
    """
    began_s = clock()
    while (there := count()) < number:
        if clock() - began_s > MACHINES.seconds:
            raise EnvironmentProblem(
                f"{there} of {number} machines ({MACHINES_VARIABLE}) have joined the cluster after "
                f"{MACHINES.seconds:g} s. Look there why, lower the number, or wait longer: {MACHINES.variable}."
            )
        sleep(1.0)


def is_going() -> bool:
    """True when the machine of the calling worker was announced to go."""
    return ray.get_runtime_context().get_node_id() in draining()
