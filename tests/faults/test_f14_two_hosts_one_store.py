"""F14: two hosts, one store on a network folder: refused while the other lives, taken over when it is silent."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from grid.store.lease import read_lease
from tests.faults.conftest import CleanDump, MakeToy
from tests.faults.harness import Grid, armed, wait_until
from tests.faults.places import as_network, start_on_host

pytestmark = pytest.mark.faults

REWRITE = """
import json, sys, time
from pathlib import Path
path = Path(sys.argv[1])
data = json.loads(path.read_text())
while True:
    data["beat"] += 1
    path.write_text(json.dumps(data).ljust(1024))
    time.sleep(0.3)
"""
"""What a living host does to its lease."""


def plant_lease(grid: Grid, token: int) -> Path:
    """The lease of a process of another host and boot."""
    path = grid.layout.lease / str(token)
    path.parent.mkdir(parents=True)
    holder = {"host": "elsewhere", "pid": 4711, "boot_id": "another", "start_tick": 1, "started_at": "2026-01-01"}
    path.write_text(json.dumps({"holder": holder, "beat": 3, "released": False}).ljust(1024))
    return path


def test_f14_a_living_host_keeps_its_store_and_a_silent_one_loses_it(
    make_toy: MakeToy, clean_dump: CleanDump, tmp_path: Path
) -> None:
    network = as_network(tmp_path / "net")
    toy = make_toy(folder="net/results")
    path = plant_lease(toy, 7)
    host = subprocess.Popen([sys.executable, "-c", REWRITE, str(path)])
    try:
        refused = toy.run(env=network)
    finally:
        host.kill()
        host.wait()
    assert refused.returncode == 4, refused.stderr
    assert "process 4711 on elsewhere, running since 2026-01-01" in refused.stderr
    taken_over = toy.run(env=network)
    assert taken_over.returncode == 0, taken_over.stderr
    assert "waiting up to 6 s" in taken_over.stderr
    assert [item.name for item in toy.layout.lease.iterdir()] == ["8"]
    record = read_lease(toy.layout.lease)
    assert record is not None and record.released
    assert toy.dump() == clean_dump(toy)


def test_f14_a_host_that_was_frozen_writes_nothing_after_it_was_taken_over(
    make_toy: MakeToy, clean_dump: CleanDump, tmp_path: Path
) -> None:
    network = as_network(tmp_path / "net")
    toy = make_toy(folder="net/results", scripts=("slow", "done"))
    disk_a, disk_b = ({"FINEGRID_CACHE": str(tmp_path / name)} for name in ("disk-a", "disk-b"))
    first = start_on_host(toy, "node-a", network | disk_a | armed("db.begun", "sleep=4"))
    wait_until(lambda: toy.layout.lease.exists() and (toy.layout.root / "grid.db").exists(), what="node-a's claim")
    refused = start_on_host(toy, "node-b", network | disk_b).wait()
    assert refused.returncode == 4, refused.stderr
    assert "on node-a" in refused.stderr
    first.kill(signal.SIGSTOP)
    second = start_on_host(toy, "node-b", network | disk_b).wait()
    assert second.returncode == 0, second.stderr
    dump_before = toy.dump()
    copy_before = toy.layout.index.read_bytes()
    first.kill(signal.SIGCONT)
    thawed = first.wait()
    assert thawed.returncode == 4, thawed.stderr
    assert "was taken over by" in thawed.stderr and "on node-b" in thawed.stderr
    assert toy.layout.index.read_bytes() == copy_before
    assert toy.dump() == dump_before == clean_dump(toy)
