"""Opening: an index without its log is refused, and one that was killed while it was made is made again."""

import os
import shutil

import pytest

from grid.doctor import doctor
from grid.status import status
from grid.store import Store, schema
from grid.store.backup import copy_index
from grid.store.canonical import canonical_dump
from jobs.errors import EnvironmentProblem, UserError
from tests.grid.store.conftest import GRID, Bench, as_network


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


HOSTILE = [
    "a b's",
    'quo"te',
    "100%41",
    "a#b?c=d&mode=memory",
    "file:x",
    ":memory:",
    "e\u0301\u00e9",
    "new\nline",
    "[x]{y}*",
    "-rf",
    "\udcff\udcfe",
    "x" * 200,
]


@pytest.mark.parametrize("is_network", [False, True])
@pytest.mark.parametrize("name", HOSTILE)
def test_a_results_folder_may_have_any_name(tmp_path, monkeypatch, name, is_network):
    """SQLite reads names of files as URLs; here they never mean anything but themselves."""
    folder = as_network(tmp_path, monkeypatch.setenv)[0] if is_network else tmp_path
    bench = Bench(folder / name / "results")
    bench.begin()
    bench.finish(bench.cells[0])
    assert status(bench.root).unfinished
    copy_index(bench.root, bench.root / "copy.db")
    bench.store.finish_run(0)
    bench.store.close()
    before = canonical_dump(bench.root)
    assert doctor(bench.root, rebuild_index=True).is_healthy
    if is_network:
        shutil.rmtree(tmp_path / "cache")
    bench.begin()
    assert bench.store.epoch == 2
    bench.store.close()
    assert canonical_dump(bench.root) == before


def test_a_path_that_sqlite_cannot_open_is_named(tmp_path):
    """Its own message would blame the disk; and a copy that cannot be read would count as none."""
    folder = tmp_path
    while len(os.fsencode(folder)) <= 400:
        folder /= "x" * 100
    with pytest.raises(UserError, match="at most 400 bytes"):
        Store.open(folder, grid=GRID)
    assert not (tmp_path / ("x" * 100)).exists()
    longest = tmp_path / ("x" * 200) / ("y" * (400 - 202 - len(os.fsencode(tmp_path))))
    bench = Bench(longest)
    bench.begin()
    bench.finish(bench.cells[0])
    bench.store.close()
