"""Where Ray's own warnings go: a file; the console belongs to the progress view, standard output to results."""

from __future__ import annotations

import logging
from contextlib import redirect_stdout
from io import TextIOBase, TextIOWrapper
from pathlib import Path

from jobs.redaction import redact


class _LateFile(logging.FileHandler):
    """Makes file and folder with the first line only: a run that is refused leaves nothing behind."""

    def _open(self) -> TextIOWrapper:
        Path(self.baseFilename).parent.mkdir(parents=True, exist_ok=True)
        return super()._open()


class _Redacting(logging.Formatter):
    """Lines without secrets: Ray repeats what its workers said."""

    def format(self, record: logging.LogRecord) -> str:
        return redact(super().format(record))


class _LogStream(TextIOBase):
    """Writes lines to a logger."""

    def __init__(self, logger: logging.Logger) -> None:
        self._logger = logger

    def write(self, text: str) -> int:
        for line in text.splitlines():
            if line.strip():
                self._logger.warning("%s", line.rstrip())
        return len(text)


class RayLog:
    """Ray's own warnings go to a file; the console belongs to the progress view, standard output to results.

    Ray prints what raylets report (a worker died) to standard output, from a thread of its own.
    """

    def __init__(self, folder: Path) -> None:
        """Remember the folder."""
        self._folder = folder
        self._logger = logging.getLogger("ray")
        self._file: logging.Handler | None = None
        self._silenced: list[logging.Handler] = []
        self._redirected = redirect_stdout(_LogStream(self._logger))

    def open(self) -> None:
        """Begin to write; the file is made with the first line."""
        self._logger.setLevel(logging.WARNING)
        # It misses the result files of every trial, which we told Tune not to write.
        logging.getLogger("ray.tune.analysis").setLevel(logging.ERROR)
        self.silence_console()
        self._file = _LateFile(self._folder / "ray.log", encoding="utf-8", delay=True)
        self._file.setFormatter(_Redacting("%(asctime)s %(levelname)s %(name)s %(message)s"))
        self._file.setLevel(logging.WARNING)
        self._logger.addHandler(self._file)
        self._redirected.__enter__()

    def silence_console(self) -> None:
        """Take out the handler that Ray writes to standard error with."""
        consoles = [item for item in self._logger.handlers if isinstance(item, logging.StreamHandler)]
        for handler in consoles:
            if not isinstance(handler, logging.FileHandler):
                self._logger.removeHandler(handler)
                self._silenced.append(handler)

    def close(self) -> None:
        """Leave streams and handlers as they were."""
        self._redirected.__exit__(None, None, None)
        for handler in self._silenced:
            self._logger.addHandler(handler)
        if self._file is not None:
            self._logger.removeHandler(self._file)
            self._file.close()
