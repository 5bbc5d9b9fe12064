"""cluster.yaml: Ray's own loader accepts it, and it keeps what we promise about cost, secrets and versions.

Not checked here, because only AWS can: that the machines start.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from grid.config_yaml import parse_yaml
from grid.devices import cluster_capacity

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "cluster.yaml").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def cluster() -> dict[str, Any]:
    value, problems = parse_yaml(TEXT, "cluster.yaml")
    assert problems == []
    assert isinstance(value, dict)
    return value


def ask_ray(cluster: dict[str, Any]) -> str:
    """What Ray's loader says, in a process of its own: the first import fixes Ray's settings for a whole process."""
    code = (
        "import json, sys\n"
        "from ray.autoscaler._private import util\n"
        "util.validate_config(util.prepare_config(json.load(sys.stdin)))\n"
    )
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, input=json.dumps(cluster), capture_output=True, text=True, timeout=60, check=False)
    return done.stderr if done.returncode else "accepted"


def test_ray_accepts_it(cluster: dict[str, Any]) -> None:
    assert ask_ray(cluster) == "accepted"


def test_ray_refuses_a_typo(cluster: dict[str, Any]) -> None:
    assert "idle_timeout_mins" in ask_ray({**cluster, "idle_timeout_mins": 3})


def test_head_is_on_demand_and_trains_nothing(cluster: dict[str, Any]) -> None:
    head = cluster["available_node_types"][cluster["head_node_type"]]
    assert "InstanceMarketOptions" not in head["node_config"]
    assert head["resources"]["CPU"] == 0
    assert head["max_workers"] == 0


def test_workers_are_spot_and_start_at_zero(cluster: dict[str, Any]) -> None:
    workers = {
        name: node_type
        for name, node_type in cluster["available_node_types"].items()
        if name != cluster["head_node_type"]
    }
    assert workers
    for worker in workers.values():
        assert worker["min_workers"] == 0
        assert worker["node_config"]["InstanceMarketOptions"]["MarketType"] == "spot"
        assert worker["resources"]["GPU"] >= 1


def test_capacity_counts_what_the_cluster_can_grow_to(cluster: dict[str, Any]) -> None:
    devices = cluster_capacity(cluster)
    assert (devices.gpus, devices.cpus, devices.cpus_per_node) == (4, 16, 4)


def test_every_machine_has_the_pinned_ray_and_our_pins(cluster: dict[str, Any]) -> None:
    installs = [command for command in cluster["setup_commands"] if "pip install" in command]
    assert len(installs) == 1
    pin = re.search(r"^ray==(\S+)$", (ROOT / "constraints.txt").read_text(encoding="utf-8"), re.MULTILINE)
    assert pin is not None
    assert f"ray[default,tune]=={pin[1]}" in installs[0]
    assert "-c ~/finegrid/constraints.txt" in installs[0]


def test_programs_on_the_head_join_the_cluster(cluster: dict[str, Any]) -> None:
    assert any("export RAY_ADDRESS=auto" in command for command in cluster["head_setup_commands"])


def test_no_secret_and_no_place_of_ours() -> None:
    active = "\n".join(line for line in TEXT.splitlines() if not line.lstrip().startswith("#"))
    assert not re.search(r"hf_\w{8,}|AKIA|HF_TOKEN|HUGGING_FACE_HUB_TOKEN|secret", active)
    assert "dashboard-host=0.0.0.0" not in active
