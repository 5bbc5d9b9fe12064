"""F1: a worker is killed once; a new attempt goes on from the last checkpoint and ends where it would have ended."""

from __future__ import annotations

from tests.faults.conftest import CleanDump, MakeTiny
from tests.faults.ray_processes import hit, training_worker

EPOCHS = 60
STEPS = 6 * EPOCHS


def test_f01_a_killed_worker_costs_one_attempt_and_no_number(make_tiny: MakeTiny, clean_dump: CleanDump) -> None:
    changes = {
        "axes": {"strategy": ["lora"], "seed": [0]},
        "recipe": {"epochs": EPOCHS},
        "checkpoint": {"every_s": 0.3},
    }
    grid = make_tiny(local=False, **changes)
    running = grid.start()
    hit(training_worker(running, grid))
    finished = running.wait()
    assert finished.returncode == 0, finished.stderr
    first, second = grid.attempts()
    assert (first["state"], first["kind"], second["state"]) == ("failed", "transient", "done")
    assert first["reason"].startswith("worker_died")
    resumed = [line for line in grid.log_lines() if line["event"] == "cell_resumed"]
    assert len(resumed) == 1 and 0 < resumed[0]["step"] < STEPS
    assert grid.dump() == clean_dump(grid)
