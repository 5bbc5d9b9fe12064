"""A Ray cluster of two nodes on this machine, whose second node can be killed and replaced."""

from __future__ import annotations

import os
from types import TracebackType
from typing import Any

import psutil

from tests.chaos.victims import Kill, hit

CPUS_PER_NODE = 1


class TwoNodes:
    """The cluster, for as long as the context lasts; `environment` lets a driver join it."""

    def __init__(self, env: dict[str, str]) -> None:
        """Remember what every process of the cluster shall see."""
        self._env = env | {"RAY_AUTH_MODE": "disabled"}
        self._second: Any = None

    def __enter__(self) -> TwoNodes:
        """Start head and second node."""
        os.environ.update(self._env)
        from ray.cluster_utils import Cluster

        head = {"num_cpus": CPUS_PER_NODE, "include_dashboard": False, "object_store_memory": 80 * 2**20}
        self._cluster = Cluster(initialize_head=True, head_node_args=head)
        self._add()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End both."""
        self._cluster.shutdown()

    @property
    def environment(self) -> dict[str, str]:
        """Variables that make a driver join."""
        return {"RAY_ADDRESS": str(self._cluster.address), "RAY_AUTH_MODE": "disabled"}

    def kill_second(self) -> Kill | None:
        """A power cut of the second node: its raylet and everything it started; a new node takes its place."""
        raylet = self._raylet()
        if raylet is None:
            return None
        was_hit = hit([raylet, *raylet.children(recursive=True)])
        self._cluster.remove_node(self._second, allow_graceful=False)
        self._add()
        return Kill(what="node", pid=raylet.pid) if was_hit else None

    def _add(self) -> None:
        self._second = self._cluster.add_node(num_cpus=CPUS_PER_NODE, object_store_memory=80 * 2**20)

    def _raylet(self) -> psutil.Process | None:
        infos = self._second.all_processes.get("raylet", [])
        try:
            return psutil.Process(infos[0].process.pid) if infos else None
        except psutil.NoSuchProcess:
            return None
