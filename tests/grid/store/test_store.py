"""The store's life: claim, declare, hand out, ingest with fencing, fail, resume, migrate."""

import os
import shutil
import threading

import pytest
import sqlalchemy as sa

from grid.pack_hours import pack_hours
from grid.store import CellRow, Store, peek, schema
from grid.store.states import IllegalStep
from jobs.errors import BugError, EnvironmentProblem, StoreBusy, UserError
from jobs.spec import CellState, FailureKind, PackedCell, dumps
from jobs.storage import DamagedResult, Layout, publish
from tests.grid.store.conftest import BOTH, GRID, index_on, only_sqlite
from tests.jobs.samples import cell, result


@pytest.fixture(params=BOTH)
def index(request):
    """Every test of this file holds for both kinds of index."""
    return index_on(request)


def query(root, text):
    engine = schema.open_read_only(root)
    try:
        with engine.connect() as connection:
            return [tuple(row) for row in connection.execute(sa.text(text))]
    finally:
        engine.dispose()


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


# --- handing out and taking back


def test_attempts_count_within_the_epoch(bench):
    spec = bench.cells[0]
    assert bench.start(spec) == (1, 1)
    bench.store.fail(spec.cell_id, 1, 1, FailureKind.TRANSIENT, "worker died")
    assert bench.start(spec) == (1, 2)
    bench.store.close()
    bench.begin()
    assert bench.start(spec) == (2, 1)
    found = query(bench.root, "SELECT epoch, attempt, state, kind, pack_id, log FROM attempts ORDER BY 1, 2")
    assert found == [
        (1, 1, "failed", "transient", "pack-1", "logs/1-pack-1.jsonl"),
        (1, 2, "interrupted", None, "pack-1", "logs/1-pack-1.jsonl"),
        (2, 1, "running", None, "pack-1", "logs/2-pack-1.jsonl"),
    ]


def test_a_failure_has_kind_reason_and_log_and_stays_on_one_line(bench):
    spec = bench.cells[0]
    bench.start(spec)
    bench.store.fail(spec.cell_id, 1, 1, FailureKind.DIVERGED, "loss is nan\n2025 done\x1b[2J", "logs/1-pack-1.jsonl")
    row = bench.store.states()[spec.cell_id]
    assert (row.state, row.kind, row.log) == (CellState.FAILED, FailureKind.DIVERGED, "logs/1-pack-1.jsonl")
    assert row.reason == "loss is nan 2025 done [2J"


def test_starting_again_clears_the_failure(bench):
    spec = bench.cells[0]
    bench.start(spec)
    bench.store.fail(spec.cell_id, 1, 1, FailureKind.TRANSIENT, "worker died")
    bench.start(spec)
    row = bench.store.states()[spec.cell_id]
    assert (row.state, row.kind, row.reason, row.attempt) == (CellState.RUNNING, None, None, 2)


def test_preflight_fails_a_cell_that_never_started(bench):
    spec = bench.cells[0]
    bench.store.fail(spec.cell_id, 0, 0, FailureKind.ENVIRONMENT, "gated")
    assert bench.state(spec) == "failed"
    assert query(bench.root, "SELECT count(*) FROM attempts") == [(0,)]
    assert bench.start(spec) == (1, 1)


def test_an_interrupted_cell_says_so(bench):
    spec = bench.cells[0]
    bench.start(spec)
    bench.store.interrupt(spec.cell_id, 1, 1)
    bench.store.interrupt(spec.cell_id, 1, 1)
    assert bench.state(spec) == "interrupted"


def test_a_late_report_changes_only_its_own_attempt(bench, caplog):
    spec = bench.cells[0]
    bench.start(spec)
    bench.start(spec)
    bench.store.fail(spec.cell_id, 1, 1, FailureKind.TRANSIENT, "timeout")
    assert bench.state(spec) == "running"
    assert "late report" in caplog.text
    assert query(bench.root, "SELECT attempt, state FROM attempts ORDER BY 1") == [(1, "failed"), (2, "running")]


@pytest.mark.parametrize("attempt", [1, 0])
def test_an_attempt_that_is_not_newer_is_a_bug(bench, attempt):
    spec = bench.cells[0]
    bench.start(spec)
    with pytest.raises(BugError, match="cannot follow"):
        bench.store.start([PackedCell(cell=spec, epoch=1, attempt=attempt)], "p", "l")


def test_another_epoch_or_an_unknown_cell_is_a_bug_and_nothing_is_started(bench):
    good = PackedCell(cell=bench.cells[0], epoch=1, attempt=1)
    for wrong in (PackedCell(cell=bench.cells[1], epoch=2, attempt=1), PackedCell(cell=cell(9), epoch=1, attempt=1)):
        with pytest.raises(BugError):
            bench.store.start([good, wrong], "p", "l")
    assert bench.state(bench.cells[0]) == "pending"
    assert query(bench.root, "SELECT count(*) FROM attempts") == [(0,)]


def test_a_done_cell_is_never_started_again(bench):
    spec = bench.cells[0]
    bench.finish(spec)
    with pytest.raises(IllegalStep, match="done cannot become running"):
        bench.start(spec)


def test_what_an_earlier_run_left_running_is_interrupted(bench):
    bench.start(bench.cells[0])
    bench.finish(bench.cells[1])
    bench.store.close()
    bench.begin()
    row = bench.store.states()[bench.cells[0].cell_id]
    assert (row.state, row.reason) == (CellState.INTERRUPTED, "the run ended before the cell did")
    assert bench.state(bench.cells[1]) == "done"


# --- ingest


def test_a_result_arrives_whole(bench):
    folder = bench.finish(bench.cells[0])
    row = bench.store.states()[bench.cells[0].cell_id]
    assert (row.state, row.epoch, row.attempt) == (CellState.DONE, 1, 1)
    assert query(bench.root, "SELECT folder, num_train, best_step, epochs, device, num_classes FROM results") == [
        (f"cells/{folder.parent.name}/{folder.name}", 100, 50, 5.0, "cpu", 2)
    ]
    metrics = query(bench.root, "SELECT split, name, label, value, undefined FROM metrics ORDER BY 1, 2, 3")
    assert metrics == [
        ("test", "accuracy", "", 0.75, None),
        ("test", "f1", "anger", 1 / 3, None),
        ("test", "f1", "joy", None, "class joy is not in the split"),
        ("test", "f1_macro", "", None, "class joy is not in the split"),
        ("validation", "loss", "", 0.1 + 0.2, None),
    ]
    assert query(bench.root, "SELECT state, host, pid, ended_at IS NOT NULL FROM attempts") == [
        ("done", "node-7", 4321, 1)
    ]


def test_ingest_is_idempotent(bench):
    folder = bench.finish(bench.cells[0])
    assert not bench.store.ingest(folder)
    assert bench.store.ingest_all() == 0
    assert query(bench.root, "SELECT count(*) FROM results") == [(1,)]


def test_the_folder_may_be_seen_under_another_mount_point(bench, tmp_path):
    folder = bench.publish(bench.cells[0], *bench.start(bench.cells[0]))
    elsewhere = tmp_path / "mnt"
    elsewhere.symlink_to(bench.root)
    assert bench.store.ingest(elsewhere / folder.relative_to(bench.root))


def test_a_result_of_an_older_attempt_is_refused_and_logged(bench, caplog):
    spec = bench.cells[0]
    bench.start(spec)
    bench.start(spec)
    assert not bench.store.ingest(bench.publish(spec, 1, 1))
    assert "attempt 2 was handed out after it" in caplog.text
    assert bench.state(spec) == "running"
    assert bench.store.ingest(bench.publish(spec, 1, 2))


def test_a_result_of_an_older_epoch_is_refused_once_a_newer_one_began(bench):
    spec = bench.cells[0]
    bench.start(spec)
    bench.store.close()
    bench.begin()
    bench.start(spec)
    assert not bench.store.ingest(bench.publish(spec, 1, 1))
    assert bench.store.ingest_all() == 0


def test_a_result_found_before_a_newer_attempt_is_accepted(bench):
    """The driver died between the trial's publishing and its own ingest."""
    spec = bench.cells[0]
    folder = bench.publish(spec, *bench.start(spec))
    bench.store.close()
    bench.begin()
    assert bench.state(spec) == "interrupted"
    assert bench.store.ingest_all() == 1
    assert bench.state(spec) == "done"
    assert not bench.store.ingest(folder)


def test_a_complete_result_wins_over_the_report_of_its_failure(bench):
    spec = bench.cells[0]
    bench.publish(spec, *bench.start(spec))
    bench.store.fail(spec.cell_id, 1, 1, FailureKind.TRANSIENT, "worker died")
    assert bench.state(spec) == "done"
    assert query(bench.root, "SELECT state, kind FROM attempts") == [("done", None)]


def test_a_result_of_the_last_attempt_wins_over_its_recorded_failure(bench):
    spec = bench.cells[0]
    bench.start(spec)
    bench.store.fail(spec.cell_id, 1, 1, FailureKind.TRANSIENT, "silent for 60 s")
    assert bench.store.ingest(bench.publish(spec, 1, 1))
    assert bench.state(spec) == "done"
    assert query(bench.root, "SELECT state, kind, reason FROM attempts") == [("done", None, None)]


def test_a_done_cell_ignores_failures_and_other_results(bench, caplog):
    spec = bench.cells[0]
    bench.finish(spec)
    bench.store.fail(spec.cell_id, 1, 1, FailureKind.BUG, "too late")
    bench.store.interrupt(spec.cell_id, 1, 1)
    assert not bench.store.ingest(bench.publish(spec, 1, 2))
    assert bench.state(spec) == "done"
    assert query(bench.root, "SELECT state, kind FROM attempts") == [("done", None)]
    assert "refused, the cell is done" in caplog.text


def test_a_damaged_result_is_raised_and_nothing_is_stored(bench):
    spec = bench.cells[0]
    folder = bench.publish(spec, *bench.start(spec))
    (folder / "notes.txt").write_text("changed")
    with pytest.raises(DamagedResult, match=r"notes\.txt"):
        bench.store.ingest(folder)
    assert bench.state(spec) == "running"
    bench.store.fail(spec.cell_id, 1, 1, FailureKind.ENVIRONMENT, "damaged")
    assert bench.state(spec) == "failed"


def test_ingest_all_passes_over_damaged_folders(bench, caplog):
    good, bad = bench.cells[:2]
    bench.publish(good, *bench.start(good))
    (bench.publish(bad, *bench.start(bad)) / "notes.txt").unlink()
    assert bench.store.ingest_all() == 1
    assert "doctor --rebuild" in caplog.text
    assert bench.state(bad) == "running"


def test_of_two_complete_results_the_later_attempt_counts(bench):
    spec = bench.cells[0]
    bench.start(spec)
    bench.start(spec)
    bench.publish(spec, 1, 1, accuracy=0.1)
    bench.publish(spec, 1, 2, accuracy=0.2)
    assert bench.store.ingest_all() == 1
    assert query(bench.root, "SELECT value FROM metrics WHERE name = 'accuracy'") == [(0.2,)]


def test_results_of_another_grid_are_refused(bench, caplog):
    folder = publish(bench.layout, result(cell(8, grid="other")), {})
    assert not bench.store.ingest(folder)
    assert "'other'" in caplog.text


@only_sqlite
def test_a_lost_index_comes_back_from_the_folders(bench):
    bench.finish(bench.cells[0])
    bench.finish(bench.cells[1])
    bench.store.close()
    bench.layout.index.unlink()
    bench.cells = bench.cells[1:]
    bench.begin()
    assert bench.store.epoch == 2
    assert bench.store.ingest_all() == 2
    rows = bench.store.states()
    assert [(row.cell_id[-1], str(row.state), row.retired) for row in rows.values()] == [
        ("2", "done", False),
        ("3", "pending", False),
        ("1", "done", True),
    ]


# --- what the database itself refuses


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


# --- pins, threads, journal, damage


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
