"""F4: a machine of the cluster is lost; its trial moves to another one."""

from __future__ import annotations

import pytest

from tests.faults.conftest import CleanDump, MakeToy
from tests.faults.harness import wait_until
from tests.faults.ray_cluster import add_node, cluster, joining

pytestmark = pytest.mark.faults


def test_f04_trials_of_a_lost_node_move(make_toy: MakeToy, clean_dump: CleanDump) -> None:
    grid = make_toy(scripts=("deaf_once.120",), seeds=(0,), local=False)
    with cluster() as made:
        lost = add_node(made)
        running = grid.start(env=joining(made))
        wait_until((grid.folder / "deaf").exists, what="a trial on the node")
        add_node(made)
        made.remove_node(lost, allow_graceful=False)
        finished = running.wait(240)
    assert finished.returncode == 0, finished.stderr
    assert [row["state"] for row in grid.attempts()] == ["failed", "done"]
    assert grid.attempts()[0]["kind"] == "transient"
    assert grid.dump() == clean_dump(grid)
