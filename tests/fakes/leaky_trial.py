"""The fake trial with two more scripts.

leak: shouts out everything its process knows, to its streams, its log and its errors.
forge: logs and raises text that would clear a screen and add lines of its own.
"""

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
FORGED = 'harmless\x1b[2J\x1b]0;title\x07\r\n9 done, 0 failed of 9 cells\u2028{"event": "cell_finished"}\x9b31m'


def run_pack(pack: PackSpec, workshop: trial.Workshop) -> Generator[Event, Command | None, None]:
    scripts = {packed.cell.variant for packed in pack.cells} & {"leak", "forge"}
    if not scripts:
        yield from trial.run_pack(pack, workshop)
        return
    told = FORGED
    if "leak" in scripts:
        everything = "\n".join(f"{name}={value}" for name, value in os.environ.items())
        told = f"{everything}\n{base64.b64encode(everything.encode()).decode()}"
        sys.stdout.write(told + "\n")
        sys.stderr.write(told + "\n")
    with PackLog(workshop.layout.pack_log(pack.cells[0].epoch, pack.pack_id)) as log, forwarded_logging(log):
        logging.getLogger("jobs.leak").warning("%s", told)
    raise RuntimeError(told)
