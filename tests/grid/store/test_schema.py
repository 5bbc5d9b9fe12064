"""Tables and migrations agree; reading works beside a driver, on read-only media and after a crash."""

import os
import shutil
import signal
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest
import sqlalchemy as sa

from grid.store import Store, migrate, schema
from grid.store.migrate import write_new_index
from jobs.errors import EnvironmentProblem, StoreBusy, UserError
from tests.grid.store.conftest import GRID

ASSETS = Path(__file__).with_name("assets")


def tables(connection):
    rows = connection.execute("SELECT name, sql FROM sqlite_master WHERE name NOT LIKE 'alembic%' AND sql IS NOT NULL")
    return {name: "".join(sql.split()) for name, sql in rows}


def count(engine, table="cells"):
    with engine.connect() as connection:
        return connection.execute(sa.text(f"SELECT count(*) FROM {table}")).scalar()


def as_read_only(monkeypatch):
    """SQLite as on read-only media: side files cannot be made there. (Root ignores file modes.)"""
    real = sqlite3.connect

    def connect(database, *args, **kwargs):
        if "mode=ro" in str(database) and "immutable" not in str(database):
            error = sqlite3.OperationalError("unable to open database file")
            error.sqlite_errorcode = sqlite3.SQLITE_CANTOPEN
            raise error
        return real(database, *args, **kwargs)

    monkeypatch.setattr(schema.sqlite3, "connect", connect)


def test_migrations_make_exactly_the_declared_tables(tmp_path):
    write_new_index(tmp_path / "migrated.db", grid=GRID)
    engine = sa.create_engine(f"sqlite:///{tmp_path / 'declared.db'}")
    schema.metadata.create_all(engine)
    engine.dispose()
    found = []
    for name in ("migrated.db", "declared.db"):
        connection = sqlite3.connect(tmp_path / name)
        found.append(tables(connection))
        connection.close()
    assert found[0] == found[1]
    assert set(found[0]) == set(schema.metadata.tables)


def test_the_list_of_revisions_is_that_of_the_migrations():
    from alembic.config import Config
    from alembic.script import ScriptDirectory

    config = Config()
    config.set_main_option("script_location", str(migrate.MIGRATIONS))
    history = [script.revision for script in ScriptDirectory.from_config(config).walk_revisions()]
    assert tuple(reversed(history)) == schema.REVISIONS


def test_every_schema_but_the_newest_has_a_stored_example():
    """The newest one too: it is the example for the version after it."""
    assert sorted(path.stem for path in ASSETS.glob("*.sql")) == sorted(schema.REVISIONS)


@pytest.mark.parametrize("revision", schema.REVISIONS)
def test_stores_of_every_schema_open_and_go_on(tmp_path, revision):
    connection = sqlite3.connect(tmp_path / "grid.db")
    connection.executescript((ASSETS / f"{revision}.sql").read_text("utf-8"))
    connection.close()
    with Store.open(tmp_path, grid=GRID) as store:
        assert [str(row.state) for row in store.states().values()] == ["done", "failed", "pending"]
        assert store.claim("{}") == 2
    engine = schema.open_read_only(tmp_path)
    assert count(engine, "metrics") == 5
    engine.dispose()


SECOND_MIGRATION = """
import sqlalchemy as sa
from alembic import op
revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None
def upgrade():
    op.create_table("extra", sa.Column("a", sa.Integer))
"""


@pytest.fixture
def next_version(tmp_path, monkeypatch):
    """A FineGrid with one more migration; its file."""
    folder = tmp_path / "migrations"
    shutil.copytree(migrate.MIGRATIONS, folder, ignore=shutil.ignore_patterns("__pycache__"))
    path = folder / "versions" / "0002_test.py"
    path.write_text(SECOND_MIGRATION)
    monkeypatch.setattr(migrate, "MIGRATIONS", folder)
    monkeypatch.setattr(schema, "REVISIONS", ("0001", "0002"))
    return path


def stored_revision(index):
    connection = sqlite3.connect(index)
    try:
        return connection.execute("SELECT version_num FROM alembic_version").fetchone()[0]
    finally:
        connection.close()


def test_an_older_store_is_copied_then_migrated(bench, next_version):
    bench.store.close()
    with pytest.raises(UserError, match=r"schema 0001, this FineGrid uses 0002.*finegrid run"):
        schema.open_read_only(bench.root)
    bench.begin()
    assert count(bench.store._books.engine, "extra") == 0
    assert len(bench.store.states()) == 3
    [backup] = bench.root.glob("grid.db.0001.*.backup")
    assert stored_revision(backup) == "0001"
    connection = sqlite3.connect(backup)
    assert connection.execute("SELECT count(*) FROM cells").fetchone() == (3,)
    connection.close()


def test_a_migration_that_fails_changes_nothing(bench, next_version):
    bench.store.close()
    next_version.write_text(SECOND_MIGRATION + "    raise RuntimeError('half way')\n")
    with pytest.raises(RuntimeError, match="half way"):
        Store.open(bench.root, grid=GRID)
    assert stored_revision(bench.layout.index) == "0001"
    connection = sqlite3.connect(bench.layout.index)
    assert "extra" not in tables(connection)
    connection.close()


def test_killed_before_a_migration_the_next_run_migrates(bench, next_version):
    bench.store.close()
    pid = os.fork()
    if pid == 0:
        os.environ |= {"FINEGRID_FAILPOINTS": "1", "GRID_FAILPOINT": "index.before_migration"}
        try:
            Store.open(bench.root, grid=GRID)
        finally:
            os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == -signal.SIGKILL
    assert stored_revision(bench.layout.index) == "0001"
    bench.begin()
    assert count(bench.store._books.engine, "extra") == 0


def test_an_older_store_in_use_is_not_migrated(bench, next_version):
    with pytest.raises(StoreBusy):
        Store.open(bench.root, grid=GRID)
    assert stored_revision(bench.layout.index) == "0001"


def test_a_newer_store_is_refused_and_both_versions_are_named(bench):
    bench.store.close()
    connection = sqlite3.connect(bench.layout.index)
    connection.execute("UPDATE alembic_version SET version_num = '0042'")
    connection.commit()
    connection.close()
    before = bench.layout.index.read_bytes()
    for use in (lambda: Store.open(bench.root, grid=GRID), lambda: schema.open_read_only(bench.root)):
        with pytest.raises(UserError, match=r"schema 0042, this FineGrid uses 0001: a newer FineGrid"):
            use()
    assert bench.layout.index.read_bytes() == before


def test_no_store_is_a_user_error(tmp_path):
    with pytest.raises(UserError, match="no such folder"):
        schema.open_read_only(tmp_path / "none")
    with pytest.raises(UserError, match=r"no grid\.db"):
        schema.open_read_only(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_readers_see_a_running_drivers_commits_and_cannot_write(bench):
    engine = schema.open_read_only(bench.root)
    bench.finish(bench.cells[0])
    assert count(engine, "results") == 1
    with pytest.raises(sa.exc.OperationalError, match="readonly"), engine.begin() as connection:
        connection.execute(sa.text("DELETE FROM cells"))
    engine.dispose()


def test_a_closed_store_opens_on_read_only_media(bench, monkeypatch):
    bench.finish(bench.cells[0])
    bench.store.close()
    as_read_only(monkeypatch)
    engine = schema.open_read_only(bench.root)
    assert count(engine, "results") == 1
    engine.dispose()


def test_after_a_crash_committed_rows_are_seen_on_read_only_media(bench, tmp_path, monkeypatch):
    bench.finish(bench.cells[0])
    crashed = tmp_path / "crashed"
    crashed.mkdir()
    for name in ("grid.db", "grid.db-wal"):
        shutil.copy2(bench.root / name, crashed / name)
    as_read_only(monkeypatch)
    engine = schema.open_read_only(crashed)
    assert count(engine, "results") == 1
    assert count(engine, "results") == 1
    with pytest.raises(sa.exc.OperationalError, match="readonly"), engine.begin() as connection:
        connection.execute(sa.text("DELETE FROM cells"))
    engine.dispose()
    assert {path.name for path in crashed.iterdir()} == {"grid.db", "grid.db-wal"}


@pytest.mark.skipif(os.geteuid() != 0, reason="mounting needs root")
def test_a_real_read_only_mount(bench, tmp_path):
    bench.finish(bench.cells[0])
    bench.store.close()
    script = (
        f"set -e; mount --bind {bench.root} {bench.root}; mount -o remount,ro,bind {bench.root}; "
        f"! touch {bench.root}/x 2>/dev/null; exec {sys.executable} -c '"
        f'from pathlib import Path; from grid.store import peek; print(len(peek(Path("{bench.root}"))[0]))\''
    )
    command = ["unshare", "-m", "sh", "-c", script]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    if "unshare" in ended.stderr or "mount" in ended.stderr:
        pytest.skip(f"mounts are not allowed here: {ended.stderr.strip()}")
    assert ended.stdout == "3\n", ended.stderr


@pytest.mark.parametrize("content", [b"", b"x" * 5000])
def test_damage_is_named(tmp_path, content):
    (tmp_path / "grid.db").write_bytes(content)
    with pytest.raises(EnvironmentProblem, match="damaged"):
        schema.open_read_only(tmp_path)


def test_importing_the_store_is_light():
    code = (
        "import sys, grid.store, grid.status, grid.cell_logs, grid.progress; "
        "heavy = {'torch', 'pandas', 'numpy', 'pyarrow', 'alembic', 'ray', 'pydantic', 'transformers'}; "
        "print(sorted(heavy & set(sys.modules)))"
    )
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert ended.stdout == "[]\n"
