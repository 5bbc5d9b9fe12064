"""What the database itself guarantees: refused values, synced commits, a full disk, a damaged file."""

import pytest
import sqlalchemy as sa

from grid.store import Store
from jobs.errors import EnvironmentProblem
from tests.grid.store.conftest import BOTH, GRID, index_on, only_sqlite
from tests.jobs.samples import cell


@pytest.fixture(params=BOTH)
def index(request):
    """Every test of this file holds for both kinds of index."""
    return index_on(request)


def refused(bench, text, **values):
    """Whether the database refuses a statement, whatever its dialect calls that."""
    with bench.store._books.engine.connect() as connection, connection.begin() as transaction:
        try:
            connection.execute(sa.text(text), values)
        except sa.exc.DatabaseError:
            return True
        finally:
            transaction.rollback()
    return False


def test_a_metric_is_a_finite_number_or_a_reason(bench):
    bench.finish(bench.cells[0])
    insert = "INSERT INTO metrics VALUES (:id, 'test', 'x', '', :value, :undefined)"
    wrong = [(None, None), (0.5, "why"), *((float(text), None) for text in ("inf", "-inf", "nan")), ("text", None)]
    for value, undefined in wrong:
        assert refused(bench, insert, id=bench.cells[0].cell_id, value=value, undefined=undefined)
    assert not refused(bench, insert, id=bench.cells[0].cell_id, value=0.5, undefined=None)


def test_states_and_kinds_are_checked_by_the_database(bench):
    for change in ("state = 'finished'", "state = 'failed'", "kind = 'bug'", "retired = 2"):
        assert refused(bench, f"UPDATE cells SET {change}")
    assert not refused(bench, "UPDATE cells SET state = 'running'")


@only_sqlite
def test_commits_are_synced_and_readers_do_not_wait(bench):
    with bench.store._books.engine.connect() as connection:
        pragmas = {
            name: connection.execute(sa.text(f"PRAGMA {name}")).scalar()
            for name in ("journal_mode", "synchronous", "foreign_keys", "busy_timeout")
        }
    assert pragmas == {"journal_mode": "wal", "synchronous": 2, "foreign_keys": 1, "busy_timeout": 30000}


@only_sqlite
def test_no_wal_on_a_network_file_system(bench, monkeypatch, caplog):
    bench.store.close()
    monkeypatch.setattr("grid.store.connection.is_remote", lambda path: True)
    bench.begin()
    with bench.store._books.engine.connect() as connection:
        assert connection.execute(sa.text("PRAGMA journal_mode")).scalar() == "delete"
    assert "rollback journal" in caplog.text
    bench.finish(bench.cells[0])


@only_sqlite
def test_a_full_disk_is_an_environment_problem_and_loses_nothing(bench):
    bench.finish(bench.cells[0])
    with bench.store._books.engine.connect() as connection:
        pages = connection.execute(sa.text("PRAGMA page_count")).scalar()
        connection.execute(sa.text(f"PRAGMA max_page_count = {pages}"))
    with pytest.raises(EnvironmentProblem, match=r"grid\.db: database or disk is full; free space"):
        bench.store.declare([cell(number) for number in range(1, 500)])
    assert "disk is full" in bench.store.disk_full
    assert not bench.layout.ballast.exists()
    with bench.store._books.engine.connect() as connection:
        connection.execute(sa.text("PRAGMA max_page_count = 1000000"))
    assert len(bench.store.states()) == 3
    bench.finish(bench.cells[1])


@only_sqlite
def test_a_damaged_index_stops_the_claim_before_any_write(bench):
    bench.store.declare([cell(number) for number in range(1, 200)])
    bench.store.close()
    data = bytearray(bench.layout.index.read_bytes())
    for start in range(8192, len(data), 4096):
        data[start : start + 512] = b"\xa5" * 512
    bench.layout.index.write_bytes(data)
    with pytest.raises(EnvironmentProblem, match=r"damaged.*--rebuild"), Store.open(bench.root, grid=GRID) as store:
        store.claim("{}")
    assert bench.layout.index.read_bytes() == data
