"""The driver's end of a private Ray: starts its guardian, hears of its loss, lets it go."""

from __future__ import annotations

import json
import os
import select
import subprocess
import sys
import time
from pathlib import Path
from typing import IO, Any, cast

from grid.deadlines import LEAVE_RAY, RAY_START
from grid.devices import Devices
from grid.tune_runner.temporary import temporary_folder
from jobs.errors import EnvironmentProblem

_OBJECT_STORE_BYTES = 80 * 2**20
"""Nothing large travels through Ray: packs and events are short JSON."""


class PrivateRay:
    """A Ray of this run alone; it lives in processes that end with this object's `end`, or with this process."""

    def __init__(self, devices: Devices, record: Path) -> None:
        """Begin to start it; `wait` waits until it answers.

        Args:
            devices: what packs may use.
            record: file for the names of its processes.
        """
        self._temporary = temporary_folder()
        self._errors = self._temporary / "guardian.err"
        self._buffer = b""
        order = {
            "cpus": devices.cpus,
            "gpus": devices.gpus,
            "object_store_bytes": _OBJECT_STORE_BYTES,
            "temporary": str(self._temporary),
            "record": str(record),
        }
        with self._errors.open("wb") as errors:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "grid.tune_runner.guardian"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                start_new_session=True,
            )
        self._to, self._from = cast(IO[bytes], self._process.stdin), cast(IO[bytes], self._process.stdout)
        self._to.write((json.dumps(order) + "\n").encode())
        self._to.flush()

    def wait(self) -> str:
        """Wait until it answers.

        Returns:
            its address.
        Raises:
            EnvironmentProblem: it did not start, or not in time.
        """
        answer = self._hear(RAY_START.seconds)
        if answer is None:
            raise EnvironmentProblem(
                f"a private Ray did not start within {RAY_START.seconds:g} s ({RAY_START.variable} waits longer)"
            )
        if "address" not in answer:
            raise EnvironmentProblem(answer.get("error") or answer.get("lost") or "it ended at once")
        return str(answer["address"])

    def loss(self) -> str | None:
        """What is known to be lost of it; None as long as all is well. Does not wait."""
        answer = self._hear(0.0)
        if answer is None:
            return None
        return str(answer.get("lost") or answer.get("error") or "it ended")

    def end(self) -> None:
        """End all its processes and remove its files.

        Side effects:
            waits for the guardian, at most LEAVE_RAY; after that it goes on alone.
        """
        self._to.close()
        try:
            self._process.wait(LEAVE_RAY.seconds)
        except subprocess.TimeoutExpired:
            self._process.kill()  # the kernel ends Ray's servers with it
            self._process.wait()
        self._from.close()

    def _hear(self, timeout_s: float) -> dict[str, Any] | None:
        """The next message, None when none comes in time; `{}`-like `lost` when the guardian is gone."""
        deadline_s = time.monotonic() + timeout_s
        while b"\n" not in self._buffer:
            wait_s = max(0.0, deadline_s - time.monotonic())
            if not select.select([self._from], [], [], wait_s)[0]:
                return None
            part = os.read(self._from.fileno(), 4096)
            if not part:
                return {"lost": f"its guardian (process {self._process.pid}) ended{self._last_words()}"}
            self._buffer += part
        line, _, self._buffer = self._buffer.partition(b"\n")
        return dict(json.loads(line))

    def _last_words(self) -> str:
        try:
            lines = self._errors.read_text("utf-8", errors="replace").strip().splitlines()
        except OSError:
            return ""
        return f": {lines[-1]}" if lines else ""
