"""A worker ends itself when the process it works for is gone."""

from __future__ import annotations

import json
import subprocess
import sys

from grid.processes import ProcessName, machine

_WORKER = """
import json, sys, time
from grid.tune_runner.driver_watch import DriverWatch
DriverWatch.begin(json.loads(sys.argv[1]))
print("working", flush=True)
time.sleep(float(sys.argv[2]))
"""


def work(driver: dict[str, object], seconds: float) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", _WORKER, json.dumps(driver), str(seconds)]
    worker = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert worker.stdout is not None and worker.stdout.readline() == "working\n"
    return worker


def test_a_worker_follows_its_driver() -> None:
    driver = subprocess.Popen(["sleep", "60"])
    name = ProcessName.of(driver.pid)
    assert name is not None
    where = {"machine": machine(), "pid": name.pid, "start_tick": name.start_tick}
    with work(where, 60) as worker:
        assert worker.poll() is None
        driver.kill()
        driver.wait()
        assert worker.wait(10) == 1


def test_a_driver_elsewhere_cannot_be_seen_from_here() -> None:
    with work({"machine": "elsewhere", "pid": 1, "start_tick": 1}, 1.5) as worker:
        assert worker.wait(10) == 0
