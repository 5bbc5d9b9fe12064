"""The log of one pack: JSON lines in the results folder, each with the cell it concerns."""

from __future__ import annotations

import json
import logging
import os
import time
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Any

from jobs.errors import FineGridError
from jobs.mirror import Mirror, mirror_of
from jobs.redaction import redact

_SHARE_EVERY_S = 10.0
"""Where the results lie at a URL, a log is uploaded at most this often, and at its end."""


class PackLog:
    """Appends events to a pack's log file; every line is one JSON object."""

    def __init__(self, path: Path) -> None:
        """Open for appending, making the folder."""
        path.parent.mkdir(parents=True, exist_ok=True)
        self.path = path
        self._mirror = mirror_of(path.parent.parent)
        self._share_at_s = 0.0
        is_torn = _ends_within_a_line(path)
        self._file = path.open("a", encoding="utf-8")
        if is_torn:  # its process was killed while it wrote: what follows must not be lost with that line
            self._file.write("\n")

    def write(
        self,
        event: str,
        message: str = "",
        *,
        cell_id: str | None = None,
        level: str = "info",
        error: BaseException | None = None,
        **facts: Any,
    ) -> None:
        """Append one line.

        Args:
            event: what happened, one word.
            message: for people.
            cell_id: the cell it concerns; None: the whole pack.
            level: info | warning | error.
            error: its traceback is kept.
            facts: further JSON values.
        """
        line: dict[str, Any] = {
            "time": _now(),
            "level": level,
            "event": event,
            "message": redact(message),
            "pid": os.getpid(),
        }
        if cell_id is not None:
            line["cell_id"] = cell_id
        if error is not None:
            line["traceback"] = redact("".join(traceback.format_exception(error)))
        line |= {name: redact(value) if isinstance(value, str) else value for name, value in facts.items()}
        self._append(line)
        if self._mirror is not None and time.monotonic() >= self._share_at_s:
            self._share(self._mirror)

    def _append(self, line: dict[str, Any]) -> None:
        self._file.write(json.dumps(line, ensure_ascii=True, default=str) + "\n")
        self._file.flush()

    def _share(self, mirror: Mirror) -> None:
        """Upload the log as it is; that it cannot be is a line in it, and no cell's fault."""
        self._share_at_s = time.monotonic() + _SHARE_EVERY_S
        try:
            mirror.share_log(self.path)
        except FineGridError as error:
            self._append(
                {"time": _now(), "level": "warning", "event": "log_not_uploaded", "message": redact(str(error))}
            )

    def __enter__(self) -> PackLog:
        """Use as a context."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close the file."""
        if self._mirror is not None:
            self._share(self._mirror)
        self._file.close()


def _ends_within_a_line(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            if not file.seek(0, os.SEEK_END):
                return False
            file.seek(-1, os.SEEK_END)
            return file.read(1) != b"\n"
    except FileNotFoundError:
        return False


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")


class _Forward(logging.Handler):
    """Sends records of our own loggers into the pack log."""

    def __init__(self, log: PackLog) -> None:
        super().__init__(logging.INFO)
        self._log = log

    def emit(self, record: logging.LogRecord) -> None:
        error = record.exc_info[1] if record.exc_info else None
        self._log.write("log", record.getMessage(), level=record.levelname.lower(), error=error, logger=record.name)


@contextmanager
def forwarded_logging(log: PackLog) -> Iterator[None]:
    """While open, whatever `jobs.*` logs is written to the pack log as well."""
    handler, logger = _Forward(log), logging.getLogger("jobs")
    level = logger.level
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    try:
        yield
    finally:
        logger.removeHandler(handler)
        logger.setLevel(level)
