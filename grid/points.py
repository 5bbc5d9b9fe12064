"""The points of a grid: which axes touch which strategy, and every combination of their values."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from grid.config_axes import Axis
from jobs.spec import Strategy

if TYPE_CHECKING:
    from grid.config import Config


def is_relevant(axis: Axis, strategy: Strategy) -> bool:
    """Say whether an axis changes cells of a strategy; others are not crossed with it."""
    if axis.section is None:
        return axis.key == "seed" or not strategy.is_baseline
    return strategy.reads(axis.section, axis.name)


def points(config: Config, strategy: Strategy) -> Iterator[dict[str, Any]]:
    """Values by axis key for every point of one strategy that is not excluded; axes that do not touch it are left out.

    Args:
        config: the grid.
        strategy: one of its strategies or baselines.
    """
    axes = [axis for axis in config.axes if axis.key != "strategy" and is_relevant(axis, strategy)]
    for values in itertools.product(*(axis.values for axis in axes)):
        point = {"strategy": str(strategy)} | {axis.key: value for axis, value in zip(axes, values, strict=True)}
        if not _is_excluded(config, point):
            yield point


def _is_excluded(config: Config, values: Mapping[str, Any]) -> bool:
    if not config.exclude:
        return False
    keys = {axis.name: axis.key for axis in config.axes} | {"strategy": "strategy"}
    return any(
        all(keys[name] in values and values[keys[name]] in excluded for name, excluded in exclusion.items())
        for exclusion in config.exclude
    )
