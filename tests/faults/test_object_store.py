"""Results at a URL, on a real S3 server: the head is killed and all that is local lost; a new one goes on there."""

from __future__ import annotations

import shutil
import signal
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from grid.store import peek
from jobs.objects import objects_at
from jobs.storage import results_path
from tests.faults.conftest import CleanDump, MakeTiny, MakeToy
from tests.faults.harness import Finished, Grid, Running, armed, wait_until
from tests.object_store import VARIABLES, use

URL_POINTS = (
    "upload.file_sent",
    "upload.before_manifest",
    "upload.manifest_sent",
    "epoch.claimed",
    "lease.created",
    "copy.before_replace",
    "copy.after_replace",
    "result.before_replace",
    "start.committed",
    "db.committed",
)
IN_CI = {"upload.before_manifest"}
"""The others only in `make faults`."""
SWEEPING = "withdraw.manifest_gone"
LOCAL = ("remotes", "stores")
"""Folders of a cache folder that hold what this machine knows of stores."""


@dataclass(frozen=True, kw_only=True)
class UrlGrid(Grid):
    """A grid whose head has a cache of its own; `folder` is the URL as the test sees it, like another machine."""

    url: str

    def start(self, *arguments: str, env: Mapping[str, str] | None = None) -> Running:
        """Start a run with the URL as its results."""
        return self.start_command("run", str(self.config), "--results", self.url, "--local", *arguments, env=env)

    def states(self) -> dict[str, str]:
        """State of every declared cell by its title, from the copy at the URL."""
        return {row.title: str(row.state) for row in peek(self.folder)[0].values() if not row.retired}

    def lose_the_head(self) -> None:
        """Nothing local is left of the store."""
        for name in LOCAL:
            shutil.rmtree(self.cache / name, ignore_errors=True)

    def keys(self, prefix: str = "") -> list[str]:
        """What lies at the URL."""
        return [key for key, _ in objects_at(self.url).listed(prefix)]


@pytest.fixture
def at_url(s3_address: str, tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[Grid], UrlGrid]:
    """The same grid with its results at a URL."""
    use(monkeypatch.setenv, s3_address)
    monkeypatch.setenv("FINEGRID_CACHE", str(tmp_path / "observer"))
    head = tmp_path / "head"
    head.mkdir()
    for path in (path for path in cache.iterdir() if path.name not in LOCAL):
        (head / path.name).symlink_to(path)  # models that were built already

    def make(grid: Grid) -> UrlGrid:
        url = f"s3://results/{tmp_path.name}"
        own: dict[str, Any] = {"config": grid.config, "trial_module": grid.trial_module, "cache": head}
        env = VARIABLES | {"AWS_ENDPOINT_URL": s3_address, "FINEGRID_LEASE_S": "6"}
        return UrlGrid(folder=results_path(url), url=url, env=env, **own)

    return make


def expect_killed(finished: Finished) -> None:
    assert finished.returncode == -signal.SIGKILL, finished.stderr


def expect_whole(grid: UrlGrid, clean: str) -> None:
    """The oracle, as another machine sees the store, and nothing half uploaded."""
    assert grid.dump() == clean
    assert grid.count("done") == len(grid.states())
    folders = {"/".join(key.split("/")[:3]) for key in grid.keys("cells/")}
    assert {f"{folder}/manifest.json" for folder in folders} <= set(grid.keys("cells/"))
    assert grid.keys("checkpoints/") == []
    assert len(grid.keys("epochs/")) == max(row["epoch"] for row in grid.attempts())


@pytest.mark.parametrize(
    "point", [pytest.param(point, marks=[] if point in IN_CI else pytest.mark.faults) for point in URL_POINTS]
)
def test_url_a_killed_and_lost_head_loses_nothing(
    toy: Grid, clean_dump: CleanDump, at_url: Callable[[Grid], UrlGrid], point: str
) -> None:
    clean = clean_dump(toy)
    grid = at_url(toy)
    expect_killed(grid.run(env=armed(point)))
    grid.lose_the_head()
    grid.run_until_done()
    expect_whole(grid, clean)


@pytest.mark.faults
def test_url_killed_while_half_an_upload_is_removed(
    toy: Grid, clean_dump: CleanDump, at_url: Callable[[Grid], UrlGrid]
) -> None:
    clean = clean_dump(toy)
    grid = at_url(toy)
    expect_killed(grid.run(env=armed("upload.before_manifest")))
    expect_killed(grid.run(env=armed(SWEEPING)))
    grid.lose_the_head()
    grid.run_until_done()
    expect_whole(grid, clean)


@pytest.mark.faults
def test_url_a_failure_that_was_told_is_known_to_the_next_head(
    make_toy: MakeToy, at_url: Callable[[Grid], UrlGrid]
) -> None:
    grid = at_url(make_toy(scripts=("fail.user", "slow.500"), seeds=(0,)))
    running = grid.start()
    wait_until(lambda: grid.keys("journal/"), what="a failure in the journal")
    running.kill()
    running.wait()
    grid.lose_the_head()
    finished = grid.run(env={"FINEGRID_FAKE_CALM": "1"})
    assert finished.returncode == 1, finished.stderr
    assert sorted(grid.states().values()) == ["done", "failed"], "a user's failure waits for a changed config"


@pytest.mark.faults
def test_url_a_second_head_is_refused_while_the_first_one_lives(
    make_toy: MakeToy, clean_dump: CleanDump, at_url: Callable[[Grid], UrlGrid], tmp_path: Path
) -> None:
    toy = make_toy(scripts=("slow.1000", "done"), seeds=(0,))
    clean = clean_dump(toy)
    grid = at_url(toy)
    running = grid.start()
    wait_until(lambda: "index/1-2.db" in grid.keys(), what="the copy of a declaration")
    second = replace(grid, cache=tmp_path / "second-head").run()
    assert second.returncode == 4 and f"{grid.url} is in use by process {running.pid}" in second.stderr
    assert running.wait().returncode == 0
    expect_whole(grid, clean)


@pytest.mark.faults
def test_url_a_checkpoint_is_continued_by_another_head(make_tiny: MakeTiny, at_url: Callable[[Grid], UrlGrid]) -> None:
    axes = {"strategy": ["lora"], "seed": [0], "num_samples": [24, 64]}
    tiny = make_tiny(axes=axes, checkpoint={"every_s": 0.001, "keep": 1})
    grid = at_url(tiny)
    undisturbed = replace(tiny, cache=grid.cache)  # adapters name the folder of their base, which is in the cache
    undisturbed.run_until_done()
    expect_killed(grid.run(env=armed("ckpt.pruned")))
    assert [key for key in grid.keys("checkpoints/") if key.endswith("/manifest.json")]
    grid.lose_the_head()
    grid.run_until_done()
    logs = b"".join(objects_at(grid.url).read(key) or b"" for key in grid.keys("logs/2-"))
    assert b'"event": "cell_resumed"' in logs
    expect_whole(grid, undisturbed.dump())


@pytest.mark.faults
def test_url_every_reading_command_takes_the_url(toy: Grid, at_url: Callable[[Grid], UrlGrid], tmp_path: Path) -> None:
    grid = at_url(toy)
    grid.run_until_done()
    grid.lose_the_head()
    cell_id = grid.keys("cells/")[0].split("/")[1]
    status = grid.command("status", grid.url, "--json").json
    assert status["results"] == grid.url and status["counts"]["done"] == status["total"]
    assert grid.command("export", grid.url, "--out", str(tmp_path / "cells.csv")).returncode == 0
    assert (tmp_path / "cells.csv").read_text("utf-8").count("\n") == status["total"] + 1
    assert grid.command("report", grid.url, "--out", str(tmp_path / "report")).returncode == 0
    assert (tmp_path / "report" / "index.html").is_file()
    assert grid.command("logs", cell_id, grid.url).returncode == 0
    assert grid.command("doctor", grid.url).returncode == 0
    assert grid.command("doctor", grid.url, "--rebuild").returncode == 0
    wrong = grid.command("status", "ftp://host/folder")
    assert wrong.returncode == 2 and "ftp:// is not known" in wrong.stderr
