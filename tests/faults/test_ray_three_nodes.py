"""Three machines: one is killed, one freezes and wakes, one joins in the middle; the store is that of a calm run."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.faults.conftest import CleanDump, MakeToy
from tests.faults.harness import Grid, wait_until
from tests.faults.ray_cluster import add_node, cluster, joining, processes_of
from tests.faults.ray_processes import hit

pytestmark = pytest.mark.faults

STEPS = 150
"""Of 20 ms a cell: 3 s, on an idle machine."""


def at_work(grid: Grid) -> set[str]:
    """Packs whose logs, here attempts, stand in the index."""
    return {row["pack_id"] for row in grid.attempts()} if grid.layout.index.exists() else set()


def test_ray_three_nodes_killed_frozen_and_added(make_toy: MakeToy, clean_dump: CleanDump) -> None:
    grid = make_toy(scripts=(f"slow.{STEPS}",), seeds=range(24), local=False)
    with cluster() as made:
        killed, frozen, _ = (add_node(made) for _ in range(3))
        environment = {**joining(made), "FINEGRID_SPLIT_S": "2", "FINEGRID_MACHINES": "4"}
        running = grid.start(env=environment)
        wait_until(lambda: grid.count("done") >= 3, 120, "a result of each of the three machines")
        assert len(at_work(grid)) == 3
        made.remove_node(killed, allow_graceful=False)
        stopped = processes_of(frozen)
        for process in stopped:
            hit(process, signal.SIGSTOP)
        add_node(made)
        wait_until(lambda: any(row["kind"] == "transient" for row in grid.attempts()), 60, "the loss of a machine")
        wait_until(lambda: len(at_work(grid)) >= 5, 90, "packs that moved to machines that live")
        for process in stopped:
            if process.is_running():
                hit(process, signal.SIGCONT)
        finished = running.wait(280)
    assert finished.returncode == 0, finished.stderr
    assert grid.dump() == clean_dump(grid)
    done = [row for row in grid.attempts() if row["state"] == "done"]
    assert len({row["cell_id"] for row in done}) == len(done) == 24
    assert grid.command("doctor", str(grid.folder), "--json").returncode == 0


def test_ray_a_node_that_joins_at_the_end_gets_cells_of_a_long_pack(make_toy: MakeToy, clean_dump: CleanDump) -> None:
    grid = make_toy(scripts=(f"slow.{STEPS}",), seeds=range(12), local=False)
    with cluster() as made:
        add_node(made)
        running = grid.start(env={**joining(made), "FINEGRID_SPLIT_S": "2"})
        wait_until(lambda: grid.count("done") >= 2, 120, "two results of the one machine")
        assert len(at_work(grid)) == 1, "one machine, one pack"
        add_node(made)
        finished = running.wait(200)
    assert finished.returncode == 0, finished.stderr
    states = [row["state"] for row in grid.attempts()]
    assert states.count("interrupted") >= 3, "cells that had not begun were given up"
    assert "failed" not in states
    assert len(at_work(grid)) >= 2
    assert grid.dump() == clean_dump(grid)
    assert json.loads(grid.command("status", str(grid.folder), "--json").stdout)["counts"]["done"] == 12


def test_ray_packs_leave_a_machine_that_was_announced_to_go(make_toy: MakeToy, clean_dump: CleanDump) -> None:
    """The pack gives its cells back before the machine goes: nothing fails, nothing waits for the loss to be seen."""
    grid = make_toy(scripts=(f"slow.{STEPS}",), seeds=range(8), local=False)
    with cluster() as made:
        going = add_node(made)
        environment = joining(made)
        running = grid.start(env=environment)
        wait_until(lambda: grid.count("done") >= 1, 120, "a result of the machine")
        add_node(made)
        ray = str(Path(sys.executable).parent / "ray")
        drain = [ray, "drain-node", "--address", made.address, "--node-id", going.node_id]
        drain += ["--reason", "DRAIN_NODE_REASON_PREEMPTION", "--reason-message", "spot"]
        drain += ["--deadline-remaining-seconds", "600"]
        subprocess.run(drain, env=grid.environment(environment), check=True, timeout=60, capture_output=True)
        wait_until(lambda: any(row["state"] == "interrupted" for row in grid.attempts()), 60, "cells given back")
        wait_until(lambda: len(at_work(grid)) >= 2, 60, "a pack on the other machine")
        made.remove_node(going, allow_graceful=False)
        finished = running.wait(200)
    assert finished.returncode == 0, finished.stderr
    assert "failed" not in [row["state"] for row in grid.attempts()]
    assert grid.dump() == clean_dump(grid)
