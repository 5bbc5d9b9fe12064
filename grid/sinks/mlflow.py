"""MLflow: one run a cell in an experiment named like the grid, on a server or in a database file."""

from __future__ import annotations

import time
from typing import Any, Final

from mlflow.entities import Metric, Param, RunTag
from mlflow.tracking import MlflowClient

from grid.sinks.records import Record

_CELL_TAG: Final = "finegrid.cell_id"
_BATCH: Final = 500
"""Servers take at most 1,000 values at a time, and 100 parameters."""


class MlflowSink:
    """Writes through MLflow's own client; tokens stand in its own variables."""

    def __init__(self, uri: str, experiment: str | None) -> None:
        """Connect at the first cell."""
        self._client = MlflowClient(tracking_uri=uri)
        self._experiment = experiment
        self._ids: dict[str, str] = {}

    def has(self, record: Record) -> bool:
        """Whether a finished run carries the cell's id; one that was left half written is removed."""
        query = f"tags.`{_CELL_TAG}` = '{record.cell_id}'"
        found = self._client.search_runs([self._experiment_id(record)], filter_string=query)
        for run in found:
            if run.info.status != "FINISHED":
                self._client.delete_run(run.info.run_id)
        return any(run.info.status == "FINISHED" for run in found)

    def send(self, record: Record) -> None:
        """Write a run and end it."""
        tags = {_CELL_TAG: record.cell_id, "mlflow.runName": record.title, **record.tags}
        run = self._client.create_run(self._experiment_id(record), tags=tags)
        now_ms = int(time.time() * 1000)
        values = [
            Metric(f"{point.split}/{point.metric}", point.value, now_ms, point.step) for point in record.curves
        ] + [Metric(f"result/{name}", value, now_ms, 0) for name, value in record.metrics.items()]
        params = [Param(name, str(value)) for name, value in record.params.items()]
        for first in range(0, max(len(values), 1), _BATCH):
            self._client.log_batch(run.info.run_id, metrics=values[first : first + _BATCH])
        for first in range(0, len(params), 100):
            self._client.log_batch(run.info.run_id, params=params[first : first + 100])
        self._client.log_batch(run.info.run_id, tags=[RunTag("finegrid.complete", "true")])
        self._client.set_terminated(run.info.run_id)

    def close(self) -> None:
        """Every run is ended already."""

    def _experiment_id(self, record: Record) -> str:
        name = self._experiment or record.grid
        if name not in self._ids:
            known: Any = self._client.get_experiment_by_name(name)
            self._ids[name] = known.experiment_id if known is not None else self._client.create_experiment(name)
        return self._ids[name]
