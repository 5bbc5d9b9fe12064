"""Tables of the index, and the read-only way in; all that analysis sees of the store.

The index holds nothing that the result folders do not hold, except what has no result:
declared cells, attempts, runs and pinned revisions. Migrations under `migrations/` make these
tables; a test checks that both descriptions agree.
"""

from __future__ import annotations

import sqlite3
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import sqlalchemy as sa
from sqlalchemy.engine import Connection, Engine
from sqlalchemy.pool import NullPool, StaticPool

from grid.store.places import index_to_read
from grid.store.postgres import PostgresIndex, find_server
from grid.store.problems import check_log_file, damaged_index, explained, explained_server, not_a_store, wrong_schema
from jobs.spec import CellState, FailureKind
from jobs.storage import Layout

REVISIONS: Final = ("0001",)
"""Every schema this FineGrid knows, oldest first; equal to the migrations (a test checks it)."""

_STATES = ", ".join(f"'{state}'" for state in CellState)
_KINDS = ", ".join(f"'{kind}'" for kind in FailureKind)
_TEXT = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
"""Sorted by code points everywhere, as SQLite does."""
_INTEGER = sa.Integer().with_variant(sa.BigInteger(), "postgresql")
"""64 bits everywhere, as SQLite's are."""
_LARGEST_DOUBLE = "1.7976931348623157e308"

metadata = sa.MetaData()

meta = sa.Table(
    "meta",
    metadata,
    sa.Column("key", _TEXT, primary_key=True),
    sa.Column("value", _TEXT, nullable=False),
)
"""grid (the name this store belongs to), created_at, created_by."""

runs = sa.Table(
    "runs",
    metadata,
    sa.Column("epoch", _INTEGER, primary_key=True),
    sa.Column("host", _TEXT, nullable=False),
    sa.Column("pid", _INTEGER, nullable=False),
    sa.Column("boot_id", _TEXT, nullable=False),
    sa.Column("started_at", _TEXT, nullable=False),
    sa.Column("ended_at", _TEXT),
    sa.Column("config_json", _TEXT, nullable=False),
    sa.Column("exit_code", _INTEGER),
)

cells = sa.Table(
    "cells",
    metadata,
    sa.Column("cell_id", _TEXT, primary_key=True),
    sa.Column("position", _INTEGER, nullable=False),
    sa.Column("grid", _TEXT, nullable=False),
    sa.Column("model", _TEXT),
    sa.Column("strategy", _TEXT, nullable=False),
    sa.Column("dataset", _TEXT, nullable=False),
    sa.Column("protocol", _TEXT, nullable=False),
    sa.Column("num_labels", _INTEGER),
    sa.Column("num_samples", _INTEGER),
    sa.Column("seed", _INTEGER, nullable=False),
    sa.Column("variant", _TEXT),
    sa.Column("axes_json", _TEXT, nullable=False),
    sa.Column("spec_json", _TEXT, nullable=False),
    sa.Column("title", _TEXT, nullable=False),
    sa.Column("retired", sa.Boolean, nullable=False),
    sa.Column("state", _TEXT, nullable=False),
    sa.Column("kind", _TEXT),
    sa.Column("reason", _TEXT),
    sa.Column("log", _TEXT),
    sa.Column("epoch", _INTEGER, nullable=False),
    sa.Column("attempt", _INTEGER, nullable=False),
    sa.CheckConstraint(f"state IN ({_STATES})", name="cells_state"),
    sa.CheckConstraint(f"kind IN ({_KINDS})", name="cells_kind"),
    sa.CheckConstraint("(state = 'failed') = (kind IS NOT NULL)", name="cells_failed_has_kind"),
    sa.CheckConstraint("retired IN (0, 1)", name="cells_retired").ddl_if(dialect="sqlite"),
)
"""One row a cell ever declared. `position` is its place in the last declaration; `epoch` and
`attempt` are the last ones handed out, 0 before the first. Missing num_labels or num_samples: all."""

is_candidate: Final = cells.c.spec_json.like('%"candidate":{%')
"""True for candidates of a tuning. Inside a JSON text the quotes would be escaped, so that nothing else matches."""

attempts = sa.Table(
    "attempts",
    metadata,
    sa.Column("cell_id", _TEXT, sa.ForeignKey("cells.cell_id"), primary_key=True),
    sa.Column("epoch", _INTEGER, primary_key=True),
    sa.Column("attempt", _INTEGER, primary_key=True),
    sa.Column("state", _TEXT, nullable=False),
    sa.Column("kind", _TEXT),
    sa.Column("reason", _TEXT),
    sa.Column("log", _TEXT),
    sa.Column("pack_id", _TEXT),
    sa.Column("host", _TEXT),
    sa.Column("pid", _INTEGER),
    sa.Column("started_at", _TEXT),
    sa.Column("ended_at", _TEXT),
    sa.CheckConstraint(f"state IN ({_STATES})", name="attempts_state"),
    sa.CheckConstraint(f"kind IN ({_KINDS})", name="attempts_kind"),
)
"""Every try at every cell; rows are never removed. Host and pid are the trial's, where it told them."""

results = sa.Table(
    "results",
    metadata,
    sa.Column("cell_id", _TEXT, sa.ForeignKey("cells.cell_id"), primary_key=True),
    sa.Column("epoch", _INTEGER, nullable=False),
    sa.Column("attempt", _INTEGER, nullable=False),
    sa.Column("folder", _TEXT, nullable=False),
    sa.Column("num_classes", _INTEGER),
    sa.Column("num_train", _INTEGER),
    sa.Column("num_validation", _INTEGER),
    sa.Column("num_test", _INTEGER),
    sa.Column("epochs", sa.Double, nullable=False),
    sa.Column("effective_batch_size", _INTEGER),
    sa.Column("best_step", _INTEGER),
    sa.Column("stopped_step", _INTEGER),
    sa.Column("trainable_parameters", _INTEGER),
    sa.Column("total_parameters", _INTEGER),
    sa.Column("train_seconds", sa.Double),
    sa.Column("train_samples_per_second", sa.Double),
    sa.Column("eval_samples_per_second", sa.Double),
    sa.Column("peak_memory_bytes", sa.Double),
    sa.Column("total_flops", sa.Double),
    sa.Column("device", _TEXT),
    sa.Column("dtype", _TEXT),
    sa.Column("base_mode", _TEXT),
    sa.Column("numerics", _TEXT),
    sa.Column("counts_json", _TEXT, nullable=False),
    sa.Column("hashes_json", _TEXT, nullable=False),
    sa.Column("costs_json", _TEXT, nullable=False),
    sa.Column("provenance_json", _TEXT, nullable=False),
    sa.Column("marks_json", _TEXT, nullable=False),
    sa.Column("label_names_json", _TEXT, nullable=False),
    sa.Column("ingested_at", _TEXT, nullable=False),
)
"""One row a done cell; `folder` is relative to the results folder, with forward slashes."""

metrics = sa.Table(
    "metrics",
    metadata,
    sa.Column("cell_id", _TEXT, sa.ForeignKey("cells.cell_id"), primary_key=True),
    sa.Column("split", _TEXT, primary_key=True),
    sa.Column("name", _TEXT, primary_key=True),
    sa.Column("label", _TEXT, primary_key=True),
    sa.Column("value", sa.Double),
    sa.Column("undefined", _TEXT),
    sa.CheckConstraint("(value IS NULL) <> (undefined IS NULL)", name="metrics_value_or_reason"),
    sa.CheckConstraint(
        f"value IS NULL OR (typeof(value) = 'real' AND abs(value) <= {_LARGEST_DOUBLE})", name="metrics_finite"
    ).ddl_if(dialect="sqlite"),
    # NaN is larger than all numbers there.
    sa.CheckConstraint(f"value IS NULL OR abs(value) <= {_LARGEST_DOUBLE}", name="metrics_finite").ddl_if(
        dialect="postgresql"
    ),
    sqlite_with_rowid=False,
)
"""Numbers of done cells: a finite value, or the reason why there is none; label is empty for whole splits."""

pins = sa.Table(
    "pins",
    metadata,
    sa.Column("name", _TEXT, primary_key=True),
    sa.Column("revision", _TEXT, nullable=False),
    sa.Column("pinned_at", _TEXT, nullable=False),
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
    server = find_server(layout)
    if server is not None:
        return _open_server(layout, server)
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


@contextmanager
def look(root: Path) -> Iterator[Connection]:
    """A look at a store in one transaction: all that is seen is of one moment, although a run may be writing.

    Args:
        root: a results folder.
    Yields:
        a connection that can only read.
    Raises:
        UserError: not a results folder, or the store has another schema version.
        EnvironmentProblem: the index is damaged.
    """
    engine = open_read_only(root)
    try:
        with explained(Layout(root).index), engine.connect() as connection, connection.begin():
            yield connection
    finally:
        engine.dispose()


def _open_server(layout: Layout, server: PostgresIndex) -> Engine:
    engine = server.reader()
    try:
        with explained_server():
            revision = read_revision(engine)
        if revision != REVISIONS[-1]:
            raise wrong_schema(layout.index_place, revision, REVISIONS)
    except BaseException:
        engine.dispose()
        raise
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
