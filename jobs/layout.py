"""Names of the files of a results folder: the only place that knows them.

root/
  grid.db  tuning.db  lock
  cells/<cell_id>/<epoch>-<attempt>-<nonce>/{manifest.json,result.json,predictions.parquet,...}
  checkpoints/<cell_id>/...
  logs/<epoch>-<pack_id>.jsonl
  logs/<epoch>-plan-<number>.json
  report/  report/heatmaps/  report/tables/
  index.json    only where the index is in PostgreSQL: the name of the variable that says where, and the schema
  ballast       space kept back while a run goes on, given up when the disk is full
  store.json  lease/  journal.jsonl    only on network and FUSE folders, where the index itself lies in the cache folder
  tmp/          folders being written
  quarantine/   damaged folders, set aside by `finegrid doctor --rebuild`

At a URL lie cells/, checkpoints/, logs/ and report/ under the same names, with store.json, lease/, epochs/, index/ and
journal/ (`grid.store.remote`); on each machine a folder stands for it (`jobs.mirror`).

A trial only ever adds folders under cells/ and checkpoints/ and lines to its log; the index is the driver's.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from jobs.errors import BugError, UserError
from jobs.mirror import Mirror, mirror_of

CELL_ID = re.compile(r"[0-9a-f]{16}")
SAFE_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,63}")
_ATTEMPT_FOLDER = re.compile(r"(?P<epoch>[0-9]{1,9})-(?P<attempt>[0-9]{1,9})-(?P<nonce>[0-9a-f]{8})")


def check_cell_id(cell_id: str) -> str:
    """Return the id unchanged when it is 16 hex characters; folders are named after nothing else.

    Raises:
        UserError: it is something else.
    """
    if not CELL_ID.fullmatch(cell_id):
        raise UserError(f"{cell_id[:80]!r} is not a cell id: 16 characters 0-9 a-f are expected")
    return cell_id


@dataclass(frozen=True)
class Layout:
    """Names inside one results folder."""

    root: Path

    @property
    def mirror(self) -> Mirror | None:
        """What stands for a URL; None where the folder itself is the store."""
        return mirror_of(self.root)

    @property
    def name(self) -> str:
        """What people call it: the URL, or the folder."""
        mirror = self.mirror
        return mirror.url if mirror else str(self.root)

    @property
    def index(self) -> Path:
        """The SQLite index."""
        return self.root / "grid.db"

    @property
    def tuning(self) -> Path:
        """Optuna's database."""
        return self.root / "tuning.db"

    @property
    def lock(self) -> Path:
        """File whose flock is the right to write."""
        return self.root / "lock"

    @property
    def ballast(self) -> Path:
        """Space kept back for the moment when the disk is full."""
        return self.root / "ballast"

    @property
    def identity(self) -> Path:
        """Names the store where its index lies elsewhere."""
        return self.root / "store.json"

    @property
    def index_place(self) -> Path:
        """Says where the index is when it is in a database."""
        return self.root / "index.json"

    @property
    def lease(self) -> Path:
        """Folder of the right to write where the kernel's locks do not reach every host."""
        return self.root / "lease"

    @property
    def journal(self) -> Path:
        """What the copy of an index kept elsewhere lacks."""
        return self.root / "journal.jsonl"

    @property
    def cells(self) -> Path:
        """Result folders."""
        return self.root / "cells"

    @property
    def checkpoints(self) -> Path:
        """Checkpoint folders."""
        return self.root / "checkpoints"

    @property
    def logs(self) -> Path:
        """Pack logs."""
        return self.root / "logs"

    @property
    def report(self) -> Path:
        """What people look at."""
        return self.root / "report"

    @property
    def heatmaps(self) -> Path:
        """Pictures."""
        return self.report / "heatmaps"

    @property
    def tables(self) -> Path:
        """Tables in CSV, Markdown and LaTeX."""
        return self.report / "tables"

    @property
    def temporary(self) -> Path:
        """Folders being written."""
        return self.root / "tmp"

    @property
    def quarantine(self) -> Path:
        """Damaged folders set aside."""
        return self.root / "quarantine"

    def cell(self, cell_id: str) -> Path:
        """Folder of one cell's result folders."""
        return self.cells / check_cell_id(cell_id)

    def checkpoint(self, cell_id: str) -> Path:
        """Folder of one cell's checkpoints."""
        return self.checkpoints / check_cell_id(cell_id)

    def pack_log(self, epoch: int, pack_id: str) -> Path:
        """Log of one pack: one JSON object a line.

        Raises:
            BugError: the pack id could leave the folder.
        """
        if not SAFE_NAME.fullmatch(pack_id):
            raise BugError(f"pack id {pack_id!r} is not a safe file name")
        return self.logs / f"{int(epoch)}-{pack_id}.jsonl"

    def plan_record(self, epoch: int, number: int) -> Path:
        """What a run estimated before it trained, one file for each of its plans."""
        return self.logs / f"{int(epoch)}-plan-{int(number)}.json"

    def relative(self, path: Path) -> str:
        """A path inside the results folder, relative to it, with forward slashes."""
        return path.relative_to(self.root).as_posix()


@dataclass(frozen=True, order=True)
class AttemptName:
    """The name of a result folder, read; sorts by epoch, then attempt."""

    epoch: int
    attempt: int
    nonce: str

    @classmethod
    def parse(cls, name: str) -> AttemptName | None:
        """Read a folder name; None when it is not one of ours."""
        match = _ATTEMPT_FOLDER.fullmatch(name)
        return cls(int(match["epoch"]), int(match["attempt"]), match["nonce"]) if match else None

    def __str__(self) -> str:
        """The folder name."""
        return f"{self.epoch}-{self.attempt}-{self.nonce}"
