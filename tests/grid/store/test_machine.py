"""No sequence of runs, crashes, failures and late reports loses, doubles or changes a finished cell.

And after each of them an index made anew from files and old index equals the old one, row for row.
"""

import tempfile
from pathlib import Path

import hypothesis.strategies as st
import sqlalchemy as sa
from hypothesis import HealthCheck, settings
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from grid.store import schema
from grid.store.rebuild import rebuild
from jobs.spec import CellState, FailureKind
from tests.grid.store.conftest import Bench
from tests.postgres_server import VARIABLE

CELLS = st.integers(0, 1)


class StoreMachine(RuleBasedStateMachine):
    """A store under every kind of event, checked against a small model of what it must hold."""

    index = None

    def __init__(self):
        super().__init__()
        self.folder = tempfile.TemporaryDirectory()
        self.bench = Bench(Path(self.folder.name), self.index)
        self.bench.begin()
        self.accuracy = {}  # cell -> accuracy of the result that made it done
        self.handed_out = []  # (cell, epoch, attempt), oldest first
        self.published = {}  # (cell, epoch, attempt) -> accuracy
        self.folders = {}  # (cell, epoch, attempt) -> folder

    def teardown(self):
        self.check_results()
        self.bench.store.ingest_all()
        self.bench.store.close()
        before = self.whole_index()
        rebuild(self.bench.root)
        assert self.whole_index() == before
        self.folder.cleanup()

    def whole_index(self):
        """Every row of every table, apart from when a result was taken in."""
        engine = schema.open_read_only(self.bench.root)
        try:
            with engine.connect() as connection:
                return {
                    table.name: sorted(
                        repr({name: value for name, value in row.items() if name != "ingested_at"})
                        for row in connection.execute(sa.select(table)).mappings()
                    )
                    for table in schema.metadata.sorted_tables
                }
        finally:
            engine.dispose()

    def rows(self):
        return [self.bench.store.states()[spec.cell_id] for spec in self.bench.cells]

    def expect_done(self, key):
        """The model's rule: a complete result enters unless the cell is done or a newer attempt was handed out."""
        last = max(other for other in self.handed_out if other[0] == key[0])
        if key[0] not in self.accuracy and key in self.published and key == last:
            self.accuracy[key[0]] = self.published[key]

    @rule(number=CELLS)
    def start(self, number):
        if number not in self.accuracy:
            self.handed_out.append((number, *self.bench.start(self.bench.cells[number])))

    @precondition(lambda self: set(self.handed_out) - set(self.published))
    @rule(data=st.data(), accuracy=st.floats(0, 1))
    def publish(self, data, accuracy):
        """A trial finishes, however late."""
        key = data.draw(st.sampled_from([key for key in self.handed_out if key not in self.published]))
        self.folders[key] = self.bench.publish(self.bench.cells[key[0]], *key[1:], accuracy=accuracy)
        self.published[key] = accuracy

    @precondition(lambda self: self.published)
    @rule(data=st.data())
    def ingest(self, data):
        """News of a result arrive, perhaps late, perhaps twice."""
        key = data.draw(st.sampled_from(list(self.published)))
        was_done = key[0] in self.accuracy
        self.expect_done(key)
        assert self.bench.store.ingest(self.folders[key]) == (not was_done and key[0] in self.accuracy)

    @precondition(lambda self: self.handed_out)
    @rule(data=st.data(), kind=st.none() | st.sampled_from(FailureKind))
    def report_failure(self, data, kind):
        """A failure or an interruption is reported, perhaps of an old attempt or of one that published."""
        key = data.draw(st.sampled_from(self.handed_out))
        self.expect_done(key)
        cell_id = self.bench.cells[key[0]].cell_id
        if kind is None:
            self.bench.store.interrupt(cell_id, *key[1:])
        else:
            self.bench.store.fail(cell_id, *key[1:], kind, "why")

    @precondition(lambda self: self.bench.store.epoch < 4)
    @rule()
    def crash_and_begin_again(self):
        self.bench.store.close()
        self.bench.begin()
        assert all(row.state is not CellState.RUNNING for row in self.rows())
        for key in sorted(self.published, reverse=True):
            self.expect_done(key)
        self.bench.store.ingest_all()
        self.check_results()

    @invariant()
    def every_cell_is_in_one_state_and_done_is_final(self):
        done = {number for number, row in enumerate(self.rows()) if row.state is CellState.DONE}
        assert done == set(self.accuracy)

    def check_results(self):
        """Each result is there once and unchanged."""
        engine = schema.open_read_only(self.bench.root)
        with engine.connect() as connection:
            query = schema.metrics.select().where(schema.metrics.c.name == "accuracy")
            stored = {row.cell_id: row.value for row in connection.execute(query)}
            num_results = len(connection.execute(schema.results.select()).all())
        engine.dispose()
        assert stored == {self.bench.cells[number].cell_id: value for number, value in self.accuracy.items()}
        assert num_results == len(stored)


class PostgresMachine(StoreMachine):
    """The same with the index in PostgreSQL."""

    index = VARIABLE


def test_a_store_in_a_file():
    run_state_machine_as_test(StoreMachine, settings=SETTINGS)


def test_a_store_in_a_database(database):
    run_state_machine_as_test(PostgresMachine, settings=settings(SETTINGS, max_examples=3))


SETTINGS = settings(
    max_examples=8, stateful_step_count=20, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True
)
