"""The canonical dump: equal for equal content, different for any other content."""

import pytest

from grid.store.canonical import canonical_dump
from jobs.spec import FailureKind
from tests.grid.store.conftest import BOTH, Bench, index_on


@pytest.fixture(params=BOTH)
def index(request):
    """Every test of this file holds for both kinds of index."""
    return index_on(request)


def run(root, **changes):
    bench = Bench(root)
    bench.begin()
    bench.finish(bench.cells[0], **changes)
    bench.store.close()
    return canonical_dump(root)


def test_attempts_times_hosts_and_costs_do_not_show(tmp_path):
    bench = Bench(tmp_path / "b")
    bench.begin()
    bench.start(bench.cells[0])
    bench.store.close()
    bench.begin()
    bench.start(bench.cells[0])
    bench.store.fail(bench.cells[0].cell_id, 2, 1, FailureKind.TRANSIENT, "worker died")
    bench.finish(bench.cells[0], costs={"train_seconds": 99.0}, provenance={"device": "cpu", "host": "other"})
    bench.store.close()
    assert canonical_dump(tmp_path / "b") == run(tmp_path / "a")


@pytest.mark.parametrize(
    "changes",
    [
        {"accuracy": 0.7500000000000001},
        {"counts": {"num_train": 99}},
        {"hashes": {"weights": "c" * 64}},
        {"marks": ()},
        {"label_names": ("anger", "joy")},
        {"epochs": 4.0},
        {"metrics": ()},
    ],
)
def test_every_content_shows(tmp_path, changes):
    assert run(tmp_path / "a") != run(tmp_path / "b", **changes)


def test_states_and_declarations_show(tmp_path):
    bench = Bench(tmp_path)
    bench.begin()
    before = canonical_dump(tmp_path)
    bench.store.fail(bench.cells[0].cell_id, 0, 0, FailureKind.USER, "x")
    failed = canonical_dump(tmp_path)
    bench.store.declare(bench.cells[:2])
    retired = canonical_dump(tmp_path)
    bench.store.pin("model:a/b", "1")
    assert len({before, failed, retired, canonical_dump(tmp_path)}) == 4
    bench.store.close()


def test_published_files_show(tmp_path):
    bench = Bench(tmp_path / "b")
    bench.begin()
    spec = bench.cells[0]
    from jobs.storage import publish
    from tests.jobs.samples import result

    epoch, attempt = bench.start(spec)
    other = {"notes.txt": lambda path: path.write_text("something else")}
    bench.store.ingest(publish(bench.layout, result(spec, epoch=epoch, attempt=attempt), other))
    bench.store.close()
    assert canonical_dump(tmp_path / "b") != run(tmp_path / "a")
