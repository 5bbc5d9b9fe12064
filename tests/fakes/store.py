"""A store in memory with the fencing and the transition table of the real one."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from grid.store.states import check_step
from jobs.spec import CellState, FailureKind, PackedCell
from jobs.storage import read_result


@dataclass
class MemoryStore:
    """Follows attempts as `grid.store.Store` does."""

    attempts: Counter[str] = field(default_factory=Counter)
    states: dict[str, CellState] = field(default_factory=dict)
    failures: dict[str, tuple[str, str]] = field(default_factory=dict)
    accuracy: dict[str, float | None] = field(default_factory=dict)
    history: list[str] = field(default_factory=list)
    logs: dict[str, str] = field(default_factory=dict)

    def next_attempt(self, cell_id: str) -> int:
        return self.attempts[cell_id] + 1

    def start(self, packed: Sequence[PackedCell], pack_id: str, log: str) -> None:
        for item in packed:
            assert item.attempt == self.attempts[item.cell.cell_id] + 1
            self.attempts[item.cell.cell_id] = item.attempt
            self._step(item.cell.cell_id, CellState.RUNNING)

    def ingest(self, folder: Path) -> bool:
        result = read_result(folder)
        cell_id = result.cell.cell_id
        if self.states[cell_id] is CellState.DONE or result.attempt != self.attempts[cell_id]:
            return False
        self._step(cell_id, CellState.DONE)
        self.accuracy[cell_id] = result.metrics[0].value
        return True

    def fail(self, cell_id: str, epoch: int, attempt: int, kind: FailureKind, reason: str, log: str) -> Path | None:
        assert attempt == self.attempts[cell_id]
        self._step(cell_id, CellState.FAILED)
        self.failures[cell_id] = (str(kind), reason)
        self.logs[cell_id] = log
        return None

    def interrupt(self, cell_id: str, epoch: int, attempt: int) -> Path | None:
        assert attempt == self.attempts[cell_id]
        self._step(cell_id, CellState.INTERRUPTED)
        return None

    def _step(self, cell_id: str, following: CellState) -> None:
        check_step(cell_id, self.states.get(cell_id, CellState.PENDING), following)
        self.states[cell_id] = following
        self.history.append(f"{int(cell_id, 16)} {following}")

    def dump(self) -> dict[int, tuple[str, object]]:
        """What remains when times, attempts and hosts are left out, by cell number."""
        kinds: dict[str, object] = {cell_id: failure[0] for cell_id, failure in self.failures.items()}
        return {
            int(cell_id, 16): (
                str(state),
                self.accuracy.get(cell_id) if state is CellState.DONE else kinds.get(cell_id),
            )
            for cell_id, state in sorted(self.states.items())
        }
