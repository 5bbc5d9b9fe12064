"""A store at a URL: results, copies of the index and journal survive the loss of everything local."""

import json
import shutil

import pytest

from grid.store import Store, peek, remote
from grid.store.canonical import canonical_dump
from grid.store.lease import Lease, Timing
from grid.store.ownership import current_holder, leases_of
from grid.store.rebuild import rebuild
from jobs.errors import StoreBusy, UserError
from jobs.objects import objects_at
from jobs.spec import FailureKind
from jobs.storage import cache_root, results_path
from tests.grid.store.conftest import GRID, Bench
from tests.grid.store.test_lease import ELSEWHERE


@pytest.fixture
def objects(url):
    return objects_at(url)


@pytest.fixture
def bench(url):
    bench = Bench(results_path(url))
    bench.begin()
    yield bench
    bench.store.close()


def lose_the_head(bench):
    """As after a crash: nothing was closed, and everything local is gone."""
    bench.store._books._ownership._lease._stop.set()
    bench.store._books._ownership._lease._thread.join()
    bench.store._books._ownership._lock.release()
    bench.store._books.engine.dispose()
    shutil.rmtree(cache_root())


def say_that_the_process_is_gone(objects):
    """The lease of the lost head, as another machine sees it: of a process that it can look up and that is dead."""
    (token,) = [key for key, _ in objects.listed("lease/")]
    record = json.loads(objects.read(token))
    record["holder"]["start_tick"] -= 1
    objects.write(token, json.dumps(record).encode())


def new_head(bench, url, objects):
    lose_the_head(bench)
    say_that_the_process_is_gone(objects)
    bench.root = results_path(url)
    bench.store = Store.open(bench.root, grid=GRID)
    return bench.store.claim("{}")


def test_a_lost_head_loses_nothing(bench, url, objects):
    first, second, third = bench.cells
    bench.store.pin("model:owner/name", "0" * 40)
    bench.finish(first)
    bench.publish(second, *bench.start(second))  # finished, and nobody told the head
    bench.start(third)
    bench.store.fail(third.cell_id, 1, 1, FailureKind.DIVERGED, "loss is nan at step 7", "logs/1-pack-1.jsonl")
    assert new_head(bench, url, objects) == 2
    assert bench.store.ingest_all() == 2, "the copy of the index was made before both results"
    row = bench.store.states()[third.cell_id]
    assert (str(row.state), str(row.kind), row.reason) == ("failed", "diverged", "loss is nan at step 7")
    assert bench.state(first) == bench.state(second) == "done"
    assert bench.store.pins() == {"model:owner/name": "0" * 40}
    assert list(objects.listed("journal/")) == []


def test_the_content_equals_that_of_a_local_store(bench, tmp_path):
    local = Bench(tmp_path / "local")
    local.begin()
    for each in (bench, local):
        for spec in each.cells:
            each.finish(spec)
        each.store.finish_run(0)
        each.store.close()
    assert canonical_dump(bench.root) == canonical_dump(local.root)


def test_no_epoch_is_handed_out_twice_even_without_any_index(bench, url, objects):
    objects.remove([key for key, _ in objects.listed("index/")])
    assert new_head(bench, url, objects) == 2
    assert [key for key, _ in objects.listed("epochs/")] == ["epochs/1", "epochs/2"]


def test_without_any_index_the_results_make_a_new_one(bench, url, objects):
    bench.finish(bench.cells[0])
    objects.remove([key for key, _ in objects.listed("index/")])
    assert new_head(bench, url, objects) == 2
    assert bench.store.ingest_all() == 1 and bench.state(bench.cells[0]) == "done"


@pytest.mark.parametrize("name", ["manifest.json", "notes.txt"])
def test_a_damaged_cache_takes_no_result_off_the_url(bench, url, objects, name):
    folder = bench.finish(bench.cells[0])
    bench.store.finish_run(0)
    bench.store.close()
    (folder / name).write_bytes(b"")
    before = [key for key, _ in objects.listed("cells/")]
    report = rebuild(bench.root)
    assert (report.num_results, report.quarantined) == (1, ())
    assert [key for key, _ in objects.listed("cells/")] == before


def test_another_machine_reads_the_copy(bench, url, monkeypatch, tmp_path):
    bench.finish(bench.cells[0])
    bench.store.finish_run(5)
    monkeypatch.setenv("FINEGRID_CACHE", str(tmp_path / "elsewhere"))
    root = results_path(url)
    states, _ = peek(root)
    assert str(states[bench.cells[0].cell_id].state) == "done"
    bench.finish(bench.cells[1])
    bench.store.finish_run(0)
    assert str(peek(root)[0][bench.cells[1].cell_id].state) == "done", "it looks for a newer copy each time"
    assert str(bench.cells[1].cell_id) in canonical_dump(root), "result folders are fetched when they are read"


def test_a_late_writer_replaces_no_copy_of_the_index(bench, objects):
    mirror = bench.layout.mirror
    objects.write("index/7-1.db", b"of a later holder")
    bench.finish(bench.cells[0])
    bench.store.finish_run(0)
    assert remote.numbered(mirror, "index/")[-1] == "index/7-1.db"


def test_unfinished_uploads_of_earlier_runs_are_swept(bench, url, objects):
    cell_id = bench.cells[0].cell_id
    for key in (f"cells/{cell_id}/1-1-00000000/result.json", f"checkpoints/{cell_id}/1-1-5-00000000/state.json"):
        objects.write(key, b"half")
    objects.write(f"cells/{cell_id}/2-1-00000000/result.json", b"of the run that begins now")
    assert new_head(bench, url, objects) == 2
    left = [key for key, _ in objects.listed("") if key.startswith(("cells/", "checkpoints/"))]
    assert left == [f"cells/{cell_id}/2-1-00000000/result.json"]


def test_a_second_driver_names_the_first(bench, url, monkeypatch, tmp_path):
    with pytest.raises(StoreBusy, match="is in use by process"):
        Store.open(bench.root, grid=GRID)
    monkeypatch.setenv("FINEGRID_CACHE", str(tmp_path / "elsewhere"))  # another head: its locks reach nobody
    with pytest.raises(StoreBusy, match=r"s3://results/.* is in use by process"):
        Store.open(results_path(url), grid=GRID)
    assert current_holder(Bench(results_path(url)).layout).pid > 0


def test_a_holder_that_was_silent_writes_nothing_more(bench, objects, monkeypatch):
    lease = bench.store._books._ownership._lease
    lease._stop.set()
    lease._thread.join()
    objects.write("lease/2", json.dumps({"holder": ELSEWHERE, "beat": 1, "released": False}).encode())
    monkeypatch.setattr(lease, "_renewed_at", lease._renewed_at - 3600)
    with pytest.raises(StoreBusy, match="taken over by process 7 on elsewhere"):
        bench.start(bench.cells[0])


def test_of_two_claims_one_wins(url):
    leases = leases_of(Bench(results_path(url)).layout)
    timing = Timing(stale_after_s=0.5)
    first, second = Lease(leases, timing=timing), Lease(leases, timing=timing)
    first.acquire()
    with pytest.raises(StoreBusy):
        second.acquire()
    first.release()
    assert second.acquire() == 2
    second.release()


def test_a_url_emptied_by_hand_is_a_new_store(bench, url, objects):
    bench.finish(bench.cells[0])
    bench.store.close()
    objects.remove([key for key, _ in objects.listed("")])
    bench.begin()
    assert bench.state(bench.cells[0]) == "pending"


def test_another_grid_is_refused(bench, url):
    bench.store.close()
    with pytest.raises(UserError, match="holds results of the grid 'sample'"):
        Store.open(results_path(url), grid="other")
