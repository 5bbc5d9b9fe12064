"""Disks and hosts for fault tests: mounts of the test's own, a second host name, folders that look like a network."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.faults.harness import ROOT, Grid, Running

_INSIDE_VARIABLE = "FINEGRID_TEST_INSIDE_UNSHARE"


def in_own_mounts(request: pytest.FixtureRequest) -> bool:
    """True when this process may mount; False when the same test was run, and passed, inside `unshare -rm`.

    A machine that allows neither skips the test.
    """
    if _may_mount():
        return True
    if os.environ.get(_INSIDE_VARIABLE) or shutil.which("unshare") is None:
        pytest.skip("mounting needs root or user namespaces (`unshare -rm`), and neither is allowed here")
    if subprocess.run(["unshare", "-rm", "true"], capture_output=True).returncode != 0:
        pytest.skip("mounting needs root or user namespaces (`unshare -rm`), and neither is allowed here")
    command = ["unshare", "-rm", sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", request.node.nodeid]
    environment = os.environ | {_INSIDE_VARIABLE: "1"}
    inner = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=300)
    assert inner.returncode == 0, inner.stdout
    return False


@contextmanager
def mounted(folder: Path, *arguments: str) -> Iterator[Path]:
    """`mount ARGUMENTS FOLDER` for as long as the context lasts."""
    folder.mkdir(parents=True, exist_ok=True)
    subprocess.run(["mount", *arguments, str(folder)], check=True, capture_output=True)
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True, capture_output=True)


def remount(folder: Path, options: str) -> None:
    """Change the options of a mount."""
    subprocess.run(["mount", "-o", f"remount,{options}", str(folder)], check=True, capture_output=True)


def as_network(folder: Path) -> dict[str, str]:
    """Variables that let everything below a folder look like NFS; leases are stale after 6 s."""
    table = folder.parent / f"{folder.name}-mountinfo"
    table.write_text(f"22 1 254:0 / / rw - ext4 /dev/vda rw\n31 22 0:31 / {folder} rw - nfs4 server:/export rw\n")
    folder.mkdir(parents=True, exist_ok=True)
    return {"FINEGRID_MOUNTINFO": str(table), "FINEGRID_LEASE_S": "6"}


def start_on_host(grid: Grid, host: str, env: Mapping[str, str], *arguments: str) -> Running:
    """Start a run of a grid on a machine with another name; skips where that needs more rights.

    Only the name differs, which is all that one host knows of another.
    """
    enter = ["unshare", "--uts"] if os.geteuid() == 0 else ["unshare", "-r", "--uts"]
    if shutil.which("unshare") is None or subprocess.run([*enter, "true"], capture_output=True).returncode != 0:
        pytest.skip("a second host name needs root or user namespaces (`unshare --uts`), and neither is allowed here")
    run = [
        sys.executable,
        "-m",
        "tests.faults.driver",
        "run",
        str(grid.config),
        "--results",
        str(grid.folder),
        "--local",
    ]
    script = 'hostname "$0" && exec "$@"'
    return Running(
        [*enter, "sh", "-c", script, host, *run, *arguments], grid.environment(env), grid.folder.parent / "output"
    )


def _may_mount() -> bool:
    if os.geteuid() != 0:
        return False
    with tempfile.TemporaryDirectory() as folder:
        command = ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", folder]
        if subprocess.run(command, capture_output=True).returncode != 0:
            return False
        subprocess.run(["umount", folder], check=True, capture_output=True)
    return True
