"""`finegrid sync`: hands the finished cells of a store to a tracker, those that it does not have yet."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import Progress
from rich.text import Text

from grid.sinks.base import open_sink
from grid.sinks.feeding import hand_over
from grid.store.reading import counted_results, read_done
from grid.store.schema import look
from jobs.errors import EnvironmentProblem, FineGridError, one_line
from jobs.redaction import redact
from jobs.storage import Layout


@dataclass(frozen=True, kw_only=True)
class SyncReport:
    """What was handed over."""

    sink: str
    sent: int
    known: int
    """Cells that were there already."""

    def to_json(self) -> dict[str, Any]:
        """The report as plain JSON values."""
        return asdict(self) | {"exit_code": 0}

    def render(self, console: Console) -> None:
        """Print the report for people."""
        console.print(Text(f"{self.sink}: {self.sent} cells sent, {self.known} were there already"))


def sync(root: Path, sink: str, settings: Mapping[str, str], people: Console) -> SyncReport:
    """Feed a sink from a store.

    Args:
        root: a results folder.
        sink: tensorboard | mlflow | wandb.
        settings: of the sink.
        people: where the progress bar goes.
    Raises:
        ConfigError: no such sink or setting.
        UserError: no store there.
        EnvironmentProblem: the index is damaged, the sink's library is missing, or the tracker refused.
    """
    layout = Layout(root)
    with look(root) as connection:
        done = read_done(connection)
        folders = [folder for folder in counted_results(layout, connection) if folder.parent.name in done]
    target = open_sink(sink, settings, root)
    with Progress(console=people, transient=True) as progress:
        bar = progress.add_task("cells", total=len(folders))
        try:
            sent, known = hand_over(folders, target, lambda: progress.advance(bar))
        except FineGridError:
            raise
        except Exception as error:  # trackers raise whatever they like
            raise EnvironmentProblem(f"sink {sink}: {redact(one_line(str(error) or type(error).__name__))}") from error
    return SyncReport(sink=sink, sent=sent, known=known)
