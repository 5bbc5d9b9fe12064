"""SIGKILL of the driver at every failpoint of the store: each result once, nothing half done, resumable."""

import ast
import os
import shutil
import signal
import time
from pathlib import Path

import pytest

import grid
import jobs
from grid.store.canonical import canonical_dump
from jobs.spec import FailureKind
from tests.grid.store.conftest import Bench


def work(root):
    """What the driver of a small run does, with trials in its own process."""
    bench = Bench(root)
    store = bench.begin()
    store.pin("model:owner/name", "0" * 40)
    store.ingest_all()
    for spec in bench.cells:
        if bench.state(spec) == "done":
            continue
        bench.start(spec)
        store.fail(spec.cell_id, store.epoch, 1, FailureKind.TRANSIENT, "worker died")
        bench.start(spec)
        store.interrupt(spec.cell_id, store.epoch, 2)
        bench.start(spec)
        store.ingest(bench.publish(spec, store.epoch, store.states()[spec.cell_id].attempt))
    store.finish_run(0)
    store.close()


STORE_POINTS = [
    "owner.locked",
    "index.before_rename",
    "claim.locked",
    "claim.inserted",
    "claim.committed",
    "claim.swept",
    "pin.inserted",
    "start.inserted",
    "start.committed",
    "fail.inserted",
    "fail.committed",
    "interrupt.inserted",
    "db.begun",
    "db.inserted",
    "db.committed",
    "finish.committed",
    "result.begun",
    "result.before_replace",
    "result.after_replace",
]
SHARED_POINTS = [
    "lease.created",
    "lease.renewed",
    "lease.released",
    "journal.appended",
    "copy.before_replace",
    "copy.after_replace",
]
"""Only where the results lie on a network."""
ELSEWHERE = {"index.before_migration", "rebuild.before_rename", "epoch.claimed"}
"""Killed in the tests of migration, rebuild and (tests/faults) stores at a URL."""


def fail_for_good(root):
    """A run whose every cell fails; a cell that has failed is not tried again."""
    bench = Bench(root)
    store = bench.begin()
    store.pin("model:owner/name", "0" * 40)
    for spec in bench.cells:
        if bench.state(spec) != "failed":
            bench.start(spec)
            time.sleep(0.1)  # a few beats of a lease
            store.fail(spec.cell_id, store.epoch, 1, FailureKind.DIVERGED, "loss is nan")
    store.finish_run(1)
    store.close()


def drive(root, point=None, *, work=work):
    """Exit status of a forked child that works on the store, dead at the failpoint when one is given."""
    pid = os.fork()
    if pid == 0:
        signal.alarm(60)
        status = 1
        try:
            if point:
                os.environ |= {"FINEGRID_FAILPOINTS": "1", "GRID_FAILPOINT": point}
            work(root)
            status = 0
        finally:
            os._exit(status)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    root = tmp_path_factory.mktemp("undisturbed")
    assert drive(root) == 0
    return canonical_dump(root)


@pytest.fixture(scope="module")
def undisturbed_failure(tmp_path_factory):
    root = tmp_path_factory.mktemp("failed")
    assert drive(root, work=fail_for_good) == 0
    return canonical_dump(root)


@pytest.mark.parametrize("disk", ["kept", "lost"])
@pytest.mark.parametrize("point", [*SHARED_POINTS, "claim.committed", "fail.committed", "db.committed"])
def test_killed_on_a_network_folder_nothing_is_lost_even_with_the_local_disk(
    network, undisturbed, undisturbed_failure, point, disk
):
    root, cache = network
    for job, expected in ((work, undisturbed), (fail_for_good, undisturbed_failure)):
        folder = root.with_name(job.__name__)
        is_reached = job is work or point != "db.committed"
        assert drive(folder, point, work=job) == (-signal.SIGKILL if is_reached else 0)
        if disk == "lost":
            shutil.rmtree(cache)
        assert drive(folder, work=job) == 0
        assert canonical_dump(folder) == expected
        if disk == "lost":
            shutil.rmtree(cache)
        assert canonical_dump(folder) == expected
        assert not (folder / "journal.jsonl").exists()


@pytest.mark.parametrize("point", STORE_POINTS)
def test_killed_and_started_again_the_store_is_that_of_an_undisturbed_run(tmp_path, undisturbed, point):
    assert drive(tmp_path, point) == -signal.SIGKILL
    assert drive(tmp_path) == 0
    assert canonical_dump(tmp_path) == undisturbed
    assert list((tmp_path / "tmp").iterdir()) == []


def test_a_published_result_is_not_computed_again(tmp_path):
    assert drive(tmp_path, "db.begun") == -signal.SIGKILL
    assert drive(tmp_path) == 0
    folders = list((tmp_path / "cells").glob("*/*"))
    assert len(folders) == len(Bench(tmp_path).cells)


def test_every_failpoint_of_store_and_storage_is_killed_in_a_test():
    folders = [Path(grid.__file__).parent / "store", Path(jobs.__file__).parent]
    files = [path for path in folders[0].glob("*.py")] + [folders[1] / "storage.py", folders[1] / "durable.py"]
    found = {name for path in files for name in failpoints(path)}
    from tests.jobs.test_storage import FAILPOINTS

    assert found == set(STORE_POINTS) | set(SHARED_POINTS) | set(FAILPOINTS) | ELSEWHERE


def failpoints(path):
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "failpoint":
            (name,) = node.args
            # `{stage}.point` stands for checkpoints as well; those are killed in the tests of training.
            yield name.value if isinstance(name, ast.Constant) else f"result{name.values[-1].value}"
