"""Make new indexes and bring old ones up to date, through alembic's migrations."""

from __future__ import annotations

import shutil
from datetime import UTC, datetime
from pathlib import Path

import sqlalchemy as sa
from sqlalchemy.engine import Engine

from grid.store import schema
from grid.store.connection import open_writer, raw_cursor, reading
from grid.store.problems import explained, wrong_schema
from jobs.durable import disk_problem, sync_folder
from jobs.failpoints import failpoint
from jobs.temporary import new_temporary

MIGRATIONS = Path(__file__).with_name("migrations")


def create_index(index: Path, *, grid: str) -> None:
    """Make a new, empty index that appears whole or not at all.

    Args:
        index: the file to make; its folder must exist.
        grid: the name this store belongs to.

    Raises:
        EnvironmentProblem: the disk refused.
    """
    try:
        folder = new_temporary(index.parent / "tmp")
    except OSError as error:
        raise disk_problem(index, error) from error
    try:
        path = folder / index.name
        write_new_index(path, grid=grid)
        failpoint("index.before_rename")
        path.replace(index)
        sync_folder(index.parent)
    except OSError as error:
        raise disk_problem(index, error) from error
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def write_new_index(path: Path, *, grid: str) -> None:
    """Write an empty index of the newest schema to a new file."""
    engine = open_writer(path)
    try:
        with explained(path):
            fill_new_index(engine, grid=grid)
    finally:
        engine.dispose()


def fill_new_index(engine: Engine, *, grid: str) -> None:
    """Make the tables of the newest schema in an empty index, and say whose it is."""
    upgrade(engine)
    with engine.begin() as connection:
        now = datetime.now(UTC).isoformat(timespec="seconds")
        values = [{"key": "grid", "value": grid}, {"key": "created_at", "value": now}]
        connection.execute(sa.insert(schema.meta), values)


def bring_up_to_date(engine: Engine, path: Path) -> Path | None:
    """Migrate an older index after saving a copy of it.

    Args:
        engine: writer of the index.
        path: the index.

    Returns:
        the copy; None when nothing had to be done, or the index is a server's.

    Raises:
        UserError: a newer FineGrid wrote the index.
        EnvironmentProblem: it is damaged, or the disk refused.
    """
    with explained(path):
        revision = schema.read_revision(reading(engine))
        if revision == schema.REVISIONS[-1]:
            return None
        if revision not in schema.REVISIONS:
            raise wrong_schema(path, revision, schema.REVISIONS)
        # A server changes its tables in one transaction, and has backups of its own.
        backup = backup_index(engine, path, label=revision) if engine.dialect.name == "sqlite" else None
        failpoint("index.before_migration")
        upgrade(engine)
        return backup


def backup_index(engine: Engine, path: Path, *, label: str) -> Path:
    """Copy a live index through SQLite's backup interface; a plain copy would miss committed rows."""
    copy = path.with_name(f"{path.name}.{label}.{datetime.now(UTC):%Y%m%dT%H%M%S%f}.backup")
    with raw_cursor(engine) as cursor:
        cursor.execute("VACUUM INTO ?", (str(copy),))
    return copy


def upgrade(engine: Engine) -> None:
    """Run every migration that the index lacks, in one transaction."""
    # alembic takes a third of a second to import and is needed only for new and old indexes.
    from alembic import command
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    with engine.begin() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, "head")
