"""F11 inside a trial: memory that runs out makes passes smaller, then fails one cell with advice; never the others."""

from __future__ import annotations

import dataclasses
import resource
import signal
import subprocess
import sys

import psutil
import pytest
import torch

from tests.fakes.hurt_trial import HURT_VARIABLE
from tests.faults.conftest import CleanDump, MakeTiny
from tests.faults.harness import ROOT, Grid, wait_until
from tests.faults.interrupted import OFTEN, STEPWISE, cell_ids, told


def test_f11_a_cell_that_never_fits_fails_alone(make_tiny: MakeTiny) -> None:
    tiny = make_tiny(axes={"strategy": ["lora"], "seed": [0, 1]}, compute=STEPWISE)
    grid = dataclasses.replace(tiny, trial_module="tests.fakes.hurt_trial")
    finished = grid.run(env={HURT_VARIABLE: "memory:1"})
    assert finished.returncode == 1, finished.stderr
    failed = [row for row in grid.attempts() if row["state"] == "failed"]
    assert {row["kind"] for row in failed} == {"out_of_memory"}
    assert "micro-batch reduced from 4 to 1; gradient checkpointing" in str(failed[-1]["reason"])
    assert grid.count("done") == 1
    assert told(grid, "out_of_memory")


@pytest.mark.faults
def test_f11_an_address_space_that_is_used_up_loses_nothing(make_tiny: MakeTiny, clean_dump: CleanDump) -> None:
    """RLIMIT_AS of a running process drops to what it has: every further mapping fails for real.

    A thread that has no memory to begin with dies in silence, and the pack waits for it while its heartbeats go on:
    after the deadline the run ends by itself.
    """
    axes = {"strategy": ["lora"], "seed": [0]}
    grid = make_tiny(axes=axes, recipe={"epochs": 60}, compute=STEPWISE, checkpoint=OFTEN)
    running = grid.start(env={"FINEGRID_STALL_S": "20", "FINEGRID_SILENCE_S": "20"})
    wait_until(lambda: cell_ids(grid), what="a first checkpoint")
    size = psutil.Process(running.pid).memory_info().vms
    resource.prlimit(running.pid, resource.RLIMIT_AS, (size, size))
    if running.wait(150).returncode == 0:
        pytest.skip("the allocator had enough in reserve to come to the end")
    assert grid.count("done") == 0
    grid.run_until_done(3, "--retry-failed")
    assert grid.count("done") == 1
    assert grid.dump() == clean_dump(grid)


_PRODUCT = """
import resource, torch
from pathlib import Path
from jobs.errors import is_out_of_memory
from jobs.training.same_kernels import same_kernels
torch.set_num_threads(1)
hard = resource.getrlimit(resource.RLIMIT_AS)[1]
for width in range(8, 48):  # a new shape each time, and less and less memory
    x, y, out = (torch.empty(6, *shape, dtype=torch.bfloat16) for shape in ((width, 16), (16, width), (width, width)))
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    spare = (48 - width) << 16
    try:
        with same_kernels():
            resource.setrlimit(resource.RLIMIT_AS, (pages * resource.getpagesize() + spare, hard))
            try:
                torch.bmm(x, y, out=out)
            finally:
                resource.setrlimit(resource.RLIMIT_AS, (hard, hard))
    except Exception as error:
        print(is_out_of_memory(error), torch.backends.mkldnn.enabled)
        break
"""


@pytest.mark.faults
@pytest.mark.skipif(not torch.cpu._is_avx512_bf16_supported(), reason="this processor has no products in bf16")
def test_f11_a_product_that_has_no_memory_for_its_code_is_a_shortage(toy: Grid) -> None:
    """torch would warn, and go on with another library's bits; oneDNN may also crash, which costs an attempt."""
    done = subprocess.run(
        [sys.executable, "-c", _PRODUCT], env=toy.environment(), cwd=ROOT, capture_output=True, text=True, timeout=100
    )
    assert done.returncode == -signal.SIGSEGV or done.stdout.split() == ["True", "True"], done.stderr
