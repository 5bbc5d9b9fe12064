"""The store's life: opened, claimed, declared, pinned, used from several threads, copied."""

import os
import shutil
import threading

import pytest

from grid.pack_hours import pack_hours
from grid.store import CellRow, Store, peek, schema
from jobs.errors import BugError, EnvironmentProblem, StoreBusy, UserError
from jobs.spec import CellState, FailureKind, PackedCell, dumps
from jobs.storage import Layout, publish
from tests.grid.store.conftest import BOTH, GRID, index_on, query
from tests.jobs.samples import cell, result


@pytest.fixture(params=BOTH)
def index(request):
    """Every test of this file holds for both kinds of index."""
    return index_on(request)


# --- opening and claiming


def test_a_new_store_is_one_file_after_closing(tmp_path):
    store = Store.open(tmp_path / "a" / "b", grid=GRID)
    assert store.claim('{"name": "sample"}') == 1
    store.finish_run(0)
    store.close()
    names = {path.name for path in (tmp_path / "a" / "b").iterdir()}
    assert names == {"grid.db", "lock", "tmp"}
    assert query(tmp_path / "a" / "b", "SELECT epoch, config_json, exit_code FROM runs") == [
        (1, '{"name": "sample"}', 0)
    ]


def test_another_grid_is_refused_and_both_are_named(bench):
    bench.store.close()
    with pytest.raises(UserError, match=r"'sample'.*'other'"):
        Store.open(bench.root, grid="other")


def test_results_without_index_belong_to_their_grid(tmp_path):
    publish(Layout(tmp_path), result(), {})
    with pytest.raises(UserError, match=r"'sample'.*'other'"):
        Store.open(tmp_path, grid="other")
    assert not (tmp_path / "grid.db").exists()


def test_a_file_is_no_results_folder(tmp_path):
    (tmp_path / "file").write_text("x")
    with pytest.raises(UserError, match="is a file"):
        Store.open(tmp_path / "file", grid=GRID)


def test_strange_things_in_the_folder_do_no_harm(tmp_path):
    (tmp_path / "thesis.docx").write_text("x")
    Store.open(tmp_path, grid=GRID).close()
    assert (tmp_path / "thesis.docx").exists()


@pytest.mark.parametrize("content", [b"", b"not a database at all" * 100])
def test_a_file_that_is_no_index_is_refused_and_kept(tmp_path, content):
    (tmp_path / "grid.db").write_bytes(content)
    with pytest.raises(EnvironmentProblem, match=r"damaged.*doctor .* --rebuild"):
        Store.open(tmp_path, grid=GRID)
    assert (tmp_path / "grid.db").read_bytes() == content


def test_a_second_driver_is_refused_and_the_holder_named(bench):
    with pytest.raises(StoreBusy, match=rf"process {os.getpid()} on .* since 20\d\d-"):
        Store.open(bench.root, grid=GRID)
    assert bench.state(bench.cells[0]) == "pending"


def test_every_claim_is_a_new_epoch(bench):
    for epoch in (2, 3):
        bench.store.close()
        bench.begin()
        assert bench.store.epoch == epoch


def test_the_epoch_is_larger_than_that_of_any_folder(bench):
    bench.publish(bench.cells[0], 7, 1)
    bench.store.close()
    bench.begin()
    assert bench.store.epoch == 8


def test_writing_needs_a_claim(bench):
    bench.store.close()
    store = Store.open(bench.root, grid=GRID)
    for write in (
        lambda: store.declare([]),
        lambda: store.pin("model:a/b", "1"),
        lambda: store.start([], "p", "l"),
        lambda: store.fail(cell(1).cell_id, 1, 1, FailureKind.BUG, "x"),
        store.ingest_all,
        lambda: store.finish_run(0),
        lambda: store.next_attempt(cell(1).cell_id),
    ):
        with pytest.raises(BugError, match="claim"):
            write()
    store.close()


def test_closing_twice_is_fine(bench):
    bench.store.close()
    bench.store.close()


def test_a_forked_child_may_not_use_the_store(bench):
    pid = os.fork()
    if pid == 0:
        try:
            bench.store.states()
        except BugError as error:
            os._exit(3 if "process" in str(error) else 4)
        finally:
            os._exit(5)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 3


def test_peek_reads_without_making_anything(tmp_path, bench):
    assert peek(tmp_path / "none") == ({}, {})
    assert not (tmp_path / "none").exists()
    bench.store.pin("model:a/b", "abc")
    states, pins = peek(bench.root)
    assert list(states) == [spec.cell_id for spec in bench.cells]
    assert pins == {"model:a/b": "abc"}


# --- declaring


def test_declared_cells_are_pending_and_in_order(bench):
    bench.store.declare(list(reversed(bench.cells)))
    rows = list(bench.store.states().values())
    assert [row.cell_id[-1] for row in rows] == ["3", "2", "1"]
    assert rows[0] == CellRow(
        cell_id=cell(3).cell_id,
        state=CellState.PENDING,
        kind=None,
        reason=None,
        epoch=0,
        attempt=0,
        log=None,
        retired=False,
        title=cell(3).title,
    )


def test_what_is_no_longer_declared_retires_and_comes_back(bench):
    bench.finish(bench.cells[0])
    bench.store.declare(bench.cells[1:])
    assert bench.store.states()[bench.cells[0].cell_id].retired
    assert bench.state(bench.cells[0]) == "done"
    bench.store.declare(bench.cells)
    assert not any(row.retired for row in bench.store.states().values())
    assert bench.state(bench.cells[0]) == "done"


def test_a_declaration_refreshes_names_and_axes_but_no_state(bench):
    bench.finish(bench.cells[0])
    bench.store.declare([cell(1, axes={"rank": 8}, variant="b"), *bench.cells[1:]])
    found = query(bench.root, "SELECT axes_json, variant, state FROM cells ORDER BY position LIMIT 1")
    assert found == [('{"rank": 8}', "b", "done")]


def test_a_cell_twice_or_of_another_grid_is_a_bug(bench):
    for wrong in ([cell(1), cell(1)], [cell(1, grid="other")]):
        with pytest.raises(BugError, match="declaration"):
            bench.store.declare(wrong)
    assert len(bench.store.states()) == 3


def test_the_stored_spec_is_the_canonical_text(bench):
    assert query(bench.root, "SELECT spec_json FROM cells ORDER BY position") == [(dumps(s),) for s in bench.cells]


def test_sql_in_names_is_only_text(bench):
    evil = "x'); DROP TABLE runs;--"
    bench.store.declare([cell(9, variant=evil, axes={evil: evil})])
    assert query(bench.root, "SELECT variant FROM cells WHERE NOT retired") == [(evil,)]
    assert query(bench.root, "SELECT count(*) FROM runs") == [(1,)]


# --- pins, threads, copies


def test_a_pin_is_for_ever(bench):
    bench.store.pin("model:a/b", "abc")
    bench.store.pin("model:a/b", "abc")
    with pytest.raises(BugError, match="pinned to abc"):
        bench.store.pin("model:a/b", "def")
    assert bench.store.pins() == {"model:a/b": "abc"}


def test_methods_may_be_called_from_several_threads(bench):
    specs = [cell(number) for number in range(10, 30)]
    bench.store.declare(specs)
    folders = [bench.publish(spec, *bench.start(spec)) for spec in specs]
    failures = []

    def work(part):
        try:
            for folder in part:
                bench.store.ingest(folder)
                bench.store.states()
        except Exception as error:
            failures.append(error)

    threads = [threading.Thread(target=work, args=(folders[start::4],)) for start in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=60)
    assert not failures
    assert query(bench.root, "SELECT count(*) FROM results") == [(20,)]


def test_a_copy_of_a_closed_store_is_complete(bench, tmp_path):
    bench.finish(bench.cells[0])
    bench.store.close()
    shutil.copytree(bench.root, tmp_path / "copy")
    assert query(tmp_path / "copy", "SELECT count(*) FROM results") == [(1,)]


def test_the_time_between_a_kill_and_the_next_run_is_nobodys(bench, monkeypatch):
    """Hours of devices, and what packs teach about costs, are counted from these ends."""
    clock = {"now": "2026-01-01T08:00:00.000+00:00"}
    for module in ("store", "attempts", "ingest"):
        monkeypatch.setattr(f"grid.store.{module}.utc_now", lambda: clock["now"])
    one, two, three = bench.cells
    packed = [PackedCell(cell=spec, epoch=1, attempt=1) for spec in (one, two, three)]
    bench.store.start(packed, "pack-1", str(bench.layout.pack_log(1, "pack-1")))
    clock["now"] = "2026-01-01T09:00:00.000+00:00"
    bench.store.ingest(bench.publish(one, 1, 1))
    bench.publish(two, 1, 1)  # its trial told nobody
    bench.store.close()
    clock["now"] = "2026-01-05T08:00:00.000+00:00"
    bench.begin()
    bench.store.ingest_all()
    bench.start(three)
    clock["now"] = "2026-01-05T08:30:00.000+00:00"
    bench.store.ingest(bench.publish(three, 2, 1))
    ends = query(bench.root, "SELECT cell_id, epoch, ended_at FROM attempts ORDER BY cell_id, epoch")
    assert [(cell_id[-1], epoch, ended[8:16]) for cell_id, epoch, ended in ends] == [
        ("1", 1, "01T09:00"), ("2", 1, "01T09:00"), ("3", 1, "01T09:00"), ("3", 2, "05T08:30")
    ]  # fmt: skip
    engine = schema.open_read_only(bench.root)
    with engine.connect() as connection:
        assert pack_hours(connection, is_running=False) == pytest.approx(1.5)
    engine.dispose()
