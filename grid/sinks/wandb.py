"""Weights & Biases: one run a cell in a project named like the grid; offline unless told otherwise."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import wandb

from grid.sinks.records import Record

_SENT: Final = "finegrid-sent.txt"
"""Ids of the cells that were sent, one a line: an offline folder cannot be asked."""


class WandbSink:
    """Writes through wandb's own client; its key stands in its own variable."""

    def __init__(self, settings: Mapping[str, str], folder: Path) -> None:
        """Nothing is written before the first cell."""
        self._settings, self._folder = settings, folder / "wandb"

    def has(self, record: Record) -> bool:
        """Whether the cell is on the list of those that were sent."""
        return record.cell_id in self._sent().split()

    def send(self, record: Record) -> None:
        """Write a run whose id is the cell's."""
        self._folder.mkdir(parents=True, exist_ok=True)
        run: Any = wandb.init(
            project=self._settings.get("project") or record.grid,
            entity=self._settings.get("entity"),
            mode="online" if self._settings.get("mode") == "online" else "offline",
            dir=str(self._folder.parent),
            id=record.cell_id,
            resume="allow",
            name=record.title,
            config=dict(record.params),
            tags=[record.tags["grid"][:64]],
            settings=wandb.Settings(console="off", silent=True),
        )
        for step in sorted({point.step for point in record.curves}):
            values = {f"{point.split}/{point.metric}": point.value for point in record.curves if point.step == step}
            run.log(values, step=step)
        run.summary.update({f"result/{name}": value for name, value in record.metrics.items()})
        run.finish()
        (self._folder / _SENT).write_text(f"{self._sent()}{record.cell_id}\n", "ascii")

    def close(self) -> None:
        """Every run is ended already."""

    def _sent(self) -> str:
        path = self._folder / _SENT
        return path.read_text("ascii") if path.is_file() else ""
