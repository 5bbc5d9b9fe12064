"""Growth from zero: machines come for packs that wait and go when nothing is left, by Ray's fake cloud."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.faults.conftest import CleanDump, MakeToy
from tests.faults.harness import ID_VARIABLE, Running, end, marked_processes, wait_until

pytestmark = pytest.mark.faults

CLOUD: dict[str, Any] = {
    "cluster_name": "fake",
    "max_workers": 2,
    "upscaling_speed": 100.0,
    "idle_timeout_minutes": 0.1,
    "docker": {},
    "provider": {
        "type": "fake_multinode",
        "use_node_id_as_ip": True,
        "disable_node_updaters": True,
        "disable_launch_config_check": True,
    },
    "auth": {},
    "head_node_type": "ray.head.default",
    "available_node_types": {
        "ray.head.default": {"resources": {"CPU": 0}, "node_config": {}, "min_workers": 0, "max_workers": 0},
        "worker": {
            "resources": {"CPU": 1, "object_store_memory": 100_000_000},
            "node_config": {},
            "min_workers": 0,
            "max_workers": 2,
        },
    },
    "file_mounts": {},
    "cluster_synced_files": [],
    "file_mounts_sync_continuously": False,
    "rsync_exclude": [],
    "rsync_filter": [],
    **{
        f"{name}_commands": []
        for name in ("initialization", "setup", "head_setup", "worker_setup", "head_start_ray", "worker_start_ray")
    },
}


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def cloud(home: Path, environment: dict[str, str]) -> Iterator[str]:
    """A head whose autoscaler starts raylets on this machine; the cluster file lies where `ray up` leaves it."""
    home.mkdir(parents=True, exist_ok=True)
    file = home / "ray_bootstrap_config.yaml"
    port = free_port()
    address = f"127.0.0.1:{port}"
    provider = {**CLOUD["provider"], "gcs_address": address}
    file.write_text(json.dumps(CLOUD | {"provider": provider}), encoding="utf-8")
    temporary = tempfile.mkdtemp(prefix="ray-", dir=os.environ["TMPDIR"])
    ray = str(Path(sys.executable).parent / "ray")
    command = [ray, "start", "--head", "--block", f"--port={port}", "--num-cpus=0", f"--temp-dir={temporary}"]
    command += [f"--autoscaling-config={file}", "--object-store-memory=100000000", "--include-dashboard=false"]
    own = {"RAY_FAKE_CLUSTER": "1", "AUTOSCALER_UPDATE_INTERVAL_S": "1", "RAY_enable_autoscaler_v2": "0"}
    started = Running([*command, "--disable-usage-stats"], environment | own, home)
    try:
        wait_until(lambda: machines(address, environment) == 1, 90, f"the head ({started.stderr[-500:]})")
        yield address
    finally:
        started.kill()
        end(marked_processes(os.environ[ID_VARIABLE]))


def machines(address: str, environment: dict[str, str]) -> int:
    """Nodes that live, asked in another process: importing Ray here would fix its settings for all tests."""
    code = (
        "import sys\nfrom ray._raylet import GcsClient\n"
        "nodes = GcsClient(address=sys.argv[1]).get_all_node_info(timeout=5)\n"
        "print(sum(node.state == node.ALIVE for node in nodes.values()))\n"
    )
    command = [sys.executable, "-c", code, address]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=False)
    return int(done.stdout) if done.returncode == 0 else 0


def test_ray_machines_come_for_waiting_packs_and_go_when_idle(
    make_toy: MakeToy, clean_dump: CleanDump, no_leftovers: str
) -> None:
    grid = make_toy(scripts=("slow.150",), seeds=range(6), local=False)
    base = grid.environment({"RAY_AUTH_MODE": "disabled", "RAY_USAGE_STATS_ENABLED": "0"})
    with cloud(Path(base["HOME"]), base) as address:
        joined = {"RAY_ADDRESS": address, "RAY_AUTH_MODE": "disabled", "RAY_USAGE_STATS_ENABLED": "0"}
        running = grid.start(env=joined)
        wait_until(lambda: machines(address, base) == 3, 120, "two machines beside the head")
        finished = running.wait(240)
        assert finished.returncode == 0, finished.stderr
        assert "ray down -y and the file it was started with" in finished.stdout
        wait_until(lambda: machines(address, base) == 1, 120, "the end of idle machines")
    assert len({row["pack_id"] for row in grid.attempts()}) >= 2, "a pack a machine"
    assert grid.dump() == clean_dump(grid)
    assert not [process for process in marked_processes(no_leftovers) if process.status() != psutil.STATUS_ZOMBIE]
