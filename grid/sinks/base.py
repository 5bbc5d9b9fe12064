"""What a sink is, and how one is made from its settings."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, Protocol

from grid.sinks.records import Record
from grid.suggest import nearest
from jobs.errors import ConfigError, EnvironmentProblem, Problem

SINKS: Final[Mapping[str, tuple[str, ...]]] = {
    "tensorboard": ("folder",),
    "mlflow": ("uri", "experiment"),
    "wandb": ("project", "entity", "mode", "folder"),
}
"""Names with the settings they take."""
WANDB_MODES: Final = ("online", "offline")


class Sink(Protocol):
    """A tracker that takes finished cells."""

    def has(self, record: Record) -> bool:
        """Whether the cell is there already."""
        ...

    def send(self, record: Record) -> None:
        """Add a cell that is not there."""
        ...

    def close(self) -> None:
        """Flush."""
        ...


def sink_problems(settings: Any) -> list[Problem]:
    """Faults of the `sinks` section of a config; secrets stand in variables that the trackers read themselves."""
    if not isinstance(settings, Mapping):
        return [Problem("sinks", "must be a mapping", None, "such as sinks: {tensorboard: {}}")]
    problems = []
    for name, values in settings.items():
        if name not in SINKS:
            problems.append(Problem(f"sinks.{name}", "is no sink", str(name), nearest(str(name), SINKS)))
        elif not isinstance(values, Mapping):
            problems.append(Problem(f"sinks.{name}", "must be a mapping", str(values)[:100], "such as {}"))
        else:
            problems += [fault for key, value in values.items() for fault in _value_problems(name, key, value)]
    return problems


def _value_problems(name: str, key: Any, value: Any) -> list[Problem]:
    place = f"sinks.{name}.{key}"
    if key not in SINKS[name]:
        return [Problem(place, "is no setting of this sink", str(key), nearest(str(key), SINKS[name]))]
    if not isinstance(value, str) or not value or len(value) > 1000:
        return [Problem(place, "must be a text", str(value)[:100])]
    if key == "mode" and value not in WANDB_MODES:
        return [Problem(place, f"one of {', '.join(WANDB_MODES)}", value)]
    return []


def open_sink(name: str, settings: Mapping[str, str], root: Path) -> Sink:
    """Make a sink.

    Args:
        name: of SINKS.
        settings: checked by `sink_problems`.
        root: the results folder; what a sink keeps locally lies under it unless a folder is named.
    Raises:
        ConfigError: no such sink.
        EnvironmentProblem: its library is not installed, or it refused.
    """
    if problems := sink_problems({name: dict(settings)}):
        raise ConfigError(problems)
    try:
        if name == "tensorboard":
            from grid.sinks.tensorboard import TensorBoardSink

            return TensorBoardSink(Path(settings.get("folder") or root / "tensorboard"))
        if name == "mlflow":
            from grid.sinks.mlflow import MlflowSink

            uri = settings.get("uri") or f"sqlite:///{root.absolute() / 'mlflow.db'}"
            return MlflowSink(uri, settings.get("experiment"))
        from grid.sinks.wandb import WandbSink

        return WandbSink(settings, Path(settings.get("folder") or root))
    except ImportError as error:
        raise EnvironmentProblem(
            f"sink {name}: {error.name or error} is not installed; pip install 'finegrid[{name}]'"
        ) from error
