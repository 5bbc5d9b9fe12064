"""`finegrid` in a process of its own, with the fake trial: `python -m tests.fakes.driver run CONFIG ...`."""

from __future__ import annotations

import functools
import os
import sys

import grid.finish
import grid.run
from grid.cli import main

if __name__ == "__main__":
    trial = os.environ.get("FINEGRID_FAKE_TRIAL", "tests.fakes.trial")
    grid.run.run = functools.partial(grid.run.run, trial_module=trial)  # type: ignore[assignment]
    grid.run.finish_pictures = lambda *args, **kwargs: ()  # type: ignore[assignment]
    try:
        main()
    finally:
        print("ray was imported" if "ray" in sys.modules else "ray was not imported", file=sys.stderr)
