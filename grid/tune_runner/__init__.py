"""Runs packs as Ray Tune trials; the only package that imports ray.

Importing it sets the variables that keep Ray quiet and private, because Ray reads them once. What it
offers is imported when it is asked for: the guardian needs Ray, but not Tune.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from grid.tune_runner.environment import prepare_environment

if TYPE_CHECKING:
    from grid.tune_runner.connection import RayConnection
    from grid.tune_runner.runner import TuneRunner

prepare_environment()

__all__ = ["RayConnection", "TuneRunner"]


def __getattr__(name: str) -> Any:
    if name == "RayConnection":
        from grid.tune_runner.connection import RayConnection

        return RayConnection
    if name == "TuneRunner":
        from grid.tune_runner.runner import TuneRunner

        return TuneRunner
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
