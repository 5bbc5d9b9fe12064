"""Tuned grids from the command line's point of view, with simulated arms of which one has a poor default rate."""

from __future__ import annotations

import csv
import io
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import optuna
import pytest
from rich.console import Console

import grid.run
from analysis.loading import load
from analysis.report import write_report
from grid.options import RunOptions
from grid.outlook import look_ahead
from grid.run import run
from grid.signals import StopSignals
from grid.status import status
from grid.store import peek
from grid.store.canonical import canonical_dump
from grid.store.export import read_table
from grid.summary import Summary
from jobs.spec import CellState
from jobs.storage import Layout, complete_results, read_result

TRIAL = "tests.fakes.tuned_trial"
TUNING: Mapping[str, Any] = {"candidates": 8, "search": {"learning_rate": [0.01, 1000]}}
DOCUMENT: Mapping[str, Any] = {
    "name": "toy",
    "axes": {
        "model": ["tiny-bert", "tiny-gpt2"],
        "strategy": ["lora"],
        "num_labels": [2],
        "num_samples": [20, 40],
        "seed": [0, 1],
    },
    "dataset": {"source": "builtin", "rows": 3000, "test_per_label": 5, "validation_per_label": 5},
}


def write(folder: Path, tuning: Mapping[str, Any] | None, **changes: Any) -> Path:
    document: dict[str, Any] = {**DOCUMENT, **changes}
    if tuning is not None:
        document["tuning"] = {**tuning, "on": {"num_samples": 20}}
    path = folder / "toy.yaml"
    path.write_text(json.dumps(document), encoding="utf-8")
    return path


def go(config: Path, root: Path, **options: Any) -> Summary:
    asked = RunOptions(config=str(config), results=str(root), local=True, **options)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(grid.run, "finish_pictures", lambda *args, **kwargs: ())
        return run(asked, Console(file=io.StringIO()), StopSignals(), trial_module=TRIAL)


@dataclass(frozen=True)
class Tuned:
    """A tuned grid that ran to its end, undisturbed; nobody changes it."""

    config: Path
    root: Path
    summary: Summary


@pytest.fixture(scope="module")
def tuned(tmp_path_factory: pytest.TempPathFactory) -> Tuned:
    folder = tmp_path_factory.mktemp("tuned")
    config = write(folder, TUNING)
    return Tuned(config, folder / "results", go(config, folder / "results"))


def means(root: Path) -> dict[str, float]:
    """Mean test accuracy of every model."""
    results = load(root)
    tested = results.metrics[(results.metrics["split"] == "test") & (results.metrics["name"] == "accuracy")]
    merged = tested.merge(results.declared[["cell_id", "model"]], on="cell_id")
    return {model: float(own["value"].astype(float).mean()) for model, own in merged.groupby("model")}


def choices(summary: Summary) -> list[Any]:
    return [(arm.arm.title, arm.choice) for arm in summary.arms]


def test_a_tuned_comparison_ranks_right_where_the_untuned_one_does_not(tuned: Tuned, tmp_path: Path) -> None:
    assert go(write(tmp_path, None), tmp_path / "untuned").exit_code == 0
    before, after = means(tmp_path / "untuned"), means(tuned.root)
    assert before["tiny-bert"] < before["tiny-gpt2"], "the better model must lose at its default rate"
    assert after["tiny-bert"] > after["tiny-gpt2"]
    shared = set(peek(tmp_path / "untuned")[0]) & set(peek(tuned.root)[0])
    assert shared == set(), "a tuned cell is another cell, even where its default won"


def test_budgets_are_equal_and_candidates_stand_apart(tuned: Tuned) -> None:
    summary, root = tuned.summary, tuned.root
    assert (summary.exit_code, len(summary.rows), summary.num_new) == (0, 8, 8)
    assert [len(arm.candidates) for arm in summary.arms] == [8, 8]
    stored = status(root)
    assert stored.counts[CellState.DONE] == 8 and sum(stored.candidates.values()) == 16 and stored.unfinished == ()
    assert stored.candidates[CellState.FAILED] > 0, "some rate must diverge, and be no failure of the grid"
    assert len(read_table(root).rows) == 8 == len(load(root).cells)
    results = [read_result(folder) for folder in complete_results(Layout(root))]
    tried = [one for one in results if one.cell.candidate is not None]
    assert {metric.split for one in tried for metric in one.metrics} == {"validation"}
    assert {one.cell.data.num_samples for one in tried} == {20}
    studies = optuna.get_all_study_names(f"sqlite:///{root}/tuning.db")
    assert sorted(name.rpartition(" ")[0] for name in studies) == ["tiny-bert lora", "tiny-gpt2 lora"]


def test_a_finished_tuning_runs_nothing_again(tuned: Tuned, tmp_path: Path) -> None:
    root = tmp_path / "copy"
    shutil.copytree(tuned.root, root)
    again = go(tuned.config, root)
    assert (again.exit_code, again.num_new) == (0, 0) and choices(again) == choices(tuned.summary)
    assert len(list(complete_results(Layout(root)))) == len(list(complete_results(Layout(tuned.root))))


def test_the_report_says_what_was_chosen(tuned: Tuned, tmp_path: Path) -> None:
    write_report(tuned.root, out=tmp_path)
    page = (tmp_path / "index.html").read_text(encoding="utf-8")
    assert "How settings were chosen" in page and "tried 8 settings" in page
    chosen = tuned.summary.arms[0].choice
    assert chosen is not None and f"learning_rate {chosen.settings['recipe.learning_rate']:.3g}" in page
    with (tmp_path / "tables" / "tuning.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 16 and {row["outcome"] for row in rows} == {"done", "diverged"}
    assert all((row["validation"] == "") is (row["outcome"] == "diverged") for row in rows)


@pytest.mark.parametrize("results", [pytest.param(3, marks=pytest.mark.faults), 11])
def test_killed_in_the_middle_and_resumed_it_chooses_the_same(tuned: Tuned, tmp_path: Path, results: int) -> None:
    root = tmp_path / "killed"
    command = [sys.executable, "-m", "tests.fakes.driver", "run", str(tuned.config), "--local", "--results", str(root)]
    environment = os.environ | {"FINEGRID_FAKE_TRIAL": TRIAL, "FINEGRID_FAKE_STOP_AFTER": str(results)}
    killed = subprocess.run(command, env=environment, capture_output=True, timeout=120)
    assert killed.returncode == -9, killed.stderr
    assert len(list((root / "cells").iterdir())) == results
    (root / "tuning.db").unlink(missing_ok=True)  # a copy, and nothing rests on it
    resumed = go(tuned.config, root)
    assert resumed.exit_code == 0 and choices(resumed) == choices(tuned.summary)
    assert canonical_dump(root) == canonical_dump(tuned.root)


def test_halving_and_the_rest_of_a_grid_go_together(tmp_path: Path) -> None:
    tuning = {"candidates": 4, "search": {"learning_rate": [0.01, 100]}, "halving": 2}
    axes = {**DOCUMENT["axes"], "model": ["tiny-bert"]}
    config = write(tmp_path, tuning, baselines=["majority"], recipe={"epochs": 4}, axes=axes)
    summary = go(config, tmp_path / "results")
    assert summary.exit_code == 0 and len(summary.rows) == 8
    assert [candidate.epochs for candidate in summary.arms[0].candidates if not candidate.is_stopped] == [4]


def test_a_plan_knows_what_is_still_to_come(tmp_path: Path) -> None:
    outlook = look_ahead(RunOptions(config=str(write(tmp_path, TUNING)), results=str(tmp_path / "none"), dry_run=True))
    assert outlook.plan.num_cells == 8 == len(outlook.declared.candidates), "the first round of both arms"
    assert outlook.declared.final == () and len(outlook.declared.expected) == 8 + 8
    assert outlook.whole_plan({}).num_cells == 24
    later = outlook.forecast()
    assert later is not None and (later.candidates, later.cells, len(later.arms)) == (8, 8, 2)
    assert later.seconds > outlook.plan.estimated_seconds > 0
    assert not (tmp_path / "none").exists()


def test_a_choice_can_be_declared(tuned: Tuned, tmp_path: Path) -> None:
    settings = {arm.arm.title: dict(arm.choice.settings) for arm in tuned.summary.arms if arm.choice}
    given = go(write(tmp_path, {**TUNING, "chosen": settings}), tmp_path / "given")
    assert given.exit_code == 0 and set(given.rows) == set(tuned.summary.rows)
    assert len(list(complete_results(Layout(tmp_path / "given")))) == 8


def test_an_arm_waits_for_candidates_that_may_still_come(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FINEGRID_FAKE_BROKEN", "1")
    config = write(tmp_path, {**TUNING, "candidates": 4}, axes={**DOCUMENT["axes"], "model": ["tiny-bert"]})
    broken = go(config, tmp_path / "results")
    assert broken.exit_code == 1 and [str(row.kind) for row in broken.failed] == ["environment"]
    assert broken.is_tuning_alone, "there is nothing to draw"
    assert broken.arms[0].choice is None and status(tmp_path / "results").unfinished[0].title.endswith("candidate 2")
    monkeypatch.delenv("FINEGRID_FAKE_BROKEN")
    mended = go(config, tmp_path / "results")
    assert mended.exit_code == 0 and mended.arms[0].choice is not None
    assert len(mended.rows) == 4 and not mended.is_tuning_alone
