"""A cluster of several nodes on this machine, started by the test itself, for runs that join it by RAY_ADDRESS."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import psutil

if TYPE_CHECKING:
    from ray.cluster_utils import Cluster

QUICK_HEALTH_CHECKS = {
    "health_check_initial_delay_ms": 1000,
    "health_check_period_ms": 1000,
    "health_check_timeout_ms": 1000,
    "health_check_failure_threshold": 5,
}
"""A frozen node is declared dead after some seconds instead of a minute."""


@contextmanager
def cluster() -> Iterator[Cluster]:
    """A head without CPUs; every node added gets one."""
    os.environ.update({"RAY_USAGE_STATS_ENABLED": "0", "RAY_AUTH_MODE": "disabled"})
    # Ray reads its environment when it is imported: at the top it would decide for every other test of the process.
    from ray.cluster_utils import Cluster

    made = Cluster(
        initialize_head=True,
        head_node_args={"num_cpus": 0, "include_dashboard": False, "_system_config": QUICK_HEALTH_CHECKS},
    )
    try:
        yield made
    finally:
        made.shutdown()
        os.environ.pop("RAY_AUTH_MODE")


def joining(made: Cluster) -> dict[str, str]:
    """Environment of a run on the cluster."""
    return {"RAY_ADDRESS": made.address, "RAY_AUTH_MODE": "disabled", "RAY_USAGE_STATS_ENABLED": "0"}


def add_node(made: Cluster) -> Any:
    """One more machine with one CPU."""
    return made.add_node(num_cpus=1, include_dashboard=False)


def processes_of(node: Any) -> list[psutil.Process]:
    """The raylet of a node and everything it started."""
    (raylet,) = (info.process.pid for info in node.all_processes["raylet"])
    process = psutil.Process(raylet)
    return [process, *process.children(recursive=True)]
