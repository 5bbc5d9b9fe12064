"""The run story over the real store and the fake trial, in this process and in processes that get signals."""

from __future__ import annotations

import functools
import io
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

import grid.run
from grid.options import RunOptions, parse_kinds
from grid.outlook import PreflightRefused
from grid.run import run
from grid.signals import StopSignals
from grid.status import status
from grid.store import Store, peek
from grid.summary import Summary
from grid.time_budget import TimeBudget
from jobs.errors import ConfigError, EnvironmentProblem, StoreBusy, UserError
from jobs.spec import CellState
from tests.fakes.grids import write_config

Go = Callable[..., Summary]


@pytest.fixture
def go(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Go:
    monkeypatch.setattr(grid.run, "finish_pictures", lambda *args, **kwargs: ())

    def go(config: Path, **options: Any) -> Summary:
        chosen = {"results": str(tmp_path / "results"), "local": True} | options
        asked = RunOptions(config=str(config), **chosen)
        return run(asked, Console(file=io.StringIO()), StopSignals(), trial_module="tests.fakes.trial")

    return go


def states(root: Path) -> list[str]:
    return sorted(str(row.state) for row in peek(root)[0].values() if not row.retired)


def test_a_grid_is_run_then_found_finished_then_grown_and_shrunk(go: Go, tmp_path: Path) -> None:
    first = go(write_config(tmp_path))
    assert (first.exit_code, first.num_new) == (0, 2)
    again = go(write_config(tmp_path))
    assert (again.exit_code, again.num_new) == (0, 0)
    grown = go(write_config(tmp_path, seeds=(0, 1, 2)))
    assert (grown.exit_code, grown.num_new, len(grown.rows)) == (0, 1, 3)
    shrunk = go(write_config(tmp_path, seeds=(0,)))
    assert (shrunk.exit_code, shrunk.num_new, len(shrunk.rows)) == (0, 0, 1)
    assert status(tmp_path / "results").retired[CellState.DONE] == 2


def test_failures_are_rows_with_exit_code_1_and_the_resume_rule_decides(go: Go, tmp_path: Path) -> None:
    config = write_config(tmp_path, scripts=("done", "fail.diverged", "fail.bug"), seeds=(0,))
    first = go(config)
    assert first.exit_code == 1 and sorted(str(row.kind) for row in first.failed) == ["bug", "diverged"]
    attempts = {row.kind: (row.epoch, row.attempt) for row in first.failed}
    again = go(config)
    epochs = {str(row.kind): row.epoch for row in again.failed}
    assert again.exit_code == 1 and epochs == {"bug": 2, "diverged": 1}
    asked = go(config, retry_failed=parse_kinds("diverged"))
    assert {str(row.kind): row.epoch for row in asked.failed} == {"bug": 3, "diverged": 3}
    assert all(attempt == 1 for _, attempt in attempts.values())


def test_a_run_ends_in_order_when_its_hours_are_over_and_can_be_continued(
    go: Go, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config, begun = write_config(tmp_path, scripts=("slow.30",)), tmp_path / "results" / "begun"
    at_once = functools.partial(TimeBudget, clock=lambda: 7200.0 if begun.exists() else 0.0)
    monkeypatch.setattr(grid.run, "TimeBudget", at_once)
    first = go(config, max_hours=1.0)
    assert first.exit_code == 5 and "--max-hours are over" in str(first.stopped)
    left = states(tmp_path / "results")
    assert left[0] == "interrupted" and set(left) <= {"interrupted", "pending"}
    assert go(config).exit_code == 0


def test_a_transient_failure_is_tried_again_within_the_run(go: Go, tmp_path: Path) -> None:
    summary = go(write_config(tmp_path, scripts=("flaky",), seeds=(0,)))
    assert summary.exit_code == 0 and [row.attempt for row in summary.rows.values()] == [2]


@pytest.mark.parametrize(
    ("override", "word"),
    [
        ("axes.num_labels=[64]", "64"),
        ("axes.num_samples=[5000]", "5000.*that is what the data has"),
        ("axes.seed=[]", "axes.seed"),
    ],
)
def test_a_wrong_config_creates_nothing(go: Go, tmp_path: Path, override: str, word: str) -> None:
    with pytest.raises(ConfigError, match=word):
        go(write_config(tmp_path), overrides=(override,))
    assert not (tmp_path / "results").exists()


def test_preflight_creates_nothing(go: Go, tmp_path: Path) -> None:
    with pytest.raises(PreflightRefused, match="0 GPUs"):
        go(write_config(tmp_path), overrides=("compute={device: cuda}",))
    assert not (tmp_path / "results").exists()


def test_results_of_another_grid_are_left_alone(go: Go, tmp_path: Path) -> None:
    go(write_config(tmp_path, seeds=(0,)))
    before = states(tmp_path / "results")
    with pytest.raises(UserError, match="toy"):
        go(write_config(tmp_path, name="other"))
    assert states(tmp_path / "results") == before


def test_a_url_that_results_cannot_lie_at_is_refused_in_words(go: Go, tmp_path: Path) -> None:
    for url, words in (("http://host/grid", "http:// is not known"), ("s3://bucket", "s3://BUCKET/FOLDER")):
        with pytest.raises(ConfigError, match=f"--results: .*{words}"):
            go(write_config(tmp_path), results=url)


def test_an_index_is_named_by_a_variable_that_holds_a_url(go: Go, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="NAME of a variable") as refused:
        go(write_config(tmp_path), index="postgresql://u:hunter-two@host/d")
    assert "hunter" not in str(refused.value)
    with pytest.raises(EnvironmentProblem, match="set NO_SUCH_DATABASE to its URL"):
        go(write_config(tmp_path), index="NO_SUCH_DATABASE")
    assert not (tmp_path / "results").exists()


def test_a_second_run_is_told_who_has_the_store(go: Go, tmp_path: Path) -> None:
    config = write_config(tmp_path, seeds=(0,))
    go(config)
    with Store.open(tmp_path / "results", grid="toy") as store:
        store.claim("{}")
        with pytest.raises(StoreBusy, match=str(os.getpid())):
            go(write_config(tmp_path, seeds=(0, 1)))


def test_unavailable_models_are_refused_or_recorded(go: Go, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def gated(location: str, requested: str | None = None, *, kind: str = "dataset") -> str:
        raise EnvironmentProblem(f"{location} is gated: accept its licence")

    monkeypatch.setattr("jobs.data.resolve_hub_revision", gated)
    config = write_config(tmp_path, seeds=(0,))
    both = ("axes.model=[tiny-bert, owner/gated-bert]",)
    with pytest.raises(PreflightRefused, match="accept its licence"):
        go(config, overrides=both)
    assert not (tmp_path / "results").exists()
    summary = go(config, overrides=both, skip_unavailable=True)
    assert summary.exit_code == 1 and [str(row.state) for row in summary.rows.values()] == ["done", "failed"]
    assert [str(row.kind) for row in summary.failed] == ["environment"]
    assert "accept its licence" in (summary.failed[0].reason or "")


def test_a_store_that_cannot_be_written_stops_early_and_resumes(
    go: Go, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, calls = Store.ingest, []

    def full_once(self: Store, folder: Path) -> bool:
        calls.append(folder)
        if len(calls) == 1:
            raise EnvironmentProblem("No space left on device.")
        return real(self, folder)

    monkeypatch.setattr(Store, "ingest", full_once)
    summary = go(write_config(tmp_path))
    assert summary.exit_code == 5 and "No space left" in (summary.stopped or "")
    monkeypatch.setattr(Store, "ingest", real)
    assert go(write_config(tmp_path)).exit_code == 0


def start(config: Path, results: Path, *options: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "tests.fakes.driver", "run", str(config), "--results", str(results), *options]
    return subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def wait_for(condition: Callable[[], bool], timeout_s: float = 150.0) -> None:
    deadline_s = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline_s, "it did not happen in time"
        time.sleep(0.05)


def is_running(results: Path, num_done: int = 0) -> bool:
    if not (results / "grid.db").exists():
        return False
    return "running" in states(results) and states(results).count("done") == num_done


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_signal_ends_a_run_in_order(tmp_path: Path, number: int) -> None:
    config, results = write_config(tmp_path, scripts=("hang",)), tmp_path / "results"
    process = start(config, results, "--local")
    wait_for(lambda: is_running(results))
    process.send_signal(number)
    _, errors = process.communicate(timeout=20)
    assert process.returncode == 128 + number, errors
    assert "interrupted" in states(results) and set(states(results)) <= {"interrupted", "pending"}


def test_a_second_signal_exits_at_once(tmp_path: Path) -> None:
    config, results = write_config(tmp_path, scripts=("deaf",), seeds=(0,)), tmp_path / "results"
    process = start(config, results, "--local")
    wait_for((results / "deaf").exists)
    process.send_signal(signal.SIGTERM)
    time.sleep(0.3)
    assert process.poll() is None
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=5)
    assert process.returncode == 143


def test_a_run_killed_in_the_middle_keeps_what_was_done(tmp_path: Path) -> None:
    config, results = write_config(tmp_path, scripts=("done", "deaf"), seeds=(0,)), tmp_path / "results"
    killed = start(config, results, "--local")
    wait_for((results / "deaf").exists)
    killed.kill()
    killed.communicate(timeout=20)
    assert "running" in states(results)
    finished = start(config, results, "--local", "--set", "axes.variant=[done]")
    output, errors = finished.communicate(timeout=30)
    assert finished.returncode == 0, errors
    assert "1 done of 1 cell" in output


@pytest.mark.ray
def test_a_signal_reaches_the_workers_of_ray_and_a_finished_grid_never_starts_it(tmp_path: Path) -> None:
    config, results = write_config(tmp_path, scripts=("die_once", "hang"), seeds=(0,)), tmp_path / "results"
    stopped = start(config, results)
    wait_for(lambda: is_running(results, num_done=1))
    stopped.send_signal(signal.SIGTERM)
    output, errors = stopped.communicate(timeout=30)
    assert stopped.returncode == 143, errors
    assert output.startswith("toy:"), "Ray must not write to standard output, least of all into --json"
    assert states(results) == ["done", "interrupted"]
    finished = start(config, results, "--set", "axes.variant=[die_once]")
    output, errors = finished.communicate(timeout=30)
    assert finished.returncode == 0, errors
    assert "ray was not imported" in errors and "1 done of 1 cell" in output
