"""Ray Tune as it comes, one trial a cell, with a trial that does nothing: seconds a trial, as JSON.

python raw_tune.py TRIALS [--reuse-actors] [--cpus N]
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import tempfile
import time
from typing import Any

os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
os.environ.setdefault("RAY_AUTH_MODE", "disabled")

import ray
from ray import tune


class Nothing(tune.Trainable):  # type: ignore[misc]
    """A class trainable whose process takes one trial after another."""

    def step(self) -> dict[str, Any]:
        """Report at once."""
        return {"accuracy": 0.5, "done": True}

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        """Take the next trial."""
        return True


def nothing(config: dict[str, Any]) -> dict[str, float]:
    """A function trainable: what a first script looks like."""
    return {"accuracy": 0.5}


def main() -> None:
    """Run the trials and print `trials`, `seconds` and `seconds_per_trial`; starting Ray is not counted."""
    parser = argparse.ArgumentParser()
    parser.add_argument("trials", type=int)
    parser.add_argument("--reuse-actors", action="store_true")
    parser.add_argument("--cpus", type=int, default=os.cpu_count())
    options = parser.parse_args()
    folder = tempfile.mkdtemp(prefix="raw-tune-", dir="/tmp")
    try:
        ray.init(address="local", num_cpus=options.cpus, include_dashboard=False, log_to_driver=False, _temp_dir=folder)
        began_s = time.perf_counter()
        tuner = tune.Tuner(
            tune.with_resources(Nothing if options.reuse_actors else nothing, {"cpu": 1}),
            param_space={"cell": tune.grid_search(list(range(options.trials)))},
            tune_config=tune.TuneConfig(reuse_actors=options.reuse_actors),
            run_config=tune.RunConfig(
                name="raw",
                storage_path=f"{folder}/results",
                checkpoint_config=tune.CheckpointConfig(checkpoint_at_end=False),
                verbose=0,
            ),
        )
        found = tuner.fit()
        seconds = time.perf_counter() - began_s
        if found.errors or len(found) != options.trials:
            raise SystemExit(f"{len(found)} trials, {len(found.errors)} errors")
    finally:
        ray.shutdown()
        shutil.rmtree(folder, ignore_errors=True)
    print(json.dumps({"trials": options.trials, "seconds": seconds, "seconds_per_trial": seconds / options.trials}))


if __name__ == "__main__":
    main()
