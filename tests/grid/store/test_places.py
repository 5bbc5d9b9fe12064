"""Where the index lies: in the folder, or locally when the folder lies on a network or has no file locks."""

import json
import shutil

import pytest

from grid.store.places import continues, find_places, index_to_read, make_places
from jobs.errors import EnvironmentProblem
from jobs.storage import Layout
from tests.grid.store.conftest import Bench


def test_a_local_folder_keeps_everything(tmp_path):
    layout = Layout(tmp_path)
    places = find_places(layout)
    assert (places.index, places.lock, places.ballast) == (layout.index, layout.lock, layout.ballast)
    assert not places.is_shared and make_places(layout) == places
    assert not layout.identity.exists()


def test_a_network_folder_has_its_index_in_the_cache(network):
    root, cache = network
    root.mkdir()
    layout = Layout(root)
    assert find_places(layout) is None and index_to_read(layout) == layout.index
    places = make_places(layout)
    assert places.is_shared and places.index.is_relative_to(cache / "stores") and places.index.parent.is_dir()
    assert find_places(layout) == make_places(layout) == places
    assert json.loads(layout.identity.read_text())["why"] == "nfs4"


def test_another_path_or_store_is_another_place(network):
    root, _ = network
    places = set()
    for name in ("a", "b"):
        layout = Layout(root.with_name(name))
        layout.root.mkdir()
        places.add(make_places(layout).index)
        layout.identity.unlink()
        places.add(make_places(layout).index)
    assert len(places) == 4


def test_a_folder_without_file_locks_is_like_one_on_a_network(tmp_path, monkeypatch):
    monkeypatch.setenv("FINEGRID_CACHE", str(tmp_path / "cache"))
    layout = Layout(tmp_path / "results")
    layout.root.mkdir()
    assert make_places(layout, has_locks=False).is_shared
    assert find_places(layout).is_shared


def test_a_network_store_copied_to_a_local_disk_is_an_ordinary_one(network, tmp_path):
    root, _ = network
    bench = Bench(root)
    bench.begin()
    bench.finish(bench.cells[0])
    bench.store.finish_run(5)
    bench.store.close()
    shutil.copytree(root, tmp_path / "copy")
    copy = Bench(tmp_path / "copy")
    copy.begin()
    assert copy.state(copy.cells[0]) == "done" and copy.store.epoch == 2
    assert copy.layout.index.with_name("grid.db-wal").exists()
    copy.store.close()


def test_an_identity_that_cannot_be_read_is_named(network):
    root, _ = network
    root.mkdir()
    Layout(root).identity.write_text("{")
    with pytest.raises(EnvironmentProblem, match=r"store\.json cannot be read"):
        find_places(Layout(root))


def test_a_cache_on_the_network_is_not_used(network, monkeypatch, tmp_path):
    root, _ = network
    root.mkdir()
    monkeypatch.setenv("FINEGRID_CACHE", str(root.with_name("home") / "cache"))
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "temporary"))
    (tmp_path / "temporary").mkdir()
    assert make_places(Layout(root)).index.is_relative_to(tmp_path / "temporary")


def test_an_index_continues_its_own_copy_but_not_that_of_another_host(network, tmp_path, monkeypatch):
    root, cache = network
    own = Bench(root)
    own.begin()
    own.store.close()
    layout = Layout(root)
    index = find_places(layout).index
    assert continues(index, layout.index) and index_to_read(layout) == index
    monkeypatch.setenv("FINEGRID_CACHE", str(tmp_path / "other"))
    other = Bench(root)
    other.begin()
    other.finish(other.cells[0])
    other.store.finish_run(5)
    other.store.close()
    monkeypatch.setenv("FINEGRID_CACHE", str(cache))
    assert not continues(index, layout.index) and index_to_read(layout) == layout.index
    again = Bench(root)
    again.begin()
    assert again.store.epoch == 3 and again.state(again.cells[0]) == "done"
    again.store.close()
