"""How a run ended: its exit code, one JSON object, and a few lines for people."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markup import escape

from grid.amounts import counted
from grid.signals import exit_code as signal_exit_code
from grid.store import CellRow
from grid.tuning.rounds import ArmProgress
from jobs.errors import one_line
from jobs.spec import RESUMED_KINDS, CellState
from jobs.storage import Layout

DONE, SOME_FAILED, WRONG_CONFIG, REFUSED, BUSY, STOPPED_EARLY = range(6)
"""Exit codes, see DESIGN; those of signals are 128 + number."""

_MAX_FAILED_SHOWN = 20


@dataclass(frozen=True, kw_only=True)
class Summary:
    """The state of every declared cell when the run ended."""

    grid: str
    root: Path
    rows: Mapping[str, CellRow]
    """Declared cells only."""
    num_new: int = 0
    """Cells this run finished."""
    signal: int | None = None
    stopped: str | None = None
    """Why the run ended early, unless by a signal."""
    files: tuple[Path, ...] = ()
    """Pictures and tables drawn at the end."""
    farewell: str = ""
    """What remains to be done by hand: the last line."""
    arms: tuple[ArmProgress, ...] = ()
    """Of a tuning: what was chosen. Its candidates are no rows, unless their arm still waits for them."""

    @property
    def exit_code(self) -> int:
        """Signal before stopped early before failed before done."""
        states = {row.state for row in self.rows.values()}
        if self.signal is not None:
            return signal_exit_code(self.signal)
        is_undecided = any(arm.choice is None for arm in self.arms) and CellState.FAILED not in states
        if self.stopped is not None or is_undecided or states - {CellState.DONE, CellState.FAILED}:
            return STOPPED_EARLY
        return SOME_FAILED if CellState.FAILED in states else DONE

    @property
    def is_tuning_alone(self) -> bool:
        """True while no cell of the grid is known, but for candidates."""
        candidates = {cell.cell_id for arm in self.arms for cell in arm.cells}
        return bool(self.arms) and not set(self.rows) - candidates

    @property
    def failed(self) -> list[CellRow]:
        """Failed cells in declared order."""
        return [row for row in self.rows.values() if row.state is CellState.FAILED]

    def to_json(self) -> dict[str, Any]:
        """The one object of --json."""
        counts = Counter(str(row.state) for row in self.rows.values())
        return {
            "grid": self.grid,
            "results": Layout(self.root).name,
            "exit_code": self.exit_code,
            "cells": len(self.rows),
            "counts": {str(state): counts[str(state)] for state in CellState},
            "newly_done": self.num_new,
            "failed": [_failed_json(row) for row in self.failed],
            "signal": self.signal,
            "stopped": self.stopped,
            **({"tuning": [arm.to_json() for arm in self.arms]} if self.arms else {}),
            "files": [str(path) for path in self.files],
            "farewell": self.farewell,
        }

    def render(self, console: Console) -> None:
        """Print what happened, what failed and what to do next."""
        counts = Counter(row.state for row in self.rows.values())
        parts = [f"{counts[state]:,} {state}" for state in CellState if counts[state]]
        console.print(f"[bold]{escape(self.grid)}[/bold]: {', '.join(parts)} of {counted(len(self.rows), 'cell')}")
        for arm in self.arms:
            console.print(escape(f"  {arm.text}"), soft_wrap=True)
        for row in self.failed[:_MAX_FAILED_SHOWN]:
            log = f"  ({row.log})" if row.log else ""
            line = f"  failed  {row.cell_id}  {row.title}: {row.kind}: {one_line(row.reason or '')}{log}"
            console.print(escape(line), soft_wrap=True)
        if len(self.failed) > _MAX_FAILED_SHOWN:
            more = len(self.failed) - _MAX_FAILED_SHOWN
            console.print(f"  ... and {more:,} more (finegrid status {escape(Layout(self.root).name)})", soft_wrap=True)
        for line in self._advice():
            console.print(escape(line), soft_wrap=True)

    def _advice(self) -> list[str]:
        lines = [f"Stopped early: {self.stopped}"] if self.stopped else []
        if self.exit_code == STOPPED_EARLY or self.signal is not None:
            lines.append("The same command goes on where this run ended.")
        waiting = sorted({str(row.kind) for row in self.failed if row.kind not in RESUMED_KINDS})
        if waiting:
            lines.append(
                f"Failed as {', '.join(waiting)}: left alone until recipe, data or device change; "
                f"--retry-failed {','.join(waiting)} tries them as they are."
            )
        if any(row.kind in RESUMED_KINDS for row in self.failed):
            what = "The others that failed are" if waiting else "What failed is"
            lines.append(f"{what} tried again by the same command.")
        lines += [f"wrote {self._named(path)}" for path in self.files]
        return [*lines, self.farewell] if self.farewell else lines

    def _named(self, path: Path) -> str:
        """A file as people find it: at the URL where the results lie at one."""
        layout = Layout(self.root)
        return f"{layout.name}/{layout.relative(path)}" if layout.mirror else _short(path)


def _failed_json(row: CellRow) -> dict[str, Any]:
    return {
        "cell_id": row.cell_id,
        "title": row.title,
        "kind": None if row.kind is None else str(row.kind),
        "reason": row.reason,
        "log": row.log,
    }


def _short(path: Path) -> str:
    here = Path.cwd()
    return str(path.relative_to(here)) if path.is_relative_to(here) else str(path)
