"""Cluster files: Ray's own loader accepts them, everything they name exists, and they keep what we promise.

Not checked here, because only a cloud can: that its machines start.
"""

from __future__ import annotations

import importlib.util
import json
import re
import subprocess
import sys
from collections.abc import Iterator
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import pytest
import typer.main

from grid.cli import app
from grid.config_yaml import parse_yaml
from grid.devices import cluster_capacity
from jobs.storage import Layout

ROOT = Path(__file__).parents[2]
CLOUDS = ("cluster.yaml", "clusters/gcp.yaml")
CLUSTERS = (*CLOUDS, "clusters/onprem.yaml")
SCRIPTS = ("clusters/slurm.sbatch", "clusters/slurm-array.sbatch")
TEXTS = {name: (ROOT / name).read_text(encoding="utf-8") for name in (*CLUSTERS, *SCRIPTS, "docs/cluster.md")}
_ASK_RAY = """
import json, sys
import click
from ray.autoscaler._private import util
from ray.scripts.scripts import cli
answers = {}
for name, cluster in json.load(sys.stdin).items():
    try:
        util.validate_config(util.prepare_config(cluster))
        answers[name] = "accepted"
    except (Exception, SystemExit) as error:
        answers[name] = str(error)
def options(command):
    return sorted(text for parameter in command.params for text in (*parameter.opts, *parameter.secondary_opts))
def tree(group, prefix=""):
    for name, command in group.commands.items():
        yield prefix + name, options(command)
        if isinstance(command, click.Group):
            yield from tree(command, prefix + name + " ")
json.dump({"answers": answers, "commands": dict(tree(cli))}, sys.stdout)
"""


def parsed(name: str) -> dict[str, Any]:
    value, problems = parse_yaml(TEXTS[name], name)
    assert problems == []
    assert isinstance(value, dict)
    return value


@pytest.fixture(scope="module")
def ray() -> dict[str, Any]:
    """What Ray says, asked once in a process of its own: the first import fixes Ray's settings for a whole process."""
    asked: dict[str, Any] = {name: parsed(name) for name in CLUSTERS}
    asked["a typo"] = {**parsed("cluster.yaml"), "idle_timeout_mins": 3}
    asked["half a GPU"] = parsed("cluster.yaml")
    asked["half a GPU"]["available_node_types"]["gpu_spot"]["resources"]["GPU"] = 0.5
    done = subprocess.run(
        [sys.executable, "-c", _ASK_RAY],
        input=json.dumps(asked),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer


def active(name: str) -> str:
    """A file without its comments."""
    return "\n".join(line for line in TEXTS[name].splitlines() if not line.lstrip().startswith("#"))


@pytest.mark.parametrize("name", CLUSTERS)
def test_ray_accepts_it(name: str, ray: dict[str, Any]) -> None:
    assert ray["answers"][name] == "accepted"


def test_ray_would_refuse_mistakes(ray: dict[str, Any]) -> None:
    assert "idle_timeout_mins" in ray["answers"]["a typo"]
    assert "0.5" in ray["answers"]["half a GPU"]


@pytest.mark.parametrize("name", CLOUDS)
def test_head_is_on_demand_and_trains_nothing(name: str) -> None:
    cluster = parsed(name)
    head = cluster["available_node_types"][cluster["head_node_type"]]
    assert not is_spot(head)
    assert (head["resources"]["CPU"], head["max_workers"]) == (0, 0)


def is_spot(node_type: dict[str, Any]) -> bool:
    config = node_type["node_config"]
    google = [item for item in config.get("scheduling", []) if item.get("preemptible")]
    return config.get("InstanceMarketOptions", {}).get("MarketType") == "spot" or bool(google)


@pytest.mark.parametrize("name", CLOUDS)
def test_workers_are_spot_first_and_on_demand_when_there_is_none(name: str) -> None:
    types = dict(parsed(name)["available_node_types"])
    del types["head"]
    spot, fall_back = types["gpu_spot"], types["gpu_on_demand"]
    assert (is_spot(spot), is_spot(fall_back)) == (True, False)
    assert spot["priority"] > fall_back["priority"]
    assert spot["resources"] == fall_back["resources"] and spot["resources"]["GPU"] == 1
    assert (spot["min_workers"], fall_back["min_workers"]) == (0, 0)
    machine = "InstanceType" if "InstanceType" in spot["node_config"] else "machineType"
    assert spot["node_config"][machine] == fall_back["node_config"][machine]


@pytest.mark.parametrize(("name", "cpus", "kind"), [("cluster.yaml", 4, "A10G"), ("clusters/gcp.yaml", 8, "L4")])
def test_capacity_counts_what_the_cluster_can_grow_to(name: str, cpus: int, kind: str) -> None:
    devices = cluster_capacity(parsed(name))
    assert (devices.gpus, devices.cpus, devices.cpus_per_node) == (4, 4 * cpus, cpus)
    assert [node.accelerator_type for node in devices.nodes] == [kind]


@pytest.mark.parametrize("name", CLUSTERS)
def test_every_machine_has_the_pinned_ray_and_our_pins(name: str) -> None:
    installs = [command for command in parsed(name)["setup_commands"] if "pip install" in command]
    assert len(installs) == 1
    assert "-c ~/finegrid/constraints.txt" in installs[0]
    assert "ray[default,tune]==" in installs[0]


@pytest.mark.parametrize("name", list(TEXTS))
def test_versions_are_those_of_the_constraints(name: str) -> None:
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    pins = dict(line.split("==") for line in lines if "==" in line and not line.startswith("#"))
    for package, version in re.findall(r"\b([a-z][\w-]*)(?:\[[\w,]+\])?==([\w.]+)", TEXTS[name]):
        assert pins[package] == version, f"{name}: {package}=={version}"


@pytest.mark.parametrize("name", CLUSTERS)
def test_programs_on_the_head_join_the_cluster(name: str) -> None:
    assert any("export RAY_ADDRESS=auto" in command for command in parsed(name)["head_setup_commands"])


@pytest.mark.parametrize("name", list(TEXTS))
def test_no_secret_and_no_open_dashboard(name: str) -> None:
    text = TEXTS[name] if name.endswith(".md") else active(name)
    assert not re.search(r"hf_\w{8,}|AKIA\w{8,}|HF_TOKEN=|HUGGING_FACE_HUB_TOKEN|secret_key", text)
    assert "dashboard-host=0.0.0.0" not in text
    if name in CLUSTERS:
        assert "--dashboard-host=127.0.0.1" in text


@pytest.mark.parametrize("name", list(TEXTS))
def test_paths_of_the_repository_exist(name: str) -> None:
    found = set(re.findall(r"(?<![\w/~.-])(?:clusters|docs|configs|benchmarks|tests)/[\w./-]*\w", TEXTS[name]))
    found |= {path for path in re.findall(r"~/finegrid/([\w./-]*\w)", TEXTS[name])}
    found |= set(re.findall(r"(?<![\w/.-])cluster\.yaml", TEXTS[name]))
    assert found
    assert not [path for path in found if not (ROOT / path).exists()]


@pytest.mark.parametrize("name", list(TEXTS))
def test_modules_exist(name: str) -> None:
    modules = set(re.findall(r"python -m ([a-z][\w.]*)", TEXTS[name])) - {"venv"}
    assert not [module for module in modules if importlib.util.find_spec(module) is None]


def commands_in(text: str, program: str) -> Iterator[tuple[str, list[str]]]:
    """Every call of a program: what follows it up to the end of the command, and the long options in it."""
    joined = re.sub(r"\\?\n\s*(?=--|&&|>|python3-venv)", " ", text)
    for rest in re.findall(rf"(?:^|[\s'\"`(/]){program} ([^\n'\"`|>;&]*)", joined, flags=re.MULTILINE):
        yield rest, re.findall(r"(?<!\S)--[a-z][a-z-]*", rest.split(" -- ")[0])


def finegrid_options() -> dict[str, set[str]]:
    commands = typer.main.get_command(app).commands  # type: ignore[attr-defined]
    return {name: {text for p in command.params for text in p.opts} for name, command in commands.items()}


@pytest.mark.parametrize("name", list(TEXTS))
def test_our_commands_and_options_exist(name: str) -> None:
    known = finegrid_options()
    calls = [("run " + rest, options) for rest, options in commands_in(TEXTS[name], r"python -m grid\.run")]
    calls += [call for call in commands_in(TEXTS[name], "finegrid") if re.match(r"[a-z]+ ", call[0] + " ")]
    assert calls
    for rest, options in calls:
        command = rest.split()[0]
        assert command in known, f"{name}: finegrid {rest}"
        assert not set(options) - known[command], f"{name}: finegrid {rest}"


@pytest.mark.parametrize("name", list(TEXTS))
def test_rays_commands_and_options_exist(name: str, ray: dict[str, Any]) -> None:
    known: dict[str, list[str]] = ray["commands"]
    for rest, options in commands_in(TEXTS[name], "ray"):
        words = rest.split()
        command = " ".join(words[:2]) if " ".join(words[:2]) in known else words[0]
        assert command in known, f"{name}: ray {rest}"
        assert not set(options) - {*known[command], "--help"}, f"{name}: ray {rest}"


@pytest.mark.parametrize("name", CLUSTERS)
def test_every_command_is_good_shell(name: str) -> None:
    cluster = parsed(name)
    commands = [command for key, value in cluster.items() if key.endswith("_commands") for command in value]
    assert len(commands) >= 8
    for command in commands:
        done = subprocess.run(["bash", "-n", "-c", command], capture_output=True, text=True, timeout=20, check=False)
        assert done.returncode == 0, f"{command}\n{done.stderr}"


def test_own_machines_are_not_stopped_by_a_worker() -> None:
    """`ray stop` ends every Ray of a host; on desktops that may be somebody's."""
    cluster = parsed("clusters/onprem.yaml")
    assert not any("ray stop" in command for command in cluster["worker_start_ray_commands"])
    assert any("RAY_enable_autoscaler_v2=0" in command for command in cluster["head_start_ray_commands"])


@pytest.mark.parametrize("name", CLUSTERS)
def test_nothing_of_a_results_folder_is_left_behind(name: str) -> None:
    """Ray leaves the same files out when results are fetched."""
    layout = Layout(Path("/results/grid"))
    places = [layout.index, layout.tuning, layout.cells, layout.checkpoints, layout.logs, layout.report]
    for pattern in parsed(name)["rsync_exclude"]:
        assert not [place for place in places if fnmatch(place.name, pattern.rstrip("/"))], pattern
