"""The index of a results folder as tables: real store in, equal values out, not a byte changed."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from pathlib import Path

import pytest

from analysis.heatmaps import draw_defaults
from analysis.loading import load
from grid.store import Store
from jobs.errors import UserError
from jobs.spec import (
    CellResult,
    CellSpec,
    DataSpec,
    FailureKind,
    MetricValue,
    ModelSpec,
    PackedCell,
    RecipeSpec,
    Strategy,
)
from jobs.storage import Layout, publish


def cell(number: int, *, strategy: Strategy = Strategy.QLORA, learning_rate: float = 1e-4) -> CellSpec:
    model = None if strategy.is_baseline else ModelSpec(name="tiny-bert", source="tiny", location="tiny-bert")
    return CellSpec(
        cell_id=f"{number:016x}",
        grid="toy",
        strategy=strategy,
        seed=number,
        data=DataSpec(source="builtin", revision="1", num_labels=2, num_samples=None),
        recipe=RecipeSpec(learning_rate=learning_rate),
        model=model,
        axes={"seed": number} if model is None else {"seed": number, "learning_rate": learning_rate},
    )


@pytest.fixture
def results(tmp_path: Path) -> Path:
    """A store with one cell done, one failed, one pending, one retired and a baseline without a loss."""
    cells = [cell(1), cell(2), cell(3, learning_rate=1e-3), cell(4, strategy=Strategy.MAJORITY)]
    with Store.open(tmp_path, grid="toy") as store:
        epoch = store.claim("{}")
        store.declare([*cells, cell(9)])
        store.declare(cells)
        packed = [PackedCell(cell=spec, epoch=epoch, attempt=1) for spec in (cells[0], cells[1], cells[3])]
        store.start(packed, "pack", "logs/x.jsonl")
        accuracy = MetricValue(split="test", name="accuracy", value=0.75)
        no_loss = MetricValue(split="test", name="loss", undefined="no probabilities")
        for spec, marks in ((cells[0], ("fp32 instead of bf16",)), (cells[3], ())):
            outcome = CellResult(
                cell=spec,
                epoch=epoch,
                attempt=1,
                metrics=(accuracy, no_loss),
                counts={"num_train": 10},
                hashes={},
                costs={"train_seconds": 2.5, "solo_step_seconds": 0.125},
                provenance={"device": "cpu", "dtype": "float32"},
                marks=marks,
            )
            store.ingest(publish(Layout(tmp_path), outcome, {}))
        store.fail(cells[1].cell_id, epoch, 1, FailureKind.DIVERGED, "loss is not finite", "logs/x.jsonl")
    return tmp_path


def test_cells_metrics_and_axes(results: Path) -> None:
    loaded = load(results)
    assert loaded.grid == "toy"
    assert "learning_rate" in loaded.axes
    rows = {row["cell_id"][-1]: row for row in loaded.cells.to_dict("records")}
    assert [rows[k]["state"] for k in "1234"] == ["done", "failed", "pending", "done"]
    assert (rows["2"]["kind"], rows["2"]["reason"]) == ("diverged", "loss is not finite")
    assert rows["1"]["marks"] == ("fp32 instead of bf16",)
    assert (rows["1"]["device"], rows["1"]["task"], rows["1"]["num_samples"]) == ("cpu", "single_label", None)
    assert (rows["4"]["baseline"], rows["4"]["model"], rows["4"]["learning_rate"]) == (True, None, None)
    assert [rows[k]["learning_rate"] for k in "13"] == [1e-4, 1e-3]
    assert list(loaded.declared["cell_id"].str[-1]) == ["1", "2", "3", "4"]
    assert rows["9"]["retired"]
    found = {(m["name"], m["split"]): (m["value"], m["undefined"]) for m in loaded.metrics.to_dict("records")}
    assert found["accuracy", "test"] == (0.75, None)
    assert found["loss", "test"] == (None, "no probabilities")
    assert found["train_seconds", "cost"] == (2.5, None)
    assert found["solo_step_seconds", "cost"] == (0.125, None)
    assert ("solo_peak_memory_bytes", "cost") not in found


def test_reading_and_drawing_change_nothing_but_the_report(results: Path) -> None:
    def digests() -> dict[Path, str]:
        files = (path for path in results.rglob("*") if path.is_file() and "report" not in path.parts)
        return {path: hashlib.sha256(path.read_bytes()).hexdigest() for path in files}

    before = digests()
    written = draw_defaults(results)
    assert digests() == before
    assert {path.parent for path in written} == {results / "report" / "heatmaps"}
    assert [path.name for path in written[:2]] == ["accuracy-models.png", "accuracy-models.svg"]


def test_a_folder_without_a_store_is_a_user_error(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=str(tmp_path)):
        load(tmp_path)


def test_loading_needs_no_plotting_and_no_training_library() -> None:
    code = (
        "import sys, analysis.loading, analysis.aggregate; "
        "heavy = {'torch', 'transformers', 'ray', 'matplotlib', 'seaborn', 'scipy'} & set(sys.modules); "
        "assert not heavy, heavy"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
