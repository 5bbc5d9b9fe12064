"""The fake trial, but script `leak` shouts out everything its process knows: to its streams, its log and its errors."""

from __future__ import annotations

import base64
import logging
import os
import sys
from collections.abc import Generator

from jobs.pack_log import PackLog, forwarded_logging
from jobs.spec import Command, Event, PackSpec
from tests.fakes import trial

Workshop = trial.Workshop


def run_pack(pack: PackSpec, workshop: trial.Workshop) -> Generator[Event, Command | None, None]:
    if all(packed.cell.variant != "leak" for packed in pack.cells):
        yield from trial.run_pack(pack, workshop)
        return
    everything = "\n".join(f"{name}={value}" for name, value in os.environ.items())
    told = f"{everything}\n{base64.b64encode(everything.encode()).decode()}"
    sys.stdout.write(told + "\n")
    sys.stderr.write(told + "\n")
    with PackLog(workshop.layout.pack_log(pack.cells[0].epoch, pack.pack_id)) as log, forwarded_logging(log):
        logging.getLogger("jobs.leak").warning("%s", told)
    raise RuntimeError(told)
