"""The process of the reload check, seen from the trial: started early, asked with a deadline, ended with the pack."""

from __future__ import annotations

import json
import logging
import os
import queue
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from pathlib import Path

from jobs.errors import FineGridError, one_line
from jobs.redaction import redact
from jobs.reload_messages import Answer, Question, Setup
from jobs.spec import dumps, from_json

log = logging.getLogger(__name__)

COMMAND = (sys.executable, "-m", "jobs.reload_check")
START_S = 900.0
"""Longest time to import the libraries and load a base."""
ANSWER_S = 300.0
"""Longest time to load one cell and predict its rows."""
STOP_S = 10.0


class CheckerLost(FineGridError):
    """The checking process died, could not load the base, or did not answer in time."""


class ReloadProcess:
    """One `python -m jobs.reload_check`; once lost it stays lost."""

    def __init__(
        self, setup: Setup, *, start_s: float = START_S, answer_s: float = ANSWER_S, command: Sequence[str] = COMMAND
    ) -> None:
        """Start the process and return at once.

        Args:
            setup: what the pack's cells share.
            start_s: longest time until it is ready.
            answer_s: longest time for one answer.
            command: the program and its arguments.
        Side effects:
            starts a process in a session of its own, so that Ctrl-C at a terminal does not reach it, and a
            thread that reads its answers.
        """
        self._answer_s = answer_s
        self._deadline = time.monotonic() + start_s
        self._allowed_s = start_s
        self._is_ready = False
        self._waiting: Question | None = None
        self._lost: str | None = None
        self._lines: queue.SimpleQueue[str | None] = queue.SimpleQueue()
        self._errors = tempfile.TemporaryFile()
        self._process = subprocess.Popen(  # noqa: S603 - fixed arguments, no shell
            list(command),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            env=_environment(),
            text=True,
            encoding="utf-8",
            errors="surrogatepass",
            start_new_session=True,
        )
        self._reader = threading.Thread(target=self._read, name="reload-check", daemon=True)
        self._reader.start()
        self._send(dumps(setup))

    @property
    def pid(self) -> int:
        """The process' number."""
        return self._process.pid

    def ask(self, question: Question) -> None:
        """Ask about one cell; one question at a time."""
        self._waiting = question
        if self._is_ready:
            self._begin()

    def answer(self, *, wait_s: float) -> Answer | None:
        """The answer to the question asked, or None when it is not there yet.

        Args:
            wait_s: how long to wait for it now.
        Raises:
            CheckerLost: there will be none.
        """
        if self._lost is not None:
            raise CheckerLost(self._lost)
        try:
            line = self._lines.get(timeout=wait_s)
        except queue.Empty:
            if time.monotonic() > self._deadline:
                self._lose(f"no answer within {self._allowed_s:g} s")
            return None
        if line is None:
            self._lose(self._last_words())
            return None
        answer = from_json(Answer, json.loads(line))
        if self._is_ready:
            return answer
        self._note_ready(answer)
        return None

    def close(self) -> None:
        """End the process; it holds nothing that could be lost."""
        self._process.kill()
        try:
            self._process.wait(timeout=STOP_S)
        except subprocess.TimeoutExpired:
            log.warning("the reload check's process %d does not end", self._process.pid)
            return
        self._reader.join(timeout=STOP_S)
        for stream in (self._process.stdin, self._process.stdout, self._errors):
            if stream is not None:
                _close(stream)

    def _note_ready(self, answer: Answer) -> None:
        if answer.error is not None:
            self._lose(f"the base cannot be loaded a second time: {answer.error}")
            return
        self._is_ready = True
        if self._waiting is not None:
            self._begin()

    def _begin(self) -> None:
        if self._waiting is not None:
            self._deadline, self._allowed_s = time.monotonic() + self._answer_s, self._answer_s
            self._send(dumps(self._waiting))
            self._waiting = None

    def _send(self, line: str) -> None:
        # Lines are far shorter than a pipe's buffer, so that this never waits for the other side.
        stdin = self._process.stdin
        try:
            if stdin is not None:
                stdin.write(line + "\n")
                stdin.flush()
        except OSError:
            self._lose(self._last_words())

    def _read(self) -> None:
        stdout = self._process.stdout
        if stdout is not None:
            for line in stdout:
                self._lines.put(line)
        self._lines.put(None)

    def _lose(self, reason: str) -> None:
        if self._lost is None:
            self._lost = one_line(redact(reason), limit=300)
            log.warning("reload check: %s", self._lost)
        self._process.kill()

    def _last_words(self) -> str:
        try:
            code: int | None = self._process.wait(timeout=STOP_S)
        except subprocess.TimeoutExpired:
            code = None
        self._errors.seek(0)
        lines = self._errors.read().decode("utf-8", errors="replace").strip().splitlines()
        ended = f"ended by signal {-code}" if code is not None and code < 0 else f"ended with code {code}"
        return f"its process {ended}" + (f": {lines[-1]}" if lines else "")


def _environment() -> dict[str, str]:
    """Ours, with this package importable and without the network: the base was read a moment ago."""
    package_root = str(Path(__file__).resolve().parents[2])
    paths = [package_root, *filter(None, [os.environ.get("PYTHONPATH")])]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(paths), "HF_HUB_OFFLINE": "1"}


def _close(stream: object) -> None:
    try:
        stream.close()  # type: ignore[attr-defined]
    except BrokenPipeError:
        log.debug("the reload check's process was gone before its pipe was closed")
