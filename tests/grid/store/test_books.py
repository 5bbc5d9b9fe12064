"""Transactions: a full disk gives the ballast up once, a broken disk is never written again."""

import sqlite3

import pytest
import sqlalchemy as sa

from grid.store.connection import set_patience
from grid.store.problems import DiskBroken, StoreLocked, explain_sqlite, explained
from jobs.errors import DiskFull, EnvironmentProblem
from tests.jobs.samples import cell


def limit_pages(bench, extra):
    with bench.store._books.engine.connect() as connection:
        pages = connection.execute(sa.text("PRAGMA page_count")).scalar()
        connection.execute(sa.text(f"PRAGMA max_page_count = {pages + extra}"))


def test_a_full_disk_gives_the_ballast_up_and_the_write_succeeds(bench, monkeypatch):
    assert bench.layout.ballast.stat().st_size > 0
    drop = bench.store._books._ballast.drop

    def drop_and_make_room():
        limit_pages(bench, 10_000)
        return drop()

    limit_pages(bench, 0)
    monkeypatch.setattr(bench.store._books._ballast, "drop", drop_and_make_room)
    bench.store.declare([cell(number) for number in range(1, 500)])
    assert len(bench.store.states()) == 499
    assert "disk is full" in bench.store.disk_full
    assert not bench.layout.ballast.exists()


def test_without_ballast_the_disk_is_full(bench):
    bench.layout.ballast.unlink()
    limit_pages(bench, 0)
    with pytest.raises(DiskFull):
        bench.store.declare([cell(number) for number in range(1, 500)])
    assert len(bench.store.states()) == 3


def test_after_an_io_error_nothing_is_written_any_more(bench):
    calls = []

    def broken(connection):
        calls.append(1)
        error = sqlite3.OperationalError("disk I/O error")
        error.sqlite_errorcode = sqlite3.SQLITE_IOERR_FSYNC
        raise error

    for _ in range(2):
        with pytest.raises(DiskBroken, match="finegrid doctor"):
            bench.store._books.write(broken)
    assert len(calls) == 1
    with pytest.raises(DiskBroken):
        bench.store.pin("a:x", "1")
    assert bench.store.pins() == {}


def test_a_lock_is_waited_for_once(bench):
    set_patience(bench.store._books.engine, 0.2)
    other = sqlite3.connect(bench.layout.index, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(StoreLocked, match="locked by another program"):
        bench.store.pin("a:x", "1")
    with bench.store._books.engine.connect().execution_options(finegrid_reading=True) as connection:
        assert connection.execute(sa.text("PRAGMA busy_timeout")).scalar() == 1000
    other.execute("ROLLBACK")
    other.close()
    bench.store.pin("a:x", "1")


@pytest.mark.parametrize(
    ("detail", "code", "kind"),
    [
        ("database or disk is full", sqlite3.SQLITE_FULL, DiskFull),
        ("disk I/O error", sqlite3.SQLITE_IOERR_FSYNC, DiskBroken),
        ("disk I/O error", sqlite3.SQLITE_IOERR_WRITE, DiskBroken),
        ("database is locked", sqlite3.SQLITE_BUSY, StoreLocked),
        ("database disk image is malformed", sqlite3.SQLITE_CORRUPT, EnvironmentProblem),
    ],
)
def test_errors_of_sqlite_in_words(tmp_path, detail, code, kind):
    problem = explain_sqlite(tmp_path / "grid.db", detail, code)
    assert type(problem) is kind and str(tmp_path / "grid.db") in str(problem)
    assert explain_sqlite(tmp_path / "grid.db", "something else", 1) is None


def test_a_limit_of_file_size_is_a_full_disk(tmp_path, monkeypatch):
    monkeypatch.setattr("resource.getrlimit", lambda which: (1000, 1000))
    problem = explain_sqlite(tmp_path / "grid.db", "disk I/O error", sqlite3.SQLITE_IOERR_WRITE)
    assert isinstance(problem, DiskFull)


def test_other_errors_of_sqlite_name_the_file(tmp_path):
    with (
        pytest.raises(EnvironmentProblem, match=r"cannot write .*grid\.db: unable to open"),
        explained(tmp_path / "grid.db"),
    ):
        raise sqlite3.OperationalError("unable to open database file")
