"""An index in PostgreSQL: one schema a store, one session that may write, no password anywhere."""

import os
import sqlite3

import pytest
import sqlalchemy as sa

from grid.doctor import doctor
from grid.status import status
from grid.store import Store, peek, postgres
from grid.store.canonical import canonical_dump
from grid.store.export import export, read_table
from grid.store.ownership import current_holder
from grid.store.postgres import find_server
from grid.store.rebuild import rebuild
from jobs.errors import EnvironmentProblem, StoreBusy, UserError
from jobs.spec import FailureKind
from jobs.storage import results_path
from tests.grid.store.conftest import GRID, Bench
from tests.postgres_server import VARIABLE


@pytest.fixture
def bench(tmp_path, database):
    bench = Bench(tmp_path / "results", database)
    bench.begin()
    yield bench
    bench.store.close()


def connection_of(bench):
    return bench.store._books.engine


def test_its_content_equals_that_of_a_file(bench, tmp_path):
    local = Bench(tmp_path / "local")
    local.begin()
    for each in (bench, local):
        first, second, _ = each.cells
        each.finish(first)
        each.start(second)
        each.store.fail(second.cell_id, 1, 1, FailureKind.DIVERGED, "loss is nan")
        each.store.pin("model:a/b", "abc")
        each.store.finish_run(1)
        each.store.close()
    assert canonical_dump(bench.root) == canonical_dump(local.root)
    assert read_table(bench.root) == read_table(local.root)
    assert doctor(bench.root).is_healthy
    assert not (bench.root / "grid.db").exists()


def test_a_store_remembers_where_its_index_is(bench, tmp_path):
    bench.store.close()
    with Store.open(bench.root, grid=GRID) as store:
        assert store.claim("{}") == 2
    with Store.open(tmp_path / "other", grid="other", index=VARIABLE):
        schemas = {find_server(Bench(root).layout).schema for root in (bench.root, tmp_path / "other")}
    assert len(schemas) == 2


def test_an_index_does_not_move(bench, tmp_path, monkeypatch):
    bench.store.close()
    monkeypatch.setenv("ANOTHER", os.environ[VARIABLE])
    with pytest.raises(UserError, match=f"in the database that {VARIABLE} names"):
        Store.open(bench.root, grid=GRID, index="ANOTHER")
    Store.open(tmp_path / "file", grid=GRID).close()
    with pytest.raises(UserError, match=r"has its index in grid\.db"):
        Store.open(tmp_path / "file", grid=GRID, index=VARIABLE)


def test_without_the_variable_the_message_names_it(bench, monkeypatch):
    bench.store.close()
    monkeypatch.delenv(VARIABLE)
    monkeypatch.setattr(postgres, "_known", {})
    with pytest.raises(EnvironmentProblem, match=f"set {VARIABLE} to its URL"):
        peek(bench.root)


@pytest.mark.parametrize("url", ["mysql://u:hunter-two@h/d", "hunter-two", "postgresql://u:hunter-two@127.0.0.1:1/d"])
def test_no_message_shows_a_password(tmp_path, monkeypatch, url):
    monkeypatch.setenv("WRONG", url)
    with pytest.raises(EnvironmentProblem) as caught:
        Store.open(tmp_path / "a", grid=GRID, index="WRONG")
    assert "hunter" not in str(caught.value)
    with pytest.raises(UserError, match="takes the NAME of a variable") as refused:
        Store.open(tmp_path / "a", grid=GRID, index="postgresql://u:hunter-two@h/d")
    assert "hunter" not in str(refused.value)


def test_no_file_holds_the_url(bench):
    bench.finish(bench.cells[0])
    texts = [path.read_bytes() for path in bench.root.rglob("*") if path.is_file()]
    assert not [text for text in texts if b"a-password" in text or b"postgresql:" in text]


def test_a_second_driver_names_the_first(bench, tmp_path):
    with pytest.raises(StoreBusy, match=rf"process {os.getpid()} on .*, running since 20\d\d-"):
        Store.open(bench.root, grid=GRID)
    assert current_holder(bench.layout).pid == os.getpid()
    bench.store.close()
    assert current_holder(bench.layout) is None


def test_whoever_lost_its_session_writes_nothing_more(bench, database_server):
    """The server ended it, as when a network falls apart: another driver may have the store by now."""
    first, second, _ = bench.cells
    bench.finish(first)
    killer = sa.create_engine(database_server.replace("postgresql:", "postgresql+psycopg:"))
    with killer.connect() as connection:
        connection.execute(
            sa.text("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name LIKE :mine"),
            {"mine": f"finegrid process {os.getpid()}%"},
        )
    killer.dispose()
    for _ in range(2):
        with pytest.raises(EnvironmentProblem, match="the same command goes on"):
            bench.start(second)
    bench.store.close()
    bench.begin()
    assert bench.store.epoch == 2 and bench.state(first) == "done" and bench.state(second) == "pending"


def test_readers_see_one_moment_and_cannot_write(bench):
    from grid.store import schema

    engine = schema.open_read_only(bench.root)
    with engine.connect() as connection:
        assert connection.execute(sa.select(sa.func.count()).select_from(schema.results)).scalar() == 0
        bench.finish(bench.cells[0])
        assert connection.execute(sa.select(sa.func.count()).select_from(schema.results)).scalar() == 0
        with pytest.raises(sa.exc.DatabaseError, match="read-only"):
            connection.execute(sa.delete(schema.results))
    engine.dispose()
    assert status(bench.root).in_use_by.pid == os.getpid()


def test_a_copy_as_a_file(bench, tmp_path):
    bench.finish(bench.cells[0])
    copy = sqlite3.connect(export(bench.root, tmp_path / "copy.db"))
    assert copy.execute("SELECT count(*) FROM metrics").fetchone()[0] > 0
    assert copy.execute("SELECT state FROM cells ORDER BY position").fetchall() == [
        ("done",),
        ("pending",),
        ("pending",),
    ]
    copy.close()


def test_rebuilt_from_the_folders(bench):
    before = bench.finish(bench.cells[0])
    bench.store.pin("model:a/b", "abc")
    bench.store.close()
    dump = canonical_dump(bench.root)
    report = rebuild(bench.root)
    assert (report.num_results, report.num_other_cells) == (1, 2)
    assert canonical_dump(bench.root) == dump
    (before / "result.json").write_text("{}")
    assert len(rebuild(bench.root).quarantined) == 1
    bench.begin()
    assert bench.state(bench.cells[0]) == "pending" and bench.store.pins() == {"model:a/b": "abc"}


def test_results_at_a_url_and_the_index_in_a_database(url, database, monkeypatch, tmp_path):
    bench = Bench(results_path(url), database)
    bench.begin()
    bench.finish(bench.cells[0])
    bench.store.close()
    monkeypatch.setenv("FINEGRID_CACHE", str(tmp_path / "elsewhere"))
    again = Bench(results_path(url))
    again.begin()
    assert again.store.epoch == 2 and again.state(bench.cells[0]) == "done"
    assert str(bench.cells[0].cell_id) in canonical_dump(again.root)
    again.store.close()
    assert [key for key, _ in again.layout.mirror.objects.listed("index/")] == []
