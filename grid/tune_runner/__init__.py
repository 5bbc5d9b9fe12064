"""Runs packs as Ray Tune trials; the only package that imports ray.

Importing it sets the variables that keep Ray quiet and private, because Ray reads them once.
"""

from grid.tune_runner.environment import prepare_environment

prepare_environment()

from grid.tune_runner.connection import RayConnection  # noqa: E402
from grid.tune_runner.runner import TuneRunner  # noqa: E402

__all__ = ["RayConnection", "TuneRunner"]
