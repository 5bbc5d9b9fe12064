"""Opening: an index without its log is refused, and one that was killed while it was made is made again."""

import pytest

from grid.store import Store, schema
from jobs.errors import EnvironmentProblem
from tests.grid.store.conftest import GRID


def test_without_its_log_an_index_is_refused_by_writer_and_reader(bench):
    bench.store.close()
    bench.layout.index.with_name("grid.db-shm").write_bytes(b"\0" * 32768)
    before = bench.layout.index.read_bytes()
    for use in (lambda: Store.open(bench.root, grid=GRID), lambda: schema.open_read_only(bench.root)):
        with pytest.raises(EnvironmentProblem, match=r"its log grid\.db-wal is gone.*--rebuild"):
            use()
    assert bench.layout.index.read_bytes() == before


def test_an_index_that_a_reader_saw_last_is_sound(bench):
    bench.finish(bench.cells[0])
    bench.store.close()
    engine = schema.open_read_only(bench.root)
    engine.dispose()
    bench.begin()
    assert bench.state(bench.cells[0]) == "done"


def test_a_store_that_cannot_be_opened_is_free_afterwards(bench):
    bench.store.close()
    bench.layout.index.write_bytes(b"x" * 8192)
    for _ in range(2):
        with pytest.raises(EnvironmentProblem, match="damaged"):
            Store.open(bench.root, grid=GRID)
