"""Tables of the index, and the read-only way in; all that analysis sees of the store.

The index holds nothing that the result folders do not hold, except what has no result:
declared cells, attempts, runs and pinned revisions. Migrations under `migrations/` make these
tables; a test checks that both descriptions agree.
"""

from __future__ import annotations

import sqlite3
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import sqlalchemy as sa
from sqlalchemy.engine import Engine
from sqlalchemy.pool import NullPool, StaticPool

from grid.store.places import index_to_read
from grid.store.problems import check_log_file, damaged_index, not_a_store, wrong_schema
from jobs.spec import CellState, FailureKind
from jobs.storage import Layout

REVISIONS: Final = ("0001",)
"""Every schema this FineGrid knows, oldest first; equal to the migrations (a test checks it)."""

_STATES = ", ".join(f"'{state}'" for state in CellState)
_KINDS = ", ".join(f"'{kind}'" for kind in FailureKind)
_LARGEST_DOUBLE = "1.7976931348623157e308"

metadata = sa.MetaData()

meta = sa.Table(
    "meta",
    metadata,
    sa.Column("key", sa.Text, primary_key=True),
    sa.Column("value", sa.Text, nullable=False),
)
"""grid (the name this store belongs to), created_at, created_by."""

runs = sa.Table(
    "runs",
    metadata,
    sa.Column("epoch", sa.Integer, primary_key=True),
    sa.Column("host", sa.Text, nullable=False),
    sa.Column("pid", sa.Integer, nullable=False),
    sa.Column("boot_id", sa.Text, nullable=False),
    sa.Column("started_at", sa.Text, nullable=False),
    sa.Column("ended_at", sa.Text),
    sa.Column("config_json", sa.Text, nullable=False),
    sa.Column("exit_code", sa.Integer),
)

cells = sa.Table(
    "cells",
    metadata,
    sa.Column("cell_id", sa.Text, primary_key=True),
    sa.Column("position", sa.Integer, nullable=False),
    sa.Column("grid", sa.Text, nullable=False),
    sa.Column("model", sa.Text),
    sa.Column("strategy", sa.Text, nullable=False),
    sa.Column("dataset", sa.Text, nullable=False),
    sa.Column("protocol", sa.Text, nullable=False),
    sa.Column("num_labels", sa.Integer),
    sa.Column("num_samples", sa.Integer),
    sa.Column("seed", sa.Integer, nullable=False),
    sa.Column("variant", sa.Text),
    sa.Column("axes_json", sa.Text, nullable=False),
    sa.Column("spec_json", sa.Text, nullable=False),
    sa.Column("title", sa.Text, nullable=False),
    sa.Column("retired", sa.Boolean, nullable=False),
    sa.Column("state", sa.Text, nullable=False),
    sa.Column("kind", sa.Text),
    sa.Column("reason", sa.Text),
    sa.Column("log", sa.Text),
    sa.Column("epoch", sa.Integer, nullable=False),
    sa.Column("attempt", sa.Integer, nullable=False),
    sa.CheckConstraint(f"state IN ({_STATES})", name="cells_state"),
    sa.CheckConstraint(f"kind IN ({_KINDS})", name="cells_kind"),
    sa.CheckConstraint("(state = 'failed') = (kind IS NOT NULL)", name="cells_failed_has_kind"),
    sa.CheckConstraint("retired IN (0, 1)", name="cells_retired"),
)
"""One row a cell ever declared. `position` is its place in the last declaration; `epoch` and
`attempt` are the last ones handed out, 0 before the first. Missing num_labels or num_samples: all."""

attempts = sa.Table(
    "attempts",
    metadata,
    sa.Column("cell_id", sa.Text, sa.ForeignKey("cells.cell_id"), primary_key=True),
    sa.Column("epoch", sa.Integer, primary_key=True),
    sa.Column("attempt", sa.Integer, primary_key=True),
    sa.Column("state", sa.Text, nullable=False),
    sa.Column("kind", sa.Text),
    sa.Column("reason", sa.Text),
    sa.Column("log", sa.Text),
    sa.Column("pack_id", sa.Text),
    sa.Column("host", sa.Text),
    sa.Column("pid", sa.Integer),
    sa.Column("started_at", sa.Text),
    sa.Column("ended_at", sa.Text),
    sa.CheckConstraint(f"state IN ({_STATES})", name="attempts_state"),
    sa.CheckConstraint(f"kind IN ({_KINDS})", name="attempts_kind"),
)
"""Every try at every cell; rows are never removed. Host and pid are the trial's, where it told them."""

results = sa.Table(
    "results",
    metadata,
    sa.Column("cell_id", sa.Text, sa.ForeignKey("cells.cell_id"), primary_key=True),
    sa.Column("epoch", sa.Integer, nullable=False),
    sa.Column("attempt", sa.Integer, nullable=False),
    sa.Column("folder", sa.Text, nullable=False),
    sa.Column("num_classes", sa.Integer),
    sa.Column("num_train", sa.Integer),
    sa.Column("num_validation", sa.Integer),
    sa.Column("num_test", sa.Integer),
    sa.Column("epochs", sa.Double, nullable=False),
    sa.Column("effective_batch_size", sa.Integer),
    sa.Column("best_step", sa.Integer),
    sa.Column("stopped_step", sa.Integer),
    sa.Column("trainable_parameters", sa.Integer),
    sa.Column("total_parameters", sa.Integer),
    sa.Column("train_seconds", sa.Double),
    sa.Column("train_samples_per_second", sa.Double),
    sa.Column("eval_samples_per_second", sa.Double),
    sa.Column("peak_memory_bytes", sa.Double),
    sa.Column("total_flops", sa.Double),
    sa.Column("device", sa.Text),
    sa.Column("dtype", sa.Text),
    sa.Column("base_mode", sa.Text),
    sa.Column("numerics", sa.Text),
    sa.Column("counts_json", sa.Text, nullable=False),
    sa.Column("hashes_json", sa.Text, nullable=False),
    sa.Column("costs_json", sa.Text, nullable=False),
    sa.Column("provenance_json", sa.Text, nullable=False),
    sa.Column("marks_json", sa.Text, nullable=False),
    sa.Column("label_names_json", sa.Text, nullable=False),
    sa.Column("ingested_at", sa.Text, nullable=False),
)
"""One row a done cell; `folder` is relative to the results folder, with forward slashes."""

metrics = sa.Table(
    "metrics",
    metadata,
    sa.Column("cell_id", sa.Text, sa.ForeignKey("cells.cell_id"), primary_key=True),
    sa.Column("split", sa.Text, primary_key=True),
    sa.Column("name", sa.Text, primary_key=True),
    sa.Column("label", sa.Text, primary_key=True),
    sa.Column("value", sa.Double),
    sa.Column("undefined", sa.Text),
    sa.CheckConstraint("(value IS NULL) <> (undefined IS NULL)", name="metrics_value_or_reason"),
    sa.CheckConstraint(
        f"value IS NULL OR (typeof(value) = 'real' AND abs(value) <= {_LARGEST_DOUBLE})", name="metrics_finite"
    ),
    sqlite_with_rowid=False,
)
"""Numbers of done cells: a finite value, or the reason why there is none; label is empty for whole splits."""

pins = sa.Table(
    "pins",
    metadata,
    sa.Column("name", sa.Text, primary_key=True),
    sa.Column("revision", sa.Text, nullable=False),
    sa.Column("pinned_at", sa.Text, nullable=False),
)
"""`model:owner/name` and `dataset:owner/name` -> revision, resolved at the first run."""


def open_read_only(root: Path) -> Engine:
    """Open the index of a results folder for reading; works beside a running driver and on read-only media.

    Of a folder on a network it is the index of this machine, or the copy in the folder when that knows more.

    Args:
        root: a results folder.
    Returns:
        an engine whose connections cannot write; dispose of it after use.
    Raises:
        UserError: no store there, or one of another schema version.
        EnvironmentProblem: the index is damaged.
    """
    layout = Layout(root.absolute())
    path = index_to_read(layout)
    if not path.is_file():
        raise not_a_store(layout)
    check_log_file(path)
    try:
        engine = open_unchecked(path)
        revision = read_revision(engine)
    except (sa.exc.DatabaseError, sqlite3.DatabaseError) as error:
        raise damaged_index(path, str(error.__cause__ or error)) from error
    if revision != REVISIONS[-1]:
        engine.dispose()
        raise wrong_schema(path, revision, REVISIONS)
    return engine


def read_revision(engine: Engine) -> str | None:
    """Schema version that the index names; None when it names none."""
    with engine.connect() as connection:
        return connection.execute(sa.text("SELECT version_num FROM alembic_version")).scalar()


def open_unchecked(path: Path) -> Engine:
    """Read-only access whatever the schema; where SQLite cannot make its side files, the files as they lie there."""
    engine = _engine(path, "mode=ro")
    try:
        with engine.connect() as connection:
            connection.execute(sa.text("SELECT count(*) FROM sqlite_master"))
        return engine
    except sa.exc.OperationalError as error:
        engine.dispose()
        if _primary_code(error) not in (sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_READONLY):
            raise
    side_files = [side for suffix in ("-wal", "-journal") if _has_content(side := path.with_name(path.name + suffix))]
    if side_files:
        # `immutable` would ignore committed rows in the log, or show rows that the journal takes back.
        return _in_memory_copy(path, side_files)
    return _engine(path, "mode=ro&immutable=1")


def _primary_code(error: sa.exc.OperationalError) -> int:
    return int(getattr(error.orig, "sqlite_errorcode", 0)) & 0xFF


def _has_content(path: Path) -> bool:
    return path.is_file() and path.stat().st_size > 0


def _engine(path: Path, options: str) -> Engine:
    uri = f"{path.absolute().as_uri()}?{options}"

    def connect() -> sqlite3.Connection:
        connection = sqlite3.connect(uri, uri=True, timeout=30.0)
        connection.execute("PRAGMA query_only = ON")
        return connection

    return sa.create_engine("sqlite://", creator=connect, poolclass=NullPool)


def _in_memory_copy(path: Path, side_files: Sequence[Path]) -> Engine:
    memory = sqlite3.connect(":memory:", check_same_thread=False)
    with tempfile.TemporaryDirectory(prefix="finegrid-") as folder:
        copy = Path(folder, path.name)
        for file in (path, *side_files):
            copy.with_name(file.name).write_bytes(file.read_bytes())
        source = sqlite3.connect(copy)
        try:
            source.backup(memory)
        finally:
            source.close()
    memory.execute("PRAGMA query_only = ON")
    return sa.create_engine("sqlite://", creator=lambda: memory, poolclass=StaticPool)
