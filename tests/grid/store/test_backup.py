"""A copy of a live index holds every committed row, in one file that is replaced as a whole."""

import sqlite3

import pytest

from grid.store.backup import copy_index
from grid.store.export import export
from jobs.errors import EnvironmentProblem, UserError


def done(path):
    connection = sqlite3.connect(path)
    try:
        return connection.execute("SELECT count(*) FROM cells WHERE state = 'done'").fetchone()[0]
    finally:
        connection.close()


def test_the_copy_of_a_store_in_use_is_whole(bench, tmp_path):
    out = tmp_path / "copies" / "index.db"
    for number, spec in enumerate(bench.cells[:2], start=1):
        bench.finish(spec)
        assert export(bench.root, out) == out
        assert done(out) == number
    assert [path.name for path in out.parent.iterdir()] == ["index.db"]


def test_no_store_and_no_place_are_told(bench, tmp_path):
    with pytest.raises(UserError, match="not a results folder"):
        copy_index(tmp_path / "none", tmp_path / "x.db")
    (tmp_path / "file").touch()
    with pytest.raises(EnvironmentProblem):
        copy_index(bench.root, tmp_path / "file" / "x.db")
