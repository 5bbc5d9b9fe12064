"""Drain: a machine is announced to go and goes; its trial moves and costs nobody a try."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.faults.conftest import CleanDump, MakeToy
from tests.faults.harness import wait_until
from tests.faults.ray_cluster import add_node, cluster, joining

pytestmark = pytest.mark.faults


def test_ray_a_drained_node_gives_its_trial_to_another(make_toy: MakeToy, clean_dump: CleanDump) -> None:
    grid = make_toy(scripts=("deaf_once.30",), seeds=(0,), local=False)
    with cluster() as made:
        going = add_node(made)
        environment = joining(made)
        running = grid.start(env=environment)
        wait_until((grid.folder / "deaf").exists, what="a trial on the node")
        add_node(made)
        drain = [str(Path(sys.executable).parent / "ray"), "drain-node", "--address", made.address]
        reason = ["--reason", "DRAIN_NODE_REASON_PREEMPTION", "--reason-message", "spot"]
        command = [*drain, "--node-id", going.node_id, *reason, "--deadline-remaining-seconds", "10"]
        subprocess.run(command, env=grid.environment(environment), check=True, timeout=60, capture_output=True)
        made.remove_node(going, allow_graceful=False)
        finished = running.wait(240)
    assert finished.returncode == 0, finished.stderr
    assert [row["state"] for row in grid.attempts()][-1] == "done"
    assert grid.dump() == clean_dump(grid)
