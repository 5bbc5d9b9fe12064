"""`ray up clusters/onprem.yaml` for real, over sshd on loopback: `make cluster-test`.

Three machines are addresses of the loopback device inside namespaces of this script: no other process sees them, and
all of them end with it. What a person does is done in order: up, the grid by `ray exec`, the grid by `ray job submit`,
status, results back, down. At the end the two stores must equal that of a run without Ray.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib.metadata import version
from io import StringIO
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

ROOT = Path(__file__).parents[2]
HEAD, WORKERS = "127.0.0.1", ("127.0.0.2", "127.0.0.3")
PROGRAMS = ("unshare", "ip", "mount", "sshd", "ssh-keygen", "rsync", "ssh")
TINY: dict[str, Any] = {
    "name": "loopback",
    "axes": {"model": ["tiny-bert"], "strategy": ["lora"], "num_labels": [2], "num_samples": [24], "seed": [0, 1]},
    "dataset": {"source": "builtin", "rows": 3000, "test_per_label": 5, "validation_per_label": 5},
    "recipe": {"epochs": 2, "batch_size": 4, "learning_rate": 0.005, "warmup_steps": 2, "max_length": 16},
    "lora": {"r": 4, "alpha": 8},
    "compute": {
        "numerics": "exact",
        "device": "cpu",
        "slots": 2,
        "cost_probe": False,
        "reload_check": False,
        "cpus_per_trial": 1,
    },
    "baselines": ["majority"],
}
"""Two real cells in packs of one core, and a baseline for each seed."""
NUM_CELLS = 4


def missing() -> str | None:
    """Why this machine cannot do it; None when it can."""
    if sys.platform != "linux" or os.geteuid() != 0:
        return "needs root on Linux: namespaces with mounts of their own, and sshd on port 22"
    path = os.environ.get("PATH", "") + ":/usr/sbin:/sbin"
    absent = [program for program in PROGRAMS if shutil.which(program, path=path) is None]
    if absent:
        return f"needs {', '.join(absent)} (apt-get install openssh-server rsync iproute2)"
    trial = subprocess.run(["unshare", "-m", "-n", "-p", "-f", "true"], capture_output=True, check=False, timeout=30)
    return None if trial.returncode == 0 else "this machine allows no namespaces (a container without CAP_SYS_ADMIN?)"


@dataclass
class Stage:
    """The made-up machines, and what was done on them."""

    folder: Path
    """Everything of this test: home, keys, results."""
    cache: Path
    steps: list[tuple[str, float]] = field(default_factory=list)

    @property
    def home(self) -> Path:
        """Of root, on every machine."""
        return self.folder / "home"

    @property
    def cluster(self) -> Path:
        """The test copy of clusters/onprem.yaml."""
        return self.folder / "cluster.yaml"

    def environment(self) -> dict[str, str]:
        """For commands of the person at the keyboard."""
        kept = {name: os.environ[name] for name in ("LANG", "TERM") if name in os.environ}
        binaries = str(Path(sys.executable).parent)
        return kept | {
            "HOME": str(self.home),
            "PATH": f"{binaries}:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
            "RAY_USAGE_STATS_ENABLED": "0",
            "FINEGRID_CACHE": str(self.cache),
            "OMP_NUM_THREADS": "1",
            "TMPDIR": str(self.folder / "tmp"),
        }

    def do(self, title: str, *command: str, timeout_s: float = 300.0, code: int = 0) -> str:
        """One step of the transcript; its output.

        Raises:
            SystemExit: another exit code than expected.
        """
        print(f"$ {' '.join(command)}", flush=True)
        began_s = time.monotonic()
        done = subprocess.run(
            command,
            cwd=ROOT,
            env=self.environment(),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            timeout=timeout_s,
            check=False,
            stdin=subprocess.DEVNULL,
        )
        took_s = time.monotonic() - began_s
        self.steps.append((title, took_s))
        shown = done.stdout.strip().splitlines()[-12:]
        print(
            "".join(f"    {line}\n" for line in shown) + f"  -> exit {done.returncode} after {took_s:.1f} s", flush=True
        )
        if done.returncode != code:
            print(done.stdout)
            for log in sorted(Path("/tmp/ray/session_latest/logs").glob("monitor*")):
                print(f"--- {log.name}", *log.read_text(errors="replace").splitlines()[-40:], sep="\n")
            raise SystemExit(f"{title}: exit code {done.returncode}, expected {code}")
        return done.stdout


def test_copy(text: str, key: Path) -> str:
    """clusters/onprem.yaml with the addresses of this stage; nothing is downloaded, every machine has one core.

    Raises:
        ValueError: the file is not what this test knows how to change.
    """
    cluster: dict[str, Any] = YAML(typ="safe").load(text)
    cluster["cluster_name"] = "finegrid-loopback"
    cluster["provider"] |= {"head_ip": HEAD, "worker_ips": list(WORKERS)}
    cluster["auth"] = {"ssh_user": "root", "ssh_private_key": str(key)}
    commands = cluster["setup_commands"]
    cluster["setup_commands"] = [command for command in commands if "pip install" not in command]
    if len(cluster["setup_commands"]) != len(commands) - 1:
        raise ValueError("clusters/onprem.yaml: exactly one command with pip install was expected")
    machines = f"FINEGRID_MACHINES={1 + len(WORKERS)}"
    cluster["head_setup_commands"] = [
        command.replace("FINEGRID_MACHINES=2", machines) for command in cluster["head_setup_commands"]
    ]
    for section in ("head_start_ray_commands", "worker_start_ray_commands"):
        small = "ray start --num-cpus=1 --object-store-memory=80000000"
        cluster[section] = [command.replace("ray start", small) for command in cluster[section]]
    stream = StringIO()
    YAML(typ="safe").dump(cluster, stream)
    return stream.getvalue()


def build(stage: Stage) -> None:
    """Inside the namespaces: mounts, one home, sshd on three addresses."""
    run = lambda *command: subprocess.run(command, check=True, timeout=60, capture_output=True)  # noqa: E731
    run("ip", "link", "set", "lo", "up")
    Path("/tmp/ray").mkdir(exist_ok=True)
    for place in ("/tmp/ray", "/dev/shm", "/run"):
        run("mount", "-t", "tmpfs", "tmpfs", place)
    Path("/run/sshd").mkdir()
    stage.home.mkdir(parents=True)
    (stage.folder / "tmp").mkdir()
    lines = [line for line in Path("/etc/passwd").read_text().splitlines() if not line.startswith(("root:", "sshd:"))]
    passwd = stage.folder / "passwd"
    sshd_user = "sshd:x:22222:65534::/run/sshd:/usr/sbin/nologin"
    passwd.write_text("\n".join([f"root:x:0:0:root:{stage.home}:/bin/bash", sshd_user, *lines]) + "\n")
    run("mount", "--bind", str(passwd), "/etc/passwd")
    (stage.home / "venv").symlink_to(sys.prefix)
    variables = f'FINEGRID_CACHE="{stage.cache}" OMP_NUM_THREADS=1 PYTHONPATH="{stage.folder}/extra"'
    (stage.home / ".bashrc").write_text(f"export {variables}\n", encoding="utf-8")
    start_sshd(stage)


def start_sshd(stage: Stage) -> None:
    """A server a machine, with one key for all."""
    for name in ("host_key", "user_key"):
        command = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(stage.folder / name)]
        subprocess.run(command, check=True, timeout=60)
    config = stage.folder / "sshd_config"
    options = {
        "HostKey": stage.folder / "host_key",
        "AuthorizedKeysFile": stage.folder / "user_key.pub",
        "UsePAM": "no",
        "StrictModes": "no",
        "PermitRootLogin": "prohibit-password",
        "PidFile": "none",
        "SetEnv": f"PATH={Path(sys.executable).parent}:/usr/local/bin:/usr/bin:/bin",
    }
    config.write_text("".join(f"{name} {value}\n" for name, value in options.items()))
    sshd = shutil.which("sshd", path="/usr/sbin:/usr/bin:/sbin") or "sshd"
    for address in (HEAD, *WORKERS):
        subprocess.run([sshd, "-f", str(config), "-o", f"ListenAddress={address}:22"], check=True, timeout=60)


def use(stage: Stage) -> None:
    """What a person does with a cluster, from up to down."""
    source = (ROOT / "clusters" / "onprem.yaml").read_text(encoding="utf-8")
    stage.cluster.write_text(test_copy(source, stage.folder / "user_key"), encoding="utf-8")
    config = stage.home / "results" / "loopback.yaml"
    file = str(stage.cluster)
    stage.do("ray up", "ray", "up", "-y", "--no-config-cache", file)
    config.write_text(json.dumps(TINY), encoding="utf-8")
    grid = f"python -m grid.run {config} --max-hours 1 --results ~/results"
    said = stage.do(
        "3 machines join, grid by ray exec", "ray", "exec", file, f"cd ~/finegrid && {grid}/by-exec", timeout_s=900
    )
    if not last_line(said).endswith("ray down -y clusters/onprem.yaml"):
        raise SystemExit("the last line of the run does not say how to end the cluster")
    submit = f"ray job submit --submission-id loopback-1 -- {grid.replace('~', str(stage.home))}/by-job"
    stage.do("grid by ray job submit", "ray", "exec", file, submit, timeout_s=600)
    stage.do("the same command again", "ray", "exec", file, f"cd ~/finegrid && {grid}/by-exec")
    said = stage.do("status from another shell", "ray", "exec", file, "finegrid status ~/results/by-job")
    if f"{NUM_CELLS} done" not in said:
        raise SystemExit(f"finegrid status does not count {NUM_CELLS} done cells")
    stage.do("a cell's log", "ray", "exec", file, "finegrid logs 'lora 2 labels 24 rows seed 1' ~/results/by-job")
    back = stage.folder / "back"
    back.mkdir()
    stage.do("results back", "ray", "rsync-down", file, f"{stage.home}/results/", f"{back}/")
    stage.do("ray down", "ray", "down", "-y", file)
    compare(stage, config, back)


def last_line(said: str) -> str:
    """The last line of a program run by `ray exec`, which adds lines of its own."""
    foreign = ("Shared connection", "Connection to", "20")
    return [line.strip() for line in said.splitlines() if line.strip() and not line.startswith(foreign)][-1]


def compare(stage: Stage, config: Path, back: Path) -> None:
    """The oracle: both stores equal that of a run without Ray, and nothing of Ray runs any more."""
    began_s = time.monotonic()
    while (left := ray_servers()) and time.monotonic() - began_s < 90:
        time.sleep(1)  # raylets end by themselves once their head is gone
    if left:
        raise SystemExit(f"ray down left processes behind: {left}")
    alone = stage.folder / "alone"
    stage.do("the same without Ray", sys.executable, "-m", "grid.run", str(config), "--local", "--results", str(alone))
    dumps = {
        name: dump(stage, folder)
        for name, folder in (
            ("ray exec", back / "by-exec"),
            ("ray job submit", back / "by-job"),
            ("without Ray", alone),
        )
    }
    calm = dumps["without Ray"].splitlines()
    for name, text in dumps.items():
        other = [line for line in text.splitlines() if line not in calm]
        if other:
            print(
                f"--- only by {name}:", *other, "--- only without Ray:", *(set(calm) - set(text.splitlines())), sep="\n"
            )
    if len(set(dumps.values())) != 1:
        raise SystemExit("the stores differ")
    print(f"equal stores, {len(dumps['without Ray'].splitlines())} lines each: {', '.join(dumps)}")


def ray_servers() -> list[int]:
    """Servers of Ray in this namespace; those that ended and were not waited for do not count."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            pid, name, state = re.match(r"(\d+) \((.*)\) (\w)", (folder / "stat").read_text()).groups()  # type: ignore[union-attr]
        except OSError:
            continue
        if name in ("raylet", "gcs_server") and state != "Z":
            found.append(int(pid))
    return found


def dump(stage: Stage, folder: Path) -> str:
    """The store as text, without times, hosts and attempts."""
    code = (
        "import sys, pathlib; from grid.store.canonical import canonical_dump as d; print(d(pathlib.Path(sys.argv[1])))"
    )
    command = [sys.executable, "-c", code, str(folder)]
    done = subprocess.run(
        command, cwd=ROOT, env=stage.environment(), check=False, capture_output=True, text=True, timeout=240
    )
    if done.returncode != 0:
        raise SystemExit(f"{folder} cannot be read\n{done.stderr}")
    return done.stdout


def inside(folder: Path, cache: Path) -> None:
    """The part that runs in the namespaces; its end is the end of every process in them."""
    stage = Stage(folder=folder, cache=cache)
    build(stage)
    try:
        use(stage)
    finally:
        print("\n".join(f"{seconds:8.1f} s  {title}" for title, seconds in stage.steps))


def add_dashboard(folder: Path) -> str | None:
    """Install what `ray[default]` needs beside the present environment: cluster files do, `make venv` does not.

    Returns:
        why not; None when it is there.
    """
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "-c", str(ROOT / "constraints.txt")]
    report = folder / "missing.json"
    ray = f"ray[default,tune]=={version('ray')}"
    steps = [[*pip, "--dry-run", "--report", str(report), ray]]
    for step in steps:
        done = subprocess.run(step, capture_output=True, text=True, timeout=300, check=False)
        if done.returncode != 0:
            return f"the packages of {ray} cannot be had: {done.stderr.strip().splitlines()[-1:]}"
        if len(steps) == 1:
            found = [item["metadata"] for item in json.loads(report.read_text(encoding="utf-8"))["install"]]
            pins = [f"{item['name']}=={item['version']}" for item in found]
            steps += [[*pip, "--no-deps", "--target", str(folder / "extra"), *pins]] if pins else []
    return None


def enter(folder: Path, environment: Mapping[str, str]) -> int:
    """Run `inside` in namespaces of its own: mounts, network, processes."""
    cache = Path(environment.get("FINEGRID_CACHE") or folder / "cache")
    command = ["unshare", "-m", "-n", "-p", "-f", "--mount-proc", "--kill-child", sys.executable, "-m"]
    command += ["tests.cluster.loopback", "--inside", str(folder), str(cache)]
    return subprocess.run(command, cwd=ROOT, check=False, env=dict(environment)).returncode


def main() -> int:
    """Skip with a reason, or do it all and clean up."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--inside", nargs=2, type=Path, metavar=("FOLDER", "CACHE"), help=argparse.SUPPRESS)
    parser.add_argument("--keep", action="store_true", help="leave the folder of the test behind")
    options = parser.parse_args()
    if options.inside:
        inside(*options.inside)
        return 0
    if reason := missing():
        print(f"skipped: {reason}")
        return 0
    folder = Path(tempfile.mkdtemp(prefix="fg-cluster-", dir="/tmp"))
    if reason := add_dashboard(folder):
        shutil.rmtree(folder, ignore_errors=True)
        print(f"skipped: {reason}")
        return 0
    sockets = set(Path("/tmp").glob("ray_ssh_*"))
    try:
        return enter(folder, os.environ)
    finally:
        for left in set(Path("/tmp").glob("ray_ssh_*")) - sockets:
            shutil.rmtree(left, ignore_errors=True)
        if options.keep:
            print(f"kept: {folder}")
        else:
            shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    sys.exit(main())
