"""F39: GPUs or cores that are not there: said at once by preflight, exit 3; nothing waits for ever."""

from __future__ import annotations

import time

from tests.faults.harness import Grid


def test_f39_a_gpu_that_is_not_there_is_told_at_once(toy: Grid) -> None:
    wanted = [
        ("compute={device: cuda}", "has 0 GPUs"),
        ("compute={gpus_per_trial: 1}", "is more than the 0 GPUs"),
        ("compute={cpus_per_trial: 4096}", "cores that one machine"),
    ]
    for value, words in wanted:
        began_s = time.monotonic()
        # Through Ray on purpose: asked for there, such a trial would stay pending for ever.
        finished = toy.through_ray().run("--set", value, env={"CUDA_VISIBLE_DEVICES": ""}, timeout_s=60)
        assert finished.returncode == 3, finished.stderr
        assert words in finished.stderr and value.split("{")[1].split(":")[0] in finished.stderr
        assert time.monotonic() - began_s < 30
    assert not toy.folder.exists()
