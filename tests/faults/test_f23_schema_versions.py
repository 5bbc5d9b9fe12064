"""F23: an index of another FineGrid: an older one is copied and brought up to date, a newer one refused by version."""

from __future__ import annotations

import shutil
import sqlite3
import sys
from pathlib import Path

import pytest

from grid.store.migrate import MIGRATIONS
from grid.store.schema import REVISIONS
from tests.faults.conftest import CleanDump
from tests.faults.harness import Grid, Running

pytestmark = pytest.mark.faults

MIGRATION = f"""
import sqlalchemy as sa
from alembic import op
revision, down_revision, branch_labels, depends_on = "9999", "{REVISIONS[-1]}", None, None
def upgrade():
    op.create_table("extra", sa.Column("a", sa.Integer))
"""
NEXT_FINEGRID = """
import runpy, sys
from pathlib import Path
import grid.store.migrate as migrate, grid.store.schema as schema
migrate.MIGRATIONS, schema.REVISIONS = Path(sys.argv.pop(1)), (*schema.REVISIONS, "9999")
runpy.run_module("tests.faults.driver", run_name="__main__")
"""


def test_f23_an_older_index_is_copied_and_migrated_then_too_new_for_the_older_program(
    toy: Grid, clean_dump: CleanDump, tmp_path: Path
) -> None:
    toy.run("--set", "axes.seed=[0]")
    migrations = tmp_path / "migrations"
    shutil.copytree(MIGRATIONS, migrations, ignore=shutil.ignore_patterns("__pycache__"))
    (migrations / "versions" / "9999_next.py").write_text(MIGRATION)
    command = [sys.executable, "-c", NEXT_FINEGRID, str(migrations), "run", str(toy.config)]
    command += ["--results", str(toy.folder), "--local"]
    refused = Running([*command, "--dry-run"], toy.environment(), tmp_path / "output").wait()
    assert refused.returncode == 2 and "an older FineGrid wrote it" in refused.stderr, refused.stderr
    _migrate_through_the_store(toy, migrations)
    [backup] = toy.folder.glob(f"grid.db.{REVISIONS[-1]}.*.backup")
    assert _revision(backup) == REVISIONS[-1] and _revision(toy.layout.index) == "9999"
    before = toy.layout.index.read_bytes()
    newer = toy.run()
    assert newer.returncode == 2, newer.stderr
    assert f"has schema 9999, this FineGrid uses {REVISIONS[-1]}: a newer FineGrid wrote it" in newer.stderr
    assert toy.layout.index.read_bytes() == before
    backup.replace(toy.layout.index)
    toy.run_until_done(1)
    assert toy.dump() == clean_dump(toy)


def _migrate_through_the_store(toy: Grid, migrations: Path) -> None:
    script = NEXT_FINEGRID.partition("runpy.run_module")[0]
    script += "from grid.store import Store\nstore = Store.open(Path(sys.argv[1]), grid='toy')\n"
    script += "store.claim('{}')\nstore.close()\n"
    command = [sys.executable, "-c", script, str(migrations), str(toy.folder)]
    finished = Running(command, toy.environment(), toy.folder.parent / "output").wait()
    assert finished.returncode == 0, finished.stderr


def _revision(index: Path) -> str:
    connection = sqlite3.connect(index)
    try:
        return str(connection.execute("SELECT version_num FROM alembic_version").fetchone()[0])
    finally:
        connection.close()
