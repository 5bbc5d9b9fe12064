"""TensorBoard: one run a cell, its curves over steps, and one row in the table of hyper-parameters."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from tensorboardX import SummaryWriter
from tensorboardX.summary import hparams

from grid.sinks.records import Record
from jobs.temporary import new_temporary

_DONE: Final = "finegrid-complete"
"""A file of this name says that a run was written to its end."""


class TensorBoardSink:
    """Writes `<folder>/<cell id>/`; `tensorboard --logdir <folder>` shows it."""

    def __init__(self, folder: Path) -> None:
        """Nothing is written before the first cell."""
        self._folder = folder

    def has(self, record: Record) -> bool:
        """Whether the cell's run is complete."""
        return (self._folder / record.cell_id / _DONE).is_file()

    def send(self, record: Record) -> None:
        """Write a run beside the others and move it to its place when it is whole."""
        self._folder.mkdir(parents=True, exist_ok=True)
        temporary = new_temporary(self._folder)
        writer = SummaryWriter(str(temporary), write_to_disk=True)
        try:
            for point in record.curves:
                writer.add_scalar(f"{point.split}/{point.metric}", point.value, point.step)
            last = max((point.step for point in record.curves), default=0)
            for name, value in record.metrics.items():
                writer.add_scalar(f"result/{name}", value, last)
            for summary in hparams(
                dict(record.params), {f"result/{name}": value for name, value in record.metrics.items()}
            ):
                writer.file_writer.add_summary(summary)
            writer.add_text("cell", record.title)
        finally:
            writer.close()
        (temporary / _DONE).write_text(record.title, "utf-8")
        temporary.rename(self._folder / record.cell_id)

    def close(self) -> None:
        """Every run is on disk already."""
