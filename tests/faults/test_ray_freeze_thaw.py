"""Freeze and thaw: a machine stops answering, its trial moves, and what the woken trial publishes is refused."""

from __future__ import annotations

import signal

import pytest

from tests.faults.conftest import CleanDump, MakeToy
from tests.faults.harness import wait_until
from tests.faults.ray_cluster import add_node, cluster, joining, processes_of
from tests.faults.ray_processes import hit

pytestmark = pytest.mark.faults


def test_ray_a_frozen_node_is_replaced_and_its_late_result_refused(make_toy: MakeToy, clean_dump: CleanDump) -> None:
    grid = make_toy(scripts=("deaf_once.8",), seeds=(0,), local=False)
    with cluster() as made:
        frozen = add_node(made)
        running = grid.start(env=joining(made))
        wait_until((grid.folder / "deaf").exists, what="a trial on the node")
        stopped = processes_of(frozen)
        for process in stopped:
            hit(process, signal.SIGSTOP)
        add_node(made)
        finished = running.wait(200)
        assert finished.returncode == 0, finished.stderr
        for process in stopped:
            if process.is_running():
                hit(process, signal.SIGCONT)
        assert [row["state"] for row in grid.attempts()] == ["failed", "done"]
    assert grid.run(env={"FINEGRID_FAKE_CALM": "1"}).returncode == 0
    assert grid.command("doctor", str(grid.folder), "--rebuild").returncode == 0
    assert grid.dump() == clean_dump(grid)
