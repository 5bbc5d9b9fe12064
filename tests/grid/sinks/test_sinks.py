"""Sinks: what arrives is what the result says, nothing arrives twice, nothing of them reaches the grid."""

from __future__ import annotations

import re
import shutil
import time
from pathlib import Path

import pytest
from rich.console import Console

from grid.sinks.base import open_sink, sink_problems
from grid.sinks.feeding import Feeder, hand_over
from grid.sinks.records import read_record
from grid.sync import sync
from jobs.errors import ConfigError
from jobs.storage import read_result
from jobs.work_messages import AskedCell
from tests.grid.store.conftest import Bench

Cells = dict[str, AskedCell]


@pytest.fixture
def folders(explained: Cells, tmp_path: Path) -> list[Path]:
    """Result folders of a trained cell and a baseline, in a results folder of this test's own."""
    chosen = [Path(explained[name].folder) for name in ("lora", "baseline")]
    for folder in chosen:
        shutil.copytree(folder, tmp_path / "results" / "cells" / folder.parent.name / folder.name)
    return sorted((tmp_path / "results" / "cells").glob("*/*"))


def test_a_record_is_what_the_result_says(explained: Cells) -> None:
    folder = Path(explained["lora"].folder)
    record, result = read_record(folder), read_result(folder)
    whole = {(m.split, m.name): m.value for m in result.metrics if m.value is not None and not m.label}
    assert all(record.metrics[f"{split}/{name}"] == value for (split, name), value in whole.items())
    assert record.metrics["cost/train_seconds"] == result.costs["train_seconds"]
    assert (record.params["model"], record.params["lora.r"], record.params["seed"]) == ("tiny-bert", 4, 0)
    assert record.tags["role"] == "cell"
    assert record.curves and {point.split for point in record.curves} >= {"train", "validation"}


def test_what_is_handed_over_is_what_the_index_holds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An attempt may have left two results; and a folder that is gone is passed over, not stumbled upon."""
    taken: list[Path] = []

    def take(folders: list[Path], sink: object, on_cell: object) -> tuple[int, int]:
        taken.extend(folders)
        return len(folders), 0

    monkeypatch.setattr("grid.sync.open_sink", lambda *settings: None)
    monkeypatch.setattr("grid.sync.hand_over", take)
    bench = Bench(tmp_path / "results")
    bench.begin()
    key = bench.start(bench.cells[0])
    first, *_ = sorted(bench.publish(bench.cells[0], *key, accuracy=accuracy) for accuracy in (0.1, 0.2))
    assert bench.store.ingest(first)
    shutil.rmtree(bench.finish(bench.cells[1]))
    bench.store.close()
    sync(bench.root, "tensorboard", {}, Console(quiet=True))
    assert taken == [first]


def test_tensorboard_reads_back_what_was_sent(folders: list[Path], tmp_path: Path) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    sink = open_sink("tensorboard", {}, tmp_path / "results")
    assert hand_over(folders, sink, lambda: None) == (2, 0)
    assert hand_over(folders, sink, lambda: None) == (0, 2)
    record = read_record(folders[0])
    run = EventAccumulator(str(tmp_path / "results" / "tensorboard" / record.cell_id)).Reload()
    for name, value in record.metrics.items():
        assert run.Scalars(f"result/{name}")[0].value == pytest.approx(value, rel=1e-6)
    losses = [point for point in record.curves if (point.split, point.metric) == ("validation", "loss")]
    read = run.Scalars("validation/loss")
    assert [(one.step, one.value) for one in read] == [(p.step, pytest.approx(p.value, rel=1e-6)) for p in losses]
    assert not list((tmp_path / "results" / "tensorboard").glob("*.tmp"))


@pytest.mark.filterwarnings("ignore")  # of MLflow's own making
def test_mlflow_reads_back_what_was_sent(folders: list[Path], tmp_path: Path) -> None:
    pytest.importorskip("mlflow", reason="mlflow is not installed: pip install 'finegrid[mlflow]'")
    from mlflow.tracking import MlflowClient

    settings = {"uri": f"sqlite:///{tmp_path / 'm.db'}"}
    assert hand_over(folders, open_sink("mlflow", settings, tmp_path), lambda: None) == (2, 0)
    assert hand_over(folders, open_sink("mlflow", settings, tmp_path), lambda: None) == (0, 2)
    client, record = MlflowClient(tracking_uri=settings["uri"]), read_record(folders[0])
    experiment = client.get_experiment_by_name(record.grid)
    (run,) = client.search_runs(
        [experiment.experiment_id], filter_string=f"tags.`finegrid.cell_id` = '{record.cell_id}'"
    )
    assert all(run.data.metrics[f"result/{name}"] == pytest.approx(value) for name, value in record.metrics.items())
    assert run.data.params["lora.r"] == str(record.params.get("lora.r"))


@pytest.mark.filterwarnings("ignore")  # of wandb's own making
def test_wandb_offline_keeps_a_run_a_cell(folders: list[Path], tmp_path: Path) -> None:
    pytest.importorskip("wandb", reason="wandb is not installed: pip install 'finegrid[wandb]'")
    sink = open_sink("wandb", {"mode": "offline"}, tmp_path / "results")
    assert hand_over(folders, sink, lambda: None) == (2, 0)
    assert hand_over(folders, sink, lambda: None) == (0, 2)
    runs = {path.name.rsplit("-", 1)[1] for path in (tmp_path / "results" / "wandb").glob("offline-run-*")}
    assert runs == {folder.parent.name for folder in folders}


def test_a_run_feeds_from_a_process_of_its_own_and_is_told_of_failures(folders: list[Path], tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    sinks = {"tensorboard": {"folder": str(tmp_path / "boards")}, "mlflow": {"uri": f"sqlite:///{tmp_path}/file/m.db"}}
    said: list[str] = []
    feeder = Feeder(sinks, tmp_path / "results", said.append)
    for folder in folders:
        feeder.on_result(folder)
    feeder.close(timeout_s=200)
    assert {path.name for path in (tmp_path / "boards").iterdir()} == {folder.parent.name for folder in folders}
    assert len(said) == 1 and said[0].startswith("sink mlflow is left out from here on")


def test_a_tracker_that_hangs_keeps_nobody_waiting(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    deaf = tmp_path / "deaf"
    deaf.write_text("#!/bin/sh\nexec sleep 600\n")
    deaf.chmod(0o755)
    monkeypatch.setattr("grid.sinks.feeding.sys.executable", str(deaf))
    said: list[str] = []
    feeder = Feeder({"tensorboard": {}}, tmp_path, said.append)
    for _ in range(5000):  # more than a pipe holds
        feeder.on_result(tmp_path / ("x" * 20))
    feeder.close(timeout_s=0.5)
    assert len(said) == 2 and "does not answer" in said[0] and "were not taken in time" in said[1]


def test_a_process_that_is_gone_is_no_fault_of_the_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("grid.sinks.feeding.sys.executable", shutil.which("false"))
    said: list[str] = []
    feeder = Feeder({"tensorboard": {}}, tmp_path, said.append)
    time.sleep(0.3)
    feeder.on_result(tmp_path)
    feeder.close()
    assert len(said) == 1 and "were not taken in time" in said[0]


def test_without_sinks_nothing_is_started(tmp_path: Path) -> None:
    feeder = Feeder({}, tmp_path, lambda line: None)
    feeder.on_result(tmp_path)
    feeder.close()


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"tensorbord": {}}, "did you mean|tensorboard"),
        ({"mlflow": {"url": "x"}}, "no setting of this sink"),
        ({"wandb": {"mode": "sometimes"}}, "one of online, offline"),
        ({"tensorboard": True}, "must be a mapping"),
        (["tensorboard"], "must be a mapping"),
    ],
)
def test_faults_of_the_section(settings: object, said: str) -> None:
    problems = sink_problems(settings)
    assert len(problems) == 1 and re.search(said, str(problems[0]))


def test_an_unknown_sink_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError):
        open_sink("comet", {}, tmp_path)
