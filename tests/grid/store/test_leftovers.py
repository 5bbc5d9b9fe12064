"""Leftovers: half folders of earlier epochs and temporary files go, everything else stays."""

from grid.store.leftovers import half_folders, sweep_leftovers
from jobs.storage import Layout, publish
from tests.jobs.samples import cell, result


def test_half_folders_of_earlier_epochs_only(tmp_path):
    layout = Layout(tmp_path)
    whole = publish(layout, result(cell(1), epoch=1), {})
    half = whole.with_name("1-2-00000000")
    present = whole.with_name("3-1-00000000")
    other = whole.with_name("notes")
    for folder in (half, present, other):
        folder.mkdir()
    (layout.cells / "file").touch()
    (layout.cells / "link").symlink_to(whole.parent)
    assert list(half_folders(layout, before_epoch=3)) == [half]
    assert list(half_folders(layout, before_epoch=3, skip={whole.parent.name})) == []
    (tmp_path / ".ballast.0123abcd.tmp").touch()
    (tmp_path / ".mine.tmp").touch()
    assert sweep_leftovers(layout, before_epoch=3, skip=set(), local=tmp_path) == 2
    assert whole.is_dir() and present.is_dir() and other.is_dir() and not half.exists()
    assert [path.name for path in tmp_path.glob(".*.tmp")] == [".mine.tmp"]


def test_an_empty_folder_has_none(tmp_path):
    assert list(half_folders(Layout(tmp_path), before_epoch=3)) == []
