"""A claimed store with three declared cells, and a way to publish their results."""

import secrets

import pytest
import sqlalchemy as sa

from grid.store import Store, schema
from jobs.spec import PackedCell
from jobs.storage import Layout, publish
from tests.jobs.samples import cell, result
from tests.object_store import use
from tests.postgres_server import VARIABLE, postgres_server

GRID = "sample"
only_sqlite = pytest.mark.parametrize("index", ["sqlite"], indirect=True)
"""For tests of what only a file has: its damage, its locks, its side files."""


class Bench:
    """A store under test, with shortcuts for what a run does."""

    def __init__(self, root, index=None):
        self.root = root
        self.index = index
        self.layout = Layout(root)
        self.cells = [cell(1), cell(2), cell(3)]
        self.store = None

    def begin(self):
        """Open, claim and declare, as every run does."""
        self.store = Store.open(self.root, grid=GRID, index=self.index)
        self.store.claim("{}")
        self.store.declare(self.cells)
        return self.store

    def start(self, spec, attempt=None):
        """Hand a cell out; its (epoch, attempt)."""
        epoch, attempt = self.store.epoch, attempt or self.store.next_attempt(spec.cell_id)
        packed = PackedCell(cell=spec, epoch=epoch, attempt=attempt)
        self.store.start([packed], "pack-1", str(self.layout.pack_log(epoch, "pack-1")))
        return epoch, attempt

    def publish(self, spec, epoch, attempt, **changes):
        """Write a result folder as a trial does."""
        return publish(self.layout, result(spec, epoch=epoch, attempt=attempt, **changes), {"notes.txt": _notes})

    def finish(self, spec, **changes):
        """Start, publish and ingest."""
        folder = self.publish(spec, *self.start(spec), **changes)
        assert self.store.ingest(folder)
        return folder

    def state(self, spec):
        """State of one cell."""
        return str(self.store.states()[spec.cell_id].state)


def _notes(path):
    path.write_text("the same every time")


@pytest.fixture
def index():
    """What `Store.open` is told about the index: nothing, it is a file. Conformance tests have both: `index_on`."""
    return None


def query(root, text):
    """Rows of a statement over a store's index, read as everybody else reads it."""
    engine = schema.open_read_only(root)
    try:
        with engine.connect() as connection:
            return [tuple(row) for row in connection.execute(sa.text(text))]
    finally:
        engine.dispose()


BOTH = ("sqlite", "postgres")


def index_on(request):
    """For a module's own fixture `index` with params=BOTH."""
    return request.getfixturevalue("database") if request.param == "postgres" else None


@pytest.fixture
def bench(tmp_path, index):
    bench = Bench(tmp_path / "results", index)
    bench.begin()
    yield bench
    bench.store.close()


@pytest.fixture
def network(tmp_path, monkeypatch):
    """A folder that the mount table calls NFS, and a cache folder that it does not: (results, cache)."""
    return as_network(tmp_path, monkeypatch.setenv)


def as_network(folder, setenv, *, stale_after_s=0.45):
    """Let `folder/net` be a network mount for whoever sees these variables."""
    table = folder / "mountinfo"
    mount = str(folder / "net").replace(" ", r"\040")
    table.write_text(f"22 1 254:0 / / rw - ext4 /dev/vda rw\n31 22 0:31 / {mount} rw - nfs4 server:/export rw\n")
    (folder / "net").mkdir(exist_ok=True)
    setenv("FINEGRID_MOUNTINFO", str(table))
    setenv("FINEGRID_CACHE", str(folder / "cache"))
    setenv("FINEGRID_LEASE_S", str(stale_after_s))
    return folder / "net" / "results", folder / "cache"


@pytest.fixture
def url(s3_address, tmp_path, monkeypatch):
    """A URL of this test alone, with a cache folder and a lease that is soon stale."""
    use(monkeypatch.setenv, s3_address)
    monkeypatch.setenv("FINEGRID_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("FINEGRID_LEASE_S", "20")
    return f"s3://results/{secrets.token_hex(4)}"


@pytest.fixture(scope="session")
def database_server():
    """URL of a PostgreSQL."""
    with postgres_server() as url:
        yield url


@pytest.fixture
def database(database_server, monkeypatch):
    """Name of the variable that holds the URL of a database; every store has a schema of its own there."""
    monkeypatch.setenv(VARIABLE, database_server)
    return VARIABLE


def damaged_store(root):
    """A store whose index can be opened, but not read."""
    bench = Bench(root)
    with bench.begin() as store:
        store.declare([cell(number) for number in range(1, 200)])
    data = bytearray(bench.layout.index.read_bytes())
    for start in range(8192, len(data), 4096):
        data[start : start + 512] = b"\xa5" * 512
    bench.layout.index.write_bytes(data)
    return bench.root
