"""Results and checkpoints at a URL: the manifest last, what is half uploaded counts for nothing, keys stay inside."""

import json
import shutil

import pytest

from jobs import checkpoints, mirror
from jobs.checkpoints import CheckpointName, bring_checkpoint, checkpoints_of, save_checkpoint, sweep_checkpoints
from jobs.durable import DamagedResult, verify_folder
from jobs.errors import EnvironmentProblem
from jobs.failpoints import FailpointReached
from jobs.mirror import attach, mirror_of
from jobs.pack_log import PackLog
from jobs.storage import (
    Layout,
    bring_weights,
    complete_results,
    publish,
    read_result,
    results_of,
    results_path,
    verify,
)
from tests.jobs.samples import cell, result
from tests.object_store import use

CELL = cell().cell_id


@pytest.fixture
def url(s3_address, tmp_path, monkeypatch):
    use(monkeypatch.setenv, s3_address)
    monkeypatch.setenv("FINEGRID_CACHE", str(tmp_path / "cache"))
    return f"s3://results/{tmp_path.name}"


@pytest.fixture
def layout(url):
    return Layout(results_path(url))


@pytest.fixture
def elsewhere(url, layout, tmp_path, monkeypatch):
    """The same URL as another machine sees it."""
    monkeypatch.setenv("FINEGRID_CACHE", str(tmp_path / "elsewhere"))
    return Layout(results_path(url))


def adapter(path):
    path.mkdir()
    (path / "adapter_model.safetensors").write_bytes(b"weights")


def give(layout, **changes):
    return publish(
        layout, result(**changes), {"notes.txt": lambda path: path.write_text("n") and None, "adapter": adapter}
    )


def keys(layout, prefix=""):
    return [key for key, _ in layout.mirror.objects.listed(prefix)]


def test_a_result_is_at_the_url_and_another_machine_reads_it(layout, elsewhere):
    folder = give(layout)
    assert keys(layout)[0].startswith(f"cells/{CELL}/1-1-") and len(keys(layout)) == 4
    assert not (folder / "adapter").exists(), "weights take no space here"
    (found,) = complete_results(elsewhere)
    assert not found.exists() and found.name == folder.name
    assert read_result(found) == read_result(folder) == result()
    verify(found)
    assert sorted(path.name for path in found.iterdir()) == ["manifest.json", "notes.txt", "result.json"]
    bring_weights(found)
    verify_folder(found)
    assert results_of(elsewhere, CELL) == [found] and list(complete_results(elsewhere, skip={CELL})) == []


@pytest.mark.parametrize("point", ["upload.file_sent", "upload.before_manifest"])
def test_half_an_upload_counts_for_nothing(layout, monkeypatch, point):
    monkeypatch.setenv("FINEGRID_FAILPOINTS", "1")
    monkeypatch.setenv("GRID_FAILPOINT", f"{point}:raise")
    with pytest.raises(FailpointReached):
        give(layout)
    assert keys(layout), "something was uploaded"
    assert list(complete_results(layout)) == [] and not list(layout.cells.glob("*/*"))


def test_after_the_manifest_it_counts_although_nobody_was_told(layout, monkeypatch):
    monkeypatch.setenv("FINEGRID_FAILPOINTS", "1")
    monkeypatch.setenv("GRID_FAILPOINT", "upload.manifest_sent:raise")
    with pytest.raises(FailpointReached):
        give(layout)
    (found,) = complete_results(layout)
    assert read_result(found) == result()


def test_an_upload_that_was_swept_meanwhile_is_not_committed(layout, monkeypatch):
    def sweep(name):
        if name == "upload.before_manifest":
            layout.mirror.objects.remove(keys(layout)[:1])

    monkeypatch.setattr(mirror, "failpoint", sweep)
    with pytest.raises(EnvironmentProblem, match="was removed while the others were uploaded"):
        give(layout)
    assert list(complete_results(layout)) == []


@pytest.mark.parametrize("name", ["manifest.json", "result.json", "notes.txt", "adapter/adapter_model.safetensors"])
def test_damage_here_is_no_damage_there(layout, elsewhere, name):
    """A power cut or a flipped bit in the cache of one machine: what the URL holds is brought again."""
    give(layout)
    (found,) = complete_results(elsewhere)
    verify(found)
    bring_weights(found)
    (found / name).write_bytes(b"")
    verify(found)
    assert read_result(found) == result()
    bring_weights(found)
    verify_folder(found)


def test_damage_at_the_url_is_found(layout, elsewhere):
    folder = give(layout)
    key = layout.relative(folder)
    layout.mirror.objects.write(f"{key}/adapter/adapter_model.safetensors", b"cut")
    with pytest.raises(DamagedResult, match="3 bytes, but 7 were written"):
        verify(layout.root / key)
    layout.mirror.objects.write(f"{key}/adapter/adapter_model.safetensors", b"weights")
    layout.mirror.objects.write(f"{key}/notes.txt", b"x")
    with pytest.raises(DamagedResult, match=r"notes\.txt"):
        verify(elsewhere.root / key)
    layout.mirror.objects.remove([f"{key}/result.json"])
    shutil.rmtree(elsewhere.root / key)
    with pytest.raises(DamagedResult, match="missing, although the manifest names it"):
        read_result(elsewhere.root / key)


@pytest.mark.parametrize("name", ["../../../../evil", "/evil"])
def test_a_manifest_from_outside_writes_nothing_outside(layout, elsewhere, name):
    key = f"cells/{CELL}/1-1-00000000"
    manifest = {"version": 1, "files": {name: {"sha256": "0" * 64, "bytes": 1}}}
    layout.mirror.objects.write(f"{key}/manifest.json", json.dumps(manifest).encode())
    with pytest.raises(DamagedResult, match="leaves the folder"):
        read_result(elsewhere.root / key)


def save(layout, step, attempt=1):
    name = CheckpointName(1, attempt, step, f"{step:08x}")
    return save_checkpoint(layout, CELL, name, {"state": lambda path: path.write_text(str(step)) and None})


def test_the_newest_valid_checkpoint_wins_on_any_machine(layout, elsewhere):
    for step in (1, 2, 3):
        assert not save(layout, step).exists(), "it would only become old here"
    layout.mirror.objects.remove([f"checkpoints/{CELL}/1-1-3-00000003/manifest.json"])
    found = checkpoints_of(elsewhere, CELL, epoch=1, attempt=2)
    assert [name.step for name, _ in found] == [1, 2]
    bring_checkpoint(elsewhere, found[-1][1])
    assert (found[-1][1] / "state").read_text() == "2"
    assert checkpoints.set_aside(found[-1][1]) is not None
    assert checkpoints.newest_step(layout, CELL, epoch=1, attempt=2) == 1
    checkpoints.prune_checkpoints(layout, CELL, epoch=1, attempt=1, keep=1)
    assert sweep_checkpoints(layout, {CELL}) == 1 and keys(layout, "checkpoints/") == []


def test_a_log_is_the_sum_of_what_all_machines_wrote(layout, elsewhere, monkeypatch):
    for number, where in enumerate((layout, elsewhere)):
        monkeypatch.setattr(mirror, "machine_id", lambda number=number: f"machine{number}")
        with PackLog(where.pack_log(1, "p1")) as log:
            log.write("event", f"from {number}")
    assert layout.mirror.log_text(layout.pack_log(1, "p1")).count("\n") == 2
    with pytest.raises(FileNotFoundError):
        layout.mirror.log_text(layout.pack_log(1, "p2"))


def test_a_folder_that_somebody_sent_asks_no_server(tmp_path, url):
    copy = tmp_path / "remotes" / "0123456789abcdef"
    copy.mkdir(parents=True)
    (copy / "origin.json").write_text(json.dumps({"url": url}))
    assert mirror_of(copy) is None
    attach(results_path(url), url)
    assert mirror_of(results_path(url)).url == url
