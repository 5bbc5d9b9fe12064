"""`finegrid` in a process of its own with the trial module of FINEGRID_TEST_TRIAL and no pictures at the end.

Everything else is the product: command line, driver, store, runners. Pictures cost seconds and prove nothing here.
"""

from __future__ import annotations

import functools
import os

import grid.finish
import grid.run
from grid.cli import main

TRIAL_VARIABLE = "FINEGRID_TEST_TRIAL"

if __name__ == "__main__":
    grid.run.run = functools.partial(grid.run.run, trial_module=os.environ[TRIAL_VARIABLE])  # type: ignore[assignment]
    grid.run.finish_pictures = lambda *args, **kwargs: ()  # type: ignore[assignment]
    main()
