"""`python -m tests.chaos --kills 200 --seed 1`: kill until the number is reached, then compare and count.

Every third grid has a private Ray for each run; the others share a cluster of two nodes, whose
second node is killed too. Progress goes to standard error, the summary as JSON to standard output.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import random
import secrets
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

from tests.chaos.cluster import TwoNodes
from tests.chaos.grids import chaos_grid
from tests.chaos.siege import Defect, Siege
from tests.chaos.verdict import Verdict, judge
from tests.chaos.victims import Kill
from tests.faults.harness import ID_VARIABLE, Grid, end, marked_processes

ORPHANS_GRACE_S = 20.0


def main() -> int:
    """Parse, besiege, judge, report; 0 when nothing was lost, doubled or different."""
    options = _options()
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))  # so that nothing is left running
    say(f"chaos: seed {options.seed}, {options.kills} kills, at least {options.cells} cells a grid")
    test_id = secrets.token_hex(8)
    temporary = Path(tempfile.mkdtemp(prefix="fg-", dir="/tmp"))  # short: Ray's sockets live below it
    os.environ |= {ID_VARIABLE: test_id, "TMPDIR": str(temporary), "RAY_TMPDIR": str(temporary)}
    tempfile.tempdir = None
    work = Path(tempfile.mkdtemp(prefix="chaos-", dir=options.out)) if options.out else temporary / "work"
    began_s = time.monotonic()
    report = Report(seed=options.seed, asked=options.kills)
    try:
        report.besiege(work, options, test_id)
    except Defect as error:
        report.defect = str(error)
    finally:
        left = marked_processes(test_id)
        end(left)
        shutil.rmtree(temporary, ignore_errors=True)
    summary = report.to_json() | {"processes_left": len(left), "seconds": round(time.monotonic() - began_s, 1)}
    print(json.dumps(summary, indent=1))
    if options.out:
        Path(options.out, "chaos.json").write_text(json.dumps(summary, indent=1) + "\n", encoding="utf-8")
    return 0 if report.is_clean and not left else 1


class Report:
    """What happened, grid after grid."""

    def __init__(self, *, seed: int, asked: int) -> None:
        """Begin with nothing."""
        self.seed = seed
        self.asked = asked
        self.kills: list[Kill] = []
        self.verdicts: list[Verdict] = []
        self.exit_codes: Counter[int] = Counter()
        self.waits_s: list[float] = []
        self.defect = ""
        self.undisturbed_s = 0.0

    @property
    def is_clean(self) -> bool:
        """True when all kills hit and every grid is that of the undisturbed run."""
        is_equal = all(verdict.is_equal for verdict in self.verdicts)
        return not self.defect and is_equal and len(self.kills) >= self.asked

    def besiege(self, work: Path, options: argparse.Namespace, test_id: str) -> None:
        """Grid after grid, each in a fresh folder, until enough kills have hit."""
        dice = random.Random(options.seed)
        cache = Path(os.environ.get("FINEGRID_CACHE") or work / "cache").absolute()
        clean = self._undisturbed(chaos_grid(work / "undisturbed", cache, options.cells))
        number = 0
        while len(self.kills) < options.kills:
            number += 1
            grid = chaos_grid(work / f"grid-{number:03d}", cache, options.cells)
            self._besiege_one(grid, clean, dice, number, options, test_id)
            if self.verdicts[-1].is_equal and not options.keep:
                shutil.rmtree(grid.folder.parent)

    def _undisturbed(self, grid: Grid) -> str:
        began_s = time.monotonic()
        finished = grid.elsewhere(grid.folder, local=True).run(timeout_s=600)
        if finished.returncode != 0:
            raise Defect(f"the undisturbed run ended with {finished.returncode}\n{finished.stdout}\n{finished.stderr}")
        self.undisturbed_s = round(time.monotonic() - began_s, 1)
        say(f"undisturbed: {grid.count('done')} cells in {self.undisturbed_s:g} s")
        return grid.dump()

    def _besiege_one(
        self, grid: Grid, clean: str, dice: random.Random, number: int, options: argparse.Namespace, test_id: str
    ) -> None:
        is_private = options.ray == "private" or (options.ray == "both" and number % 3 == 0)
        kind = "a private Ray" if is_private else "a cluster of two nodes"
        say(f"grid {number} on {kind}")
        with contextlib.ExitStack() as stack:
            cluster = None if is_private else stack.enter_context(TwoNodes(grid.environment()))

            def on_kill(kill: Kill, wait_s: float) -> None:
                self.kills.append(kill)
                self.waits_s.append(wait_s)
                done = f"{grid.count('done')} cells done"
                say(f"kill {len(self.kills)}/{options.kills}: {kill.what} {kill.pid} after {wait_s:.1f} s, {done}")

            siege = Siege(grid, dice, test_id, cluster, on_kill)
            try:
                siege.hold(options.kills - len(self.kills))
            finally:
                self.exit_codes.update(siege.exit_codes)
        self.verdicts.append(judge(grid, clean))
        say(f"grid {number}: {json.dumps(self.verdicts[-1].to_json())}")

    def to_json(self) -> dict[str, Any]:
        """The summary."""
        totals = {name: sum(getattr(v, name) for v in self.verdicts) for name in ("cells", "lost", "doubled")}
        totals["differing"] = sum(verdict.differing for verdict in self.verdicts)
        again = sum(verdict.steps_made - verdict.steps_needed for verdict in self.verdicts)
        needed = sum(verdict.steps_needed for verdict in self.verdicts)
        return {
            "seed": self.seed,
            "kills": len(self.kills),
            "kills_by_kind": dict(Counter(kill.what for kill in self.kills)),
            "grids": len(self.verdicts),
            **totals,
            "is_equal": self.is_clean,
            "attempts": sum(verdict.attempts for verdict in self.verdicts),
            "steps_needed": needed,
            "steps_recomputed": again,
            "steps_recomputed_per_kill": round(again / max(1, len(self.kills)), 1),
            "exit_codes": {str(code): number for code, number in sorted(self.exit_codes.items())},
            "median_wait_s": round(sorted(self.waits_s)[len(self.waits_s) // 2], 1) if self.waits_s else None,
            "undisturbed_s": self.undisturbed_s,
            "defect": self.defect,
        }


def say(text: str) -> None:
    """One line of progress."""
    print(f"{time.strftime('%H:%M:%S')} {text}", file=sys.stderr, flush=True)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description=__doc__)
    parser.add_argument("--kills", type=int, default=20, help="kills that must hit a live process")
    parser.add_argument("--seed", type=int, default=secrets.randbelow(10**6), help="printed; gives the same dice again")
    parser.add_argument("--cells", type=int, default=64, help="at least so many cells a grid")
    parser.add_argument("--ray", choices=("both", "cluster", "private"), default="both")
    parser.add_argument("--out", help="an existing folder for results and chaos.json; default: a temporary one")
    parser.add_argument("--keep", action="store_true", help="keep results folders of grids that came out equal")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
